/**
 * The lease of a run that starts over (`fresh`): what is damaged of it is in nobody's way. It is set aside, as `repair` does it, for
 * nothing of it is gone on from; a run that is only resumed is never mended without being asked.
 */
import { isCorrupt } from '../engine/errors.ts';
import type { AcquireResult, StateStore } from './store.ts';

interface Ways {
  acquire(): Promise<AcquireResult>;
  /** Of this run alone. */
  repair(): Promise<{ quarantined: string[] }>;
  warn(text: string): void;
}

export async function acquireAnew(
  store: Pick<StateStore, 'parts' | 'read'>,
  runKey: string,
  { acquire, repair, warn }: Ways,
): Promise<AcquireResult> {
  const mend = async (error: unknown): Promise<void> => {
    if (!isCorrupt(error)) throw error;
    const { quarantined } = await repair();
    warn(`run "${runKey}" starts over, and what was damaged of it is set aside: ${quarantined.join(', ')}`);
  };
  const taken = await acquire().catch(async (error: unknown) => {
    await mend(error);
    return await acquire();
  });
  if (!taken.acquired) return taken;
  try {
    for (const { part, version } of await store.parts(runKey)) if (version > 0) await store.read(runKey, part);
  } catch (error) {
    // The part of the lease is whole, so the lease stays.
    await mend(error);
  }
  return taken;
}
