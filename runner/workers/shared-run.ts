/**
 * The document of a run that several workers share: who has finished which split group. Everybody changes it, so each change is
 * made under the lease of the part `run`, which is held for a moment only.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { lost } from '../engine/checkpoint.ts';
import { parseRunDocument, type RunDocument } from '../engine/documents.ts';
import { OxiError } from '../engine/errors.ts';
import { workerText } from '../engine/hold.ts';
import type { Grade, Holder, Json, Lease, StateStore } from '../state/store.ts';

export type Shared = NonNullable<RunDocument['shared']>;
export type SharedDocument = RunDocument & { shared: Shared };

export interface SharedRunOptions {
  store: StateStore;
  runKey: string;
  holder: Holder;
  ttlMs: number;
  /** Ends every wait, with its reason. */
  kill: AbortSignal;
  /** Keeps a lease alive for as long as it is held. */
  keep(lease: Lease, lost: (why?: OxiError) => void): AsyncDisposable;
  say(message: string): void;
}

export interface AloneOptions {
  /** Also where the store has lost the run. */
  fresh?: boolean;
  /** Ends the wait before the work has begun, with its reason. */
  until?: AbortSignal | undefined;
}

/** What a change begins with. */
export interface Stored {
  document: RunDocument | undefined;
  version: number;
  lease: Lease;
}

const SHORTEST_POLL_MS = 10;
const LONGEST_POLL_MS = 250;
const FIRST_SAID_MS = 2000;
const SAID_AGAIN_MS = 30_000;

export class SharedRun {
  readonly #o: SharedRunOptions;

  constructor(options: SharedRunOptions) {
    this.#o = options;
  }

  /** As it stands. Throws OxiError LEASE_LOST where the run of this id is gone: it was started over; STATE_LOST where the store lost it. */
  async read(runId: string, until?: AbortSignal): Promise<SharedDocument> {
    const { store, runKey } = this.#o;
    const stored = await store.read(runKey, 'run');
    // Whoever acquires is told which it is, and waits for somebody who is about to write a new one.
    if (stored === undefined) return this.alone(async ({ document }) => sharedOf(document, runKey, runId), { until });
    return sharedOf(parseRunDocument(stored.body), runKey, runId);
  }

  /**
   * Does `work` alone among all workers. Waits for another one for as long as that lives: it changes a word, or cuts the input, or
   * puts an output of any size together, and the run can't go on without it. Throws the reason of the signal that ends the wait.
   */
  async alone<T>(work: (stored: Stored, gone: AbortSignal) => Promise<T>, how: AloneOptions = {}): Promise<T> {
    const { store, runKey, keep, kill } = this.#o;
    const signal = how.until === undefined ? kill : AbortSignal.any([kill, how.until]);
    const lease = await this.#acquire(how.fresh === true, signal);
    const gone = new AbortController();
    const kept = keep(lease, (why) => gone.abort(why ?? lost(runKey)));
    try {
      const stored = await store.read(runKey, 'run');
      const document = stored === undefined ? undefined : parseRunDocument(stored.body);
      return await work({ document, version: stored?.version ?? 0, lease }, gone.signal);
    } catch (error) {
      // Whoever was overtaken has failed by that, whatever it ran into afterwards.
      if (await store.renew(lease).catch(() => true)) throw error;
      throw lost(runKey);
    } finally {
      await kept[Symbol.asyncDispose]();
      await store.release(lease).catch(() => undefined);
    }
  }

  /** Changes the document of the run with this id. `change` gives nothing where there is nothing to change. */
  async update(
    runId: string,
    change: (document: SharedDocument) => SharedDocument | undefined,
    grade: Grade = 'soft',
    until?: AbortSignal,
  ): Promise<SharedDocument> {
    return this.alone(
      async ({ document, version, lease }) => {
        const before = sharedOf(document, this.#o.runKey, runId);
        const after = change(before);
        if (after === undefined) return before;
        await this.save(after, version, lease, grade);
        return after;
      },
      { until },
    );
  }

  /** Returns the new version. Throws OxiError LEASE_LOST where another worker has the run by now. */
  async save(document: RunDocument, version: number, lease: Lease, grade: Grade): Promise<number> {
    const result = await this.#o.store.write(lease.runKey, 'run', {
      expected: version,
      token: lease.token,
      body: document as unknown as { [key: string]: Json },
      grade,
    });
    if (!result.written) throw lost(lease.runKey);
    return result.version;
  }

  async #acquire(fresh: boolean, signal: AbortSignal): Promise<Lease> {
    const { store, runKey, holder, ttlMs, say } = this.#o;
    const begun = performance.now();
    let sayAt = begun + FIRST_SAID_MS;
    for (let poll = SHORTEST_POLL_MS; ; poll = Math.min(2 * poll, LONGEST_POLL_MS)) {
      const got = await store.acquire(runKey, 'run', holder, ttlMs, { fresh });
      if (got.acquired) return got.lease;
      const now = performance.now();
      if (now >= sayAt) {
        say(
          `waiting for ${workerText(got.holder)}, which cuts the input or puts outputs together: ${seconds(now - begun)}`,
        );
        sayAt = now + SAID_AGAIN_MS;
      }
      // Those that wait do not all come back at once.
      await sleep(poll * (0.5 + Math.random()), undefined, { signal }).catch(() => {
        throw signal.reason;
      });
    }
  }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s by now`;
}

function sharedOf(document: RunDocument | undefined, runKey: string, runId: string): SharedDocument {
  if (document?.shared === undefined || document.run_id !== runId)
    throw new OxiError('LEASE_LOST', `run "${runKey}" was started over meanwhile; this worker stops`);
  return document as SharedDocument;
}
