/**
 * Takes away what nobody needs any more: registrations of workers whose lease is over, leases of holders that are proven dead,
 * finished runs and history that are old. Never touches the living: every step is one that the store refuses where somebody works.
 */
import { isCorrupt } from '../engine/errors.ts';
import { finishedMs, isPrunable } from './faults.ts';
import type { Holder, Part, PartStanding, StateStore } from './store.ts';
import { WORKER_PREFIX } from './worker-part.ts';

export interface CleanupOptions {
  /** Registrations and leases. */
  stale: boolean;
  /** Finished runs and history that are older. */
  olderThanMs?: number | undefined;
  /** Only tells what would be done. */
  dryRun: boolean;
  holder: Holder;
}

export interface Cleanup {
  workers: { run_key: string; worker_id: string }[];
  leases: { run_key: string; part: Part; worker_id: string; host: string; pid: number }[];
  runs: { run_key: string; finished_at: string }[];
  /** Entries of it. */
  history: number;
  /** Runs that can't be read, and stay as they are. */
  damaged: string[];
}

/** How long it may hold a lease, at most. */
const TTL_MS = 60_000;

export async function cleanUp(store: StateStore, o: CleanupOptions): Promise<Cleanup> {
  const done: Cleanup = { workers: [], leases: [], runs: [], history: 0, damaged: [] };
  const listed = await store.list();
  if (o.stale)
    for (const { runKey } of listed) {
      try {
        for (const standing of await store.parts(runKey)) await sweep(store, runKey, standing, o, done);
      } catch (error) {
        if (!isCorrupt(error)) throw error;
        done.damaged.push(runKey);
      }
    }
  if (o.olderThanMs !== undefined) await prune(store, listed, o.olderThanMs, o.dryRun, done);
  return done;
}

async function sweep(
  store: StateStore,
  runKey: string,
  { part, lease, version }: PartStanding,
  o: CleanupOptions,
  done: Cleanup,
): Promise<void> {
  if (lease?.over === false) return;
  if (part.startsWith(WORKER_PREFIX)) {
    const registration = version === 0 ? undefined : await store.read(runKey, part);
    if (!o.dryRun) {
      const got = await store.acquire(runKey, part, o.holder, TTL_MS);
      // It lives after all.
      if (!got.acquired) return;
      await store.removePart(got.lease);
    }
    const id = registration?.body.worker_id;
    done.workers.push({ run_key: runKey, worker_id: typeof id === 'string' ? id : (lease?.holder.workerId ?? part) });
  } else if (lease?.provenDead === true && (o.dryRun || (await giveBack(store, runKey, part, o.holder)))) {
    const { workerId, host, pid } = lease.holder;
    done.leases.push({ run_key: runKey, part, worker_id: workerId, host, pid });
  }
}

/**
 * In the name of the dead holder where its token is known: whoever comes next then still knows that what it had staged is nobody's.
 * The token is read first: if somebody takes the lease meanwhile, it is another one, and giving back the old one changes nothing.
 */
async function giveBack(store: StateStore, runKey: string, part: Part, holder: Holder): Promise<boolean> {
  const stored = await store.read(runKey, part);
  const standing = await store.standing(runKey, part);
  if (standing?.provenDead !== true) return false;
  if (stored !== undefined) {
    await store.release({ runKey, part, token: stored.token, ttlMs: TTL_MS, holder: standing.holder });
    return true;
  }
  const got = await store.acquire(runKey, part, holder, TTL_MS);
  if (got.acquired) await store.release(got.lease);
  return got.acquired;
}

type Listed = Awaited<ReturnType<StateStore['list']>>;

async function prune(
  store: StateStore,
  listed: Listed,
  olderThanMs: number,
  dryRun: boolean,
  done: Cleanup,
): Promise<void> {
  const cutoff = Date.now() - olderThanMs;
  const old: { run_key: string; finished_at: string }[] = [];
  for (const { runKey, run } of listed) {
    if (run === undefined || !isPrunable(run.body, cutoff)) continue;
    const held = (await store.parts(runKey)).some(({ lease }) => lease?.over === false);
    if (!held) old.push({ run_key: runKey, finished_at: String(run.body.finished_at) });
  }
  if (dryRun) {
    done.history = (await store.history()).filter((entry) => finishedMs(entry) <= cutoff).length;
    done.runs = old;
    return;
  }
  done.history = (await store.prune(olderThanMs)).history;
  const left = new Set((await store.list()).map(({ runKey }) => runKey));
  done.runs = old.filter(({ run_key }) => !left.has(run_key));
}
