/**
 * Further attempts of a unit of work that failed, and an end to one that takes too long. Only what may be gone a moment later is
 * tried again: files, disks, services, programs; never what the data or the configuration is to blame for.
 */
import { type ErrorCode, OxiError } from './errors.ts';

const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'INPUT_MISSING',
  'IO_FAILED',
  'DISK_FULL',
  'STATE_UNREACHABLE',
  'EXEC_FAILED',
  'TIMED_OUT',
]);

/** The longest wait between two attempts, unless the first one was to be longer. */
const LONGEST_WAIT_MS = 5 * 60_000;

export interface RetryOptions {
  /** Further attempts, at most. */
  attempts: number;
  /** The longest wait before the first of them; it doubles each time, and a random part of it is waited. */
  delayMs: number;
  /** Ends the waiting: its reason is thrown. */
  signal: AbortSignal;
  /** Errors that may pass and still are not worth another attempt. */
  unless?: ((error: OxiError) => boolean) | undefined;
  /** From 0 to below 1. */
  random?: (() => number) | undefined;
  sleep?: ((ms: number, signal: AbortSignal) => Promise<void>) | undefined;
  onRetry?(retry: { attempt: number; of: number; waitMs: number; error: OxiError }): void;
}

/** The error may be gone a moment later. */
function isPassing(error: unknown): error is OxiError {
  return error instanceof OxiError && PASSING.has(error.code);
}

/** `work` is told which attempt it is, from 0. Throws its last error, or at once one that no attempt can mend. */
export async function withRetry<T>(work: (attempt: number) => Promise<T>, o: RetryOptions): Promise<T> {
  const { random = Math.random, sleep = pause } = o;
  for (let attempt = 0; ; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      if (attempt >= o.attempts || !isPassing(error) || o.signal.aborted || o.unless?.(error) === true) throw error;
      const longest = Math.min(o.delayMs * 2 ** attempt, Math.max(LONGEST_WAIT_MS, o.delayMs));
      const waitMs = Math.round(random() * longest);
      o.onRetry?.({ attempt: attempt + 1, of: o.attempts, waitMs, error });
      await sleep(waitMs, o.signal);
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  const timer = setTimeout(wake, ms);
  signal.addEventListener('abort', wake);
  await promise;
  clearTimeout(timer);
  signal.removeEventListener('abort', wake);
  signal.throwIfAborted();
}

export interface Timeout {
  ms: number;
  /** Whose time it is, and the field that says how long, for the message: `step "price"`, `timeout_seconds`. */
  what: string;
  field: string;
  step: string;
  /** What else can be said when the time is over: what it waits for. */
  hint?: (() => string | undefined) | undefined;
}

/**
 * Runs `work`, whose signal is aborted when the time is over or `signal` is aborted. The time is over: throws OxiError TIMED_OUT,
 * without waiting for work that takes no notice. No timeout: as long as it takes.
 */
export async function withTimeout<T>(
  work: (signal: AbortSignal) => Promise<T>,
  timeout: Timeout | undefined,
  signal: AbortSignal,
): Promise<T> {
  if (timeout === undefined) return await work(signal);
  const { ms, what, field, step, hint } = timeout;
  const late = new AbortController();
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const more = hint?.();
    const error = new OxiError(
      'TIMED_OUT',
      `${what} took longer than ${ms} ms (${field})${more === undefined ? '' : `: ${more}`}`,
      { place: { step, field } },
    );
    reject(error);
    late.abort(error);
  }, ms);
  try {
    return await Promise.race([work(AbortSignal.any([signal, late.signal])), promise]);
  } finally {
    clearTimeout(timer);
  }
}
