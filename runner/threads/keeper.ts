/**
 * Starts the thread that keeps a worker's leases, says that it lives, looks for requests and watches the main thread. A run that
 * is over within a second needs none, so the thread comes late.
 */
import type { Worker } from 'node:worker_threads';
import { OxiError } from '../engine/errors.ts';
import type { StoreSettings } from '../state/open.ts';
import type { Registration } from '../state/registration.ts';
import type { Holder, Lease, RunRequest } from '../state/store.ts';
import { threadEntry } from './entry.ts';
import { startThread } from './start.ts';

export interface KeeperStart {
  settings: StoreSettings;
  runKey: string;
  holder: Holder;
  /** How long the registration lasts without being renewed. */
  ttlMs: number;
  /** Between two renewals, and between two looks for requests. */
  renewMs: number;
  pollMs: number;
  /** The main thread is watched, too: see `watch-main.ts`. */
  watch: { memory: SharedArrayBuffer; everyMs: number } | undefined;
}

/** What the thread is told before and while it runs. */
export type KeeperCommand =
  | { kind: 'keep'; lease: Lease }
  | { kind: 'drop'; key: string }
  | { kind: 'about'; registration: Registration }
  | { kind: 'close' };

export type KeeperMessage =
  | { kind: 'lost'; key: string; why?: string }
  | { kind: 'requests'; requests: RunRequest[] }
  | { kind: 'trouble'; message: string };

export interface KeeperEvents {
  /** The open requests of the run, whenever they have changed. */
  requests(requests: readonly RunRequest[]): void;
  /** The store can't be reached, or the thread died; the run goes on, its commits tell the truth about the lease. */
  trouble(message: string): void;
}

export interface Keeper extends AsyncDisposable {
  /**
   * Renews a lease until it is dropped; `lost`: another took it, or `why`: the store has lost the run (STATE_LOST).
   */
  keep(lease: Lease, lost: (why?: OxiError) => void): void;
  drop(lease: Lease): void;
  /** What the store is to know of this worker from now on. */
  about(registration: Registration): void;
}

/** Of two parts that are taken at one moment, some backends give both the same token. */
export function keyOf({ part, token }: Lease): string {
  return `${part} ${token}`;
}

/** Well below the shortest lease that can be configured. */
const DELAY_MS = 400;
/** It makes next to no garbage. */
const YOUNG_MB = 1;

/** `delayMs`: how long to wait with the thread. */
export function startKeeper(start: KeeperStart, on: KeeperEvents, delayMs = DELAY_MS): Keeper {
  let worker: Worker | undefined;
  let ended: Promise<unknown> | undefined;
  let closing = false;
  const leases = new Map<string, { lease: Lease; lost: (why?: OxiError) => void }>();
  let latest: Registration | undefined;
  const tell = (command: KeeperCommand): void => worker?.postMessage(command);

  const begin = setTimeout(() => {
    worker = startThread({ name: 'lease', data: start, youngMb: YOUNG_MB }, threadEntry('keeper-thread'));
    worker.on('message', (message: KeeperMessage) => {
      if (message.kind === 'lost') {
        const { key, why } = message;
        leases.get(key)?.lost(why === undefined ? undefined : new OxiError('STATE_LOST', why));
      }
      if (message.kind === 'requests') on.requests(message.requests);
      if (message.kind === 'trouble') on.trouble(message.message);
    });
    worker.on('error', (error) => on.trouble(`the thread that keeps the lease died: ${error.message}`));
    // It may end by itself, long before anybody closes it.
    ended = new Promise((resolve) => worker?.once('exit', resolve));
    worker.unref();
    for (const { lease } of leases.values()) tell({ kind: 'keep', lease });
    if (latest !== undefined) tell({ kind: 'about', registration: latest });
  }, delayMs);

  return {
    keep(lease, lost) {
      leases.set(keyOf(lease), { lease, lost });
      tell({ kind: 'keep', lease });
    },
    drop(lease) {
      const key = keyOf(lease);
      leases.delete(key);
      tell({ kind: 'drop', key });
    },
    about(registration) {
      latest = registration;
      tell({ kind: 'about', registration });
    },
    async [Symbol.asyncDispose]() {
      if (closing) return;
      closing = true;
      clearTimeout(begin);
      if (worker === undefined) return;
      tell({ kind: 'close' });
      const late = setTimeout(() => void worker?.terminate(), 2000);
      await ended;
      clearTimeout(late);
    },
  };
}
