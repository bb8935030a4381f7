import { describe, expect, test } from 'vitest';
import { chosenOf, dieAt, inTwos } from './crash-points.ts';
import { randomOf, SEED, SOAK } from './random.ts';
import { Scene, Telling } from './scene.ts';
import { TALES } from './tales.ts';

/** Two reads at least, each with a checkpoint behind it. */
const BYTES = 800_000;
/** Beside those of the web shop's story. */
const KINDS = ['rewriting', 'rewritten', 'segment'];

describe('a crash at each numbered place costs nothing', () => {
  const hit = new Map<string, number>();

  test.each(TALES)(
    '$name',
    async (tale) => {
      const telling = new Telling(tale, SEED, BYTES);
      const { places } = await telling.undisturbed();
      await inTwos(chosenOf(places, randomOf(SEED)), async ([name, place]) => {
        await dieAt(new Scene(telling, { backend: 'sqlite', softMs: 0 }), [place], `${name}, seed ${SEED}`);
        hit.set(name, (hit.get(name) ?? 0) + 1);
      });
    },
    240_000,
  );

  test(
    'a second crash while the first is made good',
    async () => {
      const random = randomOf(SEED + 2);
      const rounds = TALES.flatMap((tale) => {
        const telling = new Telling(tale, SEED, BYTES);
        return Array.from({ length: Math.max(1, SOAK) }, () => ({
          telling,
          at: [1 + random.below(15), 1 + random.below(15)],
        }));
      });
      await inTwos(rounds, ({ telling, at }) =>
        dieAt(new Scene(telling, { backend: 'sqlite', softMs: 0 }), at, `${telling.tale.name}, seed ${SEED}`),
      );
    },
    240_000 * Math.max(1, SOAK),
  );

  test('the places that only these tales pass were hit', () => {
    process.stdout.write(`tales: crashed at ${[...hit].map(([name, n]) => `${name} ${n}`).join(', ')}\n`);
    for (const kind of KINDS) expect(hit.get(kind), kind).toBeGreaterThan(0);
  });
});
