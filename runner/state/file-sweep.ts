/**
 * What the backend `file` clears away every so often: half-written files and renewals of the dead, workers that died, what is left
 * of those that went, folders without a run. Nothing of it can be of use to anybody who lives: see why at each step.
 */
import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, isCorrupt } from '../engine/errors.ts';
import * as chain from './chain.ts';
import type { FileDocuments } from './file-documents.ts';
import type { FileLeases } from './file-leases.ts';
import { dropTombstones } from './file-prune.ts';
import { thisHolder } from './host.ts';
import type { StateStore } from './store.ts';

/** How long a sweep may hold the lease of a dead worker, at most. */
const SWEEP_TTL_MS = 60_000;
/** How long a worker that died is still shown to people. */
const DEAD_MS = 3_600_000;
/** Half-written for so long, by the clock of the server: its writer is dead, wherever it was. */
const HALF_WRITTEN_MS = 86_400_000;
const BEAT_NAME = /^lease-(.+)-(\d+)\.json$/;

/** Says how many files and parts are gone. */
export async function sweepRun(
  store: StateStore,
  documents: FileDocuments,
  leases: FileLeases,
  runKey: string,
): Promise<number> {
  const folder = documents.folder(runKey);
  let removed = await chain.dropLeftovers(folder, async (path) => ((await leases.ageOf(path)) ?? 0) > HALF_WRITTEN_MS);
  const { chains, others } = await chain.scan(folder);
  if (chains.size === 0) return removed + (await dropEmptyFolder(folder, others));
  try {
    const { glances } = await documents.overview(runKey);
    for (const name of others) {
      const [, part, token] = BEAT_NAME.exec(name) ?? [];
      const glance = [...glances.values()].find((one) => one.part === part);
      // Of a lease that somebody else has followed: a renewal of it is refused before it is written.
      if (glance === undefined || Number(token) >= glance.token) continue;
      await chain.remove(join(folder, name));
      removed++;
    }
    for (const glance of glances.values()) {
      if (!glance.part.startsWith('worker-') || glance.removed) continue;
      if (Date.now() - Date.parse(glance.written_at) < DEAD_MS) continue;
      if ((await leases.judge(runKey, glance, { others }))?.over === false) continue;
      // Refused where it has come back meanwhile.
      const got = await store.acquire(runKey, glance.part, thisHolder('sweep'), SWEEP_TTL_MS);
      if (!got.acquired) continue;
      await store.removePart(got.lease);
      removed++;
    }
  } catch (error) {
    // A corrupt run is somebody's to repair.
    if (isCorrupt(error)) return removed;
    throw error;
  }
  return removed + (await dropTombstones(documents, runKey));
}

/** Of a run that was removed, or that never came to be: whoever begins one now makes its folder anew when it finds it gone. */
async function dropEmptyFolder(folder: string, others: readonly string[]): Promise<number> {
  if (others.some((name) => name !== 'key' && !BEAT_NAME.test(name))) return 0;
  for (const name of others) await chain.remove(join(folder, name));
  try {
    await rmdir(folder);
    return 1;
  } catch (error) {
    // Not empty: a file of somebody who begins. The note is made again with his version.
    if (['ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOENT'].includes(errnoOf(error) ?? '')) return 0;
    throw error;
  }
}
