/** The names that parts of a run have, as every backend takes them, and the order in which they and runs are told. */
import type { Part, StoredDocument } from './store.ts';

/** Source of a regular expression, without groups of its own. */
export const PART_NAME = 'run|(?:split|group)-\\d+|worker-[0-9a-f]{12}';

const WHOLE_NAME = new RegExp(`^(?:${PART_NAME})$`);

/** A name that no backend could find again is a fault of the caller. */
export function checkPart(part: Part): void {
  if (!WHOLE_NAME.test(part)) throw new Error(`a run has no part named "${part}"`);
}

/** By kind, those that are numbered by their number. */
export function byPart(a: { part: Part }, b: { part: Part }): number {
  const [kindA = '', idA = ''] = a.part.split('-');
  const [kindB = '', idB = ''] = b.part.split('-');
  if (kindA !== kindB) return kindA < kindB ? -1 : 1;
  if (kindA !== 'worker') return Number(idA) - Number(idB);
  return idA < idB ? -1 : idA > idB ? 1 : 0;
}

/** Broken ones first: they ask for somebody's attention. */
export function byNewestWrite(a: { run?: StoredDocument }, b: { run?: StoredDocument }): number {
  const [atA, atB] = [a.run?.writtenAt ?? '~', b.run?.writtenAt ?? '~'];
  return atA < atB ? 1 : atA > atB ? -1 : 0;
}
