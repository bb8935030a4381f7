/** Takes the lease of a run, waiting for whoever holds it as long as asked, and saying so. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AcquireResult, Holder, StateStore } from '../state/store.ts';
import { OxiError } from './errors.ts';
import { sayIfSlow } from './slow.ts';

export type Held = Extract<AcquireResult, { acquired: true }>;

export interface HoldOptions {
  store: StateStore;
  runKey: string;
  holder: Holder;
  ttlMs: number;
  /** How long to wait for another holder at most. */
  waitMs: number;
  /** The run begins anew, even where the store has lost what it had of it. */
  fresh?: boolean;
  stop: AbortSignal;
  say(message: string): void;
}

/** A worker, for sentences. */
export function workerText({ workerId, pid, host }: Pick<Holder, 'workerId' | 'pid' | 'host'>): string {
  return `worker ${workerId} (process ${pid} on ${host})`;
}

/** How often a held lease is looked at; its end is decided by the store. */
const POLL_MS = 250;

/** Throws OxiError LEASE_HELD when the wait is over, and the stop signal's reason when stopped. */
export async function holdLease(o: HoldOptions): Promise<Held> {
  const deadline = performance.now() + o.waitMs;
  let said = false;
  for (;;) {
    const asking = o.store.acquire(o.runKey, 'split-0', o.holder, o.ttlMs, { fresh: o.fresh === true });
    const result = await sayIfSlow(o.say, `waiting for the state in ${o.store.location}`, asking);
    if (result.acquired) return result;
    const who = workerText(result.holder);
    const left = deadline - performance.now();
    if (left <= 0)
      throw new OxiError(
        'LEASE_HELD',
        `run "${o.runKey}": ${who} works on it; waited ${Math.round(o.waitMs / 100) / 10} s (--lease-wait). Try again later, or stop that worker`,
      );
    if (!said)
      o.say(
        `run "${o.runKey}": waiting for ${who} to finish or to lose its lease, ${Math.ceil(left / 1000)} s at most`,
      );
    said = true;
    await sleep(Math.min(POLL_MS, left), undefined, { signal: o.stop }).catch(() => {
      throw o.stop.reason;
    });
  }
}
