/** Sources and sinks with the attempts and the time that their steps have for a unit of work: one open, one read, one write. */
import type { RawBlock, Source, Split } from './contracts.ts';
import type { PlannedStep } from './plan.ts';
import { type RetryOptions, type Timeout, withRetry, withTimeout } from './retry.ts';

/** The field whose time may be over because of one record; that of `timeout_seconds` is the world's to blame. */
export const DEADLINE_FIELD = 'max_processing_time_ms';

/** A step, what ends its waiting, and who is told of further attempts. */
export interface Patience {
  step: Pick<PlannedStep, 'id' | 'retries' | 'timeoutMs' | 'limits'>;
  signal: AbortSignal;
  say(message: string): void;
}

/** How long a unit of work of the step may take in all, with its further attempts; 0 where nobody says. */
export function unitMs({ retries, timeoutMs }: PlannedStep): number {
  if (timeoutMs === undefined && retries.attempts === 0) return 0;
  let wait = 0;
  for (let i = 0; i < Math.min(retries.attempts, 30); i++) wait += Math.min(retries.delayMs * 2 ** i, 5 * 60_000);
  return wait + (timeoutMs ?? 0) * (retries.attempts + 1);
}

/** Somebody ends, repeats or times its units of work, and has to see each of them. */
export function isTimed(step: PlannedStep): boolean {
  return unitMs(step) > 0 || step.limits.maxProcessingTimeMs !== undefined;
}

export function unitOf({ step, signal, say }: Patience): { timeout: Timeout | undefined; retry: RetryOptions } {
  const { id, retries, timeoutMs, limits } = step;
  const limitMs = limits.maxProcessingTimeMs;
  const ms = Math.min(timeoutMs ?? Number.POSITIVE_INFINITY, limitMs ?? Number.POSITIVE_INFINITY);
  const field = ms === timeoutMs ? 'timeout_seconds' : DEADLINE_FIELD;
  return {
    timeout: Number.isFinite(ms) ? { ms, what: `step "${id}"`, field, step: id } : undefined,
    retry: {
      attempts: retries.attempts,
      delayMs: retries.delayMs,
      signal,
      onRetry: ({ attempt, of, waitMs, error }) =>
        say(`${error.message}: trying again in ${waitMs} ms (attempt ${attempt} of ${of})`),
    },
  };
}

/** Runs a unit of work of a sink. `once`: what has been written can't be written again, so only its time is watched. */
export function patientUnit(patience: Patience, once: boolean): <T>(work: () => Promise<T>) => Promise<T> {
  const { timeout, retry } = unitOf(patience);
  if (timeout === undefined && retry.attempts === 0) return (work) => work();
  return (work) =>
    withRetry(() => withTimeout(work, timeout, patience.signal), once ? { ...retry, attempts: 0 } : retry);
}

/** The same source, opened anew where reading failed, behind what it has given. */
export function patientSource(source: Source, patience: Patience): Source {
  const { timeout, retry } = unitOf(patience);
  if (timeout === undefined && retry.attempts === 0) return source;
  const again = source.kind === 'once' ? { ...retry, attempts: 0 } : retry;
  async function* open(split: Split, from: number, signal: AbortSignal): AsyncGenerator<RawBlock> {
    let after = from;
    let reader: AsyncIterator<RawBlock> | undefined;
    const read = async (): Promise<IteratorResult<RawBlock>> => {
      reader ??= source.open(split, after, signal)[Symbol.asyncIterator]();
      const current = reader;
      return withTimeout(() => current.next(), timeout, patience.signal).catch(async (error) => {
        reader = undefined;
        // One that hangs is left behind.
        current.return?.().catch(() => undefined);
        throw error;
      });
    };
    try {
      for (;;) {
        const { value, done } = await withRetry(read, again);
        if (done === true) return;
        after = value.after;
        yield value;
      }
    } finally {
      await reader?.return?.();
    }
  }
  // What else it can do is its own: only through it can its private parts be reached.
  return new Proxy(source, {
    get: (target, name) => {
      if (name === 'open') return open;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
