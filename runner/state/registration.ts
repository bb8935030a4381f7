/**
 * The document of one worker of a run, part `worker-ID` of the run key. Its lease is the worker's heartbeat: while that holds, the
 * worker counts as alive; once it is over, anybody may sweep the registration away. A worker that ends removes its own.
 */
import * as z from 'zod/mini';
import { parseBody } from '../engine/documents.ts';
import { isCorrupt, type OxiError } from '../engine/errors.ts';
import { once } from '../engine/once.ts';
import type { Json, LeaseStanding, Part, StateStore } from './store.ts';
import { WORKER_PREFIX } from './worker-part.ts';

const schema = once(() => {
  const count = z.int().check(z.nonnegative());
  return z.strictObject({
    /** Unique per attempt. */
    worker_id: z.string(),
    run_key: z.string(),
    run_id: z.string(),
    pipeline: z.string(),
    host: z.string(),
    pid: count,
    /** Of its oxiflow. */
    version: z.string(),
    /** Threads that it works with: the fast take more. */
    capacity: count,
    state: z.enum(['working', 'waiting', 'paused', 'draining']),
    /** ISO time. */
    started_at: z.string(),
    /** Numbers of the split groups that it has claimed; the first is at work. */
    splits: z.array(count),
    /** Split groups that it has finished. */
    done: count,
    /** What it has read, of all of its groups. */
    records: count,
    bytes: count,
    /** ISO time of this writing. */
    updated_at: z.string(),
  });
});

export type Registration = z.infer<ReturnType<typeof schema>>;

/** Throws OxiError STATE_CORRUPT where `body` is no registration. */
export function parseRegistration(body: { [key: string]: Json }): Registration {
  return parseBody(schema(), body, 'registration of a worker');
}

/** A registration as it stands in the store. */
export interface KnownWorker {
  runKey: string;
  part: Part;
  /** Absent: it holds its lease and has written nothing yet, or what it has written is damaged. */
  registration: Registration | undefined;
  /** Absent: it has given its lease back. */
  lease: LeaseStanding | undefined;
  /** Its heartbeat holds. */
  alive: boolean;
  /** Why its document can't be used. */
  error: string | undefined;
}

/**
 * The workers of all runs, or of one run or pipeline; those of the newest run first, and of a run the oldest. `damaged`: told of a run
 * whose workers can't be known; where it is not given, that is an error.
 */
export async function listWorkers(
  store: StateStore,
  which: {
    runKey?: string | undefined;
    pipeline?: string | undefined;
    damaged?: ((error: OxiError, runKey: string) => void) | undefined;
  } = {},
): Promise<KnownWorker[]> {
  const { runKey, pipeline, damaged } = which;
  const runKeys =
    runKey !== undefined
      ? [runKey]
      : (await store.list())
          .filter(({ run }) => pipeline === undefined || run?.body.pipeline === pipeline)
          .map((entry) => entry.runKey);
  const found: KnownWorker[] = [];
  for (const key of runKeys) {
    const ofRun = await workersOf(store, key).catch((error: unknown) => {
      if (damaged === undefined || !isCorrupt(error)) throw error;
      damaged(error, key);
      return [];
    });
    found.push(
      ...ofRun.filter((one) => pipeline === undefined || (one.registration?.pipeline ?? pipeline) === pipeline),
    );
  }
  return found;
}

async function workersOf(store: StateStore, runKey: string): Promise<KnownWorker[]> {
  const found: KnownWorker[] = [];
  for (const { part, version, lease } of await store.parts(runKey, WORKER_PREFIX)) {
    const known: KnownWorker = {
      runKey,
      part,
      registration: undefined,
      lease,
      alive: lease !== undefined && !lease.over,
      error: undefined,
    };
    try {
      const stored = version === 0 ? undefined : await store.read(runKey, part);
      // Removed since we looked: its worker has ended.
      if (stored === undefined && version > 0) continue;
      if (stored !== undefined) known.registration = parseRegistration(stored.body);
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      known.error = error.message;
    }
    found.push(known);
  }
  const since = ({ registration }: KnownWorker): string => registration?.started_at ?? '';
  return found.sort((a, b) => (since(a) < since(b) ? -1 : since(a) > since(b) ? 1 : a.part < b.part ? -1 : 1));
}

/** The id by which people know it. */
export function workerIdOf({ registration, lease, part }: KnownWorker): string {
  return registration?.worker_id ?? lease?.holder.workerId ?? part;
}
