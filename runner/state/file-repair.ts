/** Damage in the backend `file`: set aside beside what it was, with the last good version put in its place. */
import { rename } from 'node:fs/promises';
import * as chain from './chain.ts';
import type { FileDocuments } from './file-documents.ts';
import type { Head } from './payload.ts';
import { seal, unseal } from './seal.ts';
import type { Part } from './store.ts';

/** `others`: further files that may be damaged, requests of the run and history. */
export async function repairFiles(
  documents: FileDocuments,
  runKey: string,
  others: readonly string[],
): Promise<{ quarantined: string[]; restored: { part: Part; version: number }[] }> {
  const folder = documents.folder(runKey);
  const quarantined: string[] = [];
  const restored: { part: Part; version: number }[] = [];
  const setAside = async (path: string): Promise<void> => {
    const aside = `${path}.corrupt-${new Date().toISOString().replaceAll(':', '')}`;
    await rename(path, aside);
    quarantined.push(aside);
  };
  const { chains } = await chain.scan(folder);
  for (const [part, { numbers }] of chains) {
    const bad: number[] = [];
    let good: Head | undefined;
    for (const number of numbers.toReversed()) {
      good = await documents.version(runKey, part, number);
      if (good !== undefined) break;
      bad.push(number);
    }
    const newest = bad[0];
    if (newest === undefined) continue;
    // The damaged versions may have held a higher token and version: what comes next is above all that they can have held.
    const known = [good?.token ?? Math.floor(Date.now() / 1000), ...(await documents.knownTokens(runKey))];
    const next = documents.next(runKey, part, good, Math.max(...known) + newest + 1);
    next.version += newest - (good?.number ?? 0) + 1;
    next.lease = null;
    // The newest stays in its place until the next one is there; old ones would be cleared away as soon as that is.
    for (const number of bad.slice(1)) await setAside(chain.versionFile(folder, part, number));
    if (!(await chain.extend(folder, part, newest, seal(next), 'hard'))) continue;
    await setAside(chain.versionFile(folder, part, newest));
    if (next.body !== null) restored.push({ part, version: next.version });
  }
  for (const path of others) {
    if (unseal((await chain.readOrNothing(path)) ?? '').kind === 'damaged') await setAside(path);
  }
  return { quarantined, restored };
}
