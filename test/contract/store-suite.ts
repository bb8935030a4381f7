/** What every state backend promises (`runner/state/store.ts`), as one suite; `test/state/` runs it for each of them. */
import { describe } from 'vitest';
import { describeDamage } from './store-suite/damage.ts';
import { describeDocuments } from './store-suite/documents.ts';
import { describeLeases } from './store-suite/leases.ts';
import { describePruning } from './store-suite/pruning.ts';
import { describeRuns } from './store-suite/runs.ts';
import { type Bench, useScene } from './store-suite/scene.ts';
import { describeSharing } from './store-suite/sharing.ts';
import { describeWriters } from './store-suite/writers.ts';

export type { Bench, Damage } from './store-suite/scene.ts';

/** `clock`: whose time ends the leases; that of a server goes on while a test looks, and its tokens begin anywhere. */
export function describeStore(
  backend: string,
  makeBench: () => Promise<Bench>,
  { clock = 'boot' }: { clock?: 'boot' | 'server' } = {},
): void {
  describe(`the store "${backend}"`, () => {
    const scene = useScene(makeBench, clock === 'server');
    describeDocuments(scene);
    describeWriters(backend, scene);
    describeLeases(backend, scene);
    describeSharing(scene);
    describeDamage(scene);
    describeRuns(scene);
    describePruning(scene);
  });
}
