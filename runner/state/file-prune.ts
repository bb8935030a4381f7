/** What the backend `file` removes in the end: finished runs, what is left of removed ones, workers that went. */
import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, isCorrupt } from '../engine/errors.ts';
import * as chain from './chain.ts';
import { isPrunable } from './faults.ts';
import { type FileDocuments, writeNote } from './file-documents.ts';
import type { FileLeases } from './file-leases.ts';
import { thisHolder } from './host.ts';
import type { Glance, Head } from './payload.ts';
import type { Lease, Part, StateStore } from './store.ts';

/** How long `prune` may hold a lease, at most. */
const PRUNE_TTL_MS = 60_000;
/** How long the chain of a worker that went stays, so that a late write of it is turned away. */
const TOMBSTONE_MS = 3_600_000;

/** Removes the run where it is finished and old; says whether it did. Holds every lease while it looks and removes, so nobody starts in between. */
export async function pruneRun(
  store: StateStore,
  documents: FileDocuments,
  leases: FileLeases,
  runKey: string,
  cutoff: number,
): Promise<boolean> {
  const isOld = (head: Head | undefined): boolean =>
    head?.body ? isPrunable(head.body, cutoff) : head?.removed === true && Date.parse(head.written_at) <= cutoff;
  const held: Lease[] = [];
  try {
    if (!isOld(await documents.head(runKey, 'run'))) return false;
    const { glances, others } = await documents.overview(runKey);
    // Looked at first: where somebody is at work, nothing is touched.
    for (const glance of glances.values()) {
      if ((await leases.judge(runKey, glance, { others }))?.over === false) return false;
    }
    for (const part of glances.keys()) {
      const got = await store.acquire(runKey, part, thisHolder('prune'), PRUNE_TTL_MS);
      if (!got.acquired) return false;
      held.push(got.lease);
    }
    const run = await documents.head(runKey, 'run');
    const lease = held.find(({ part }) => part === 'run');
    if (lease === undefined || run === undefined || !(run.body ? isPrunable(run.body, cutoff) : run.removed)) {
      return false;
    }
    if (run.body !== null) {
      await store.remove(lease);
      return true;
    }
    // Removed long ago: by now nobody can hold a token of it, so the folder goes as well.
    held.length = 0;
    await dropFolder(documents.folder(runKey), runKey);
    return false;
  } catch (error) {
    if (isCorrupt(error)) return false;
    throw error;
  } finally {
    for (const lease of held) await store.release(lease);
  }
}

/** Removes what workers that went a while ago have left; the part with the highest token stays, so that tokens go on growing. */
export async function dropTombstones(documents: FileDocuments, runKey: string): Promise<number> {
  const folder = documents.folder(runKey);
  if (![...(await chain.scan(folder)).chains.keys()].some((part) => part.startsWith('worker-'))) return 0;
  const glances = await documents.overview(runKey).then(
    (found) => found.glances,
    (error: unknown) => {
      if (isCorrupt(error)) return new Map<Part, Glance>();
      throw error;
    },
  );
  const highest = Math.max(...[...glances.values()].map(({ token }) => token));
  const before = Date.now() - TOMBSTONE_MS;
  let dropped = 0;
  for (const { part, token, lease, removed, written_at: writtenAt } of glances.values()) {
    const isOver = removed && lease === null && Date.parse(writtenAt) <= before;
    if (!isOver || !part.startsWith('worker-') || token === highest) continue;
    const names = await chain.listFolder(folder);
    for (const name of chain.removalOrder(names.filter((one) => one.startsWith(`${part}.`)))) {
      await chain.remove(join(folder, name));
    }
    dropped++;
  }
  return dropped;
}

async function dropFolder(folder: string, runKey: string): Promise<void> {
  for (const name of chain.removalOrder(await chain.listFolder(folder))) await chain.remove(join(folder, name));
  try {
    await rmdir(folder);
  } catch (error) {
    // Somebody began a run meanwhile, sleeps with a file half-written, or has one open: the folder stays, and keeps its name.
    if (!['ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOENT'].includes(errnoOf(error) ?? '')) throw error;
    await writeNote(folder, runKey).catch(() => undefined);
  }
}
