/** Reads everything that a store holds and tells what of it is damaged. Nothing is changed; `repair` is who mends. */
import { isCorrupt } from '../engine/errors.ts';
import { checkDocument } from './part-documents.ts';
import type { Part, StateStore } from './store.ts';

interface Damage {
  /** null: of no run alone. */
  run_key: string | null;
  /** null: not of one document. */
  part: Part | null;
  /** Where it lies: a file, or the store. */
  place: string;
  message: string;
}

export interface Checkup {
  runs: number;
  documents: number;
  history: number;
  damage: Damage[];
}

/** `runKey`: only this run, with its history. */
export async function checkUp(store: StateStore, runKey?: string): Promise<Checkup> {
  const found: Checkup = { runs: 0, documents: 0, history: 0, damage: [] };
  /** The same file may be met several times. */
  const told = new Set<string>();
  const tell = (error: unknown, run_key: string | null, part: Part | null): void => {
    if (!isCorrupt(error)) throw error;
    const place = error.place.file ?? store.location;
    const sign = `${run_key} ${place} ${error.place.file === undefined ? `${part} ${error.message}` : ''}`;
    if (told.has(sign)) return;
    told.add(sign);
    found.damage.push({ run_key, part, place, message: error.message });
  };
  const attempt = async (
    work: () => Promise<void>,
    run_key: string | null,
    part: Part | null = null,
  ): Promise<void> => {
    try {
      await work();
    } catch (error) {
      tell(error, run_key, part);
    }
  };
  const checkRun = async (key: string): Promise<void> => {
    found.runs += 1;
    const parts = new Set<Part>(USUAL);
    await attempt(async () => {
      for (const { part, version } of await store.parts(key)) {
        if (version > 0) parts.add(part);
      }
    }, key);
    for (const part of parts)
      await attempt(
        async () => {
          const stored = await store.read(key, part);
          if (stored === undefined) return;
          found.documents += 1;
          checkDocument(key, part, stored.body);
        },
        key,
        part,
      );
    await attempt(async () => void (await store.requests(key)), key);
  };
  if (runKey !== undefined) await checkRun(runKey);
  else
    await attempt(async () => {
      for (const entry of await store.list()) await checkRun(entry.runKey);
    }, null);
  await attempt(async () => {
    found.history = (await store.history(runKey === undefined ? {} : { runKey })).length;
  }, runKey ?? null);
  return found;
}

/** Read one by one, should the store not be able to say what there is. */
const USUAL: readonly Part[] = ['run', 'split-0'];
