/** Starts the thread that keeps a lease and watches the main thread. A run that is over within a second needs none, so the thread comes late. */
import type { Worker } from 'node:worker_threads';
import type { StoreSettings } from '../state/open.ts';
import type { Lease } from '../state/store.ts';
import { threadEntry } from './entry.ts';

export interface KeeperStart {
  settings: StoreSettings;
  lease: Lease;
  /** Between two renewals, and between two looks for requests. */
  renewMs: number;
  pollMs: number;
  /** The main thread is watched, too: see `watch-main.ts`. */
  watch: { memory: SharedArrayBuffer; everyMs: number } | undefined;
}

export type KeeperMessage =
  | { kind: 'lost' }
  | { kind: 'cancelled'; from: string }
  | { kind: 'trouble'; message: string };

export interface KeeperEvents {
  lost(): void;
  cancelled(from: string): void;
  /** The store can't be reached, or the thread died; the run goes on, its commits tell the truth about the lease. */
  trouble(message: string): void;
}

/** Well below the shortest lease that can be configured. */
const DELAY_MS = 400;
/** It makes next to no garbage. */
const YOUNG_MB = 1;

export function startKeeper(start: KeeperStart, on: KeeperEvents): AsyncDisposable {
  let worker: Worker | undefined;
  let ended: Promise<unknown> | undefined;
  let closing = false;
  const begin = setTimeout(() => {
    // Dear to load, and short runs end before.
    const threads = process.getBuiltinModule('node:worker_threads');
    worker = new threads.Worker(threadEntry('keeper-thread'), {
      workerData: start,
      name: 'oxiflow: lease',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    });
    worker.on('message', (message: KeeperMessage) => {
      if (message.kind === 'lost') on.lost();
      else if (message.kind === 'cancelled') on.cancelled(message.from);
      else on.trouble(message.message);
    });
    worker.on('error', (error) => on.trouble(`the thread that keeps the lease died: ${error.message}`));
    // It may end by itself, long before anybody closes it.
    ended = new Promise((resolve) => worker?.once('exit', resolve));
    worker.unref();
  }, DELAY_MS);
  return {
    async [Symbol.asyncDispose]() {
      if (closing) return;
      closing = true;
      clearTimeout(begin);
      if (worker === undefined) return;
      worker.postMessage('close');
      const late = setTimeout(() => void worker?.terminate(), 2000);
      await ended;
      clearTimeout(late);
    },
  };
}
