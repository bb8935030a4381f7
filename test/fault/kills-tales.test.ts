import { describe, expect, test } from 'vitest';
import { killUntil, type Tally } from './kills.ts';
import { randomOf, SEED, SOAK } from './random.ts';
import { BACKENDS } from './runner.ts';
import { Scene, Telling } from './scene.ts';
import { TALES } from './tales.ts';

const ROUNDS = Math.max(1, SOAK);
/** Of each tale, at least. */
const LEAST: Tally = { kills: 3 * ROUNDS, resumed: 2 * ROUNDS };
// More than what waits between two steps, so that the second checkpoint is never the last.
const BYTES = 9_000_000;

/** Every tale with the state in SQLite, one of them with the other backend, too. */
const CASES = TALES.flatMap((tale, i) =>
  BACKENDS.filter((backend) => backend === 'sqlite' || tale.name.includes('dead letters')).map((backend) => ({
    name: tale.name,
    tale,
    backend,
    seed: SEED + 2000 + i,
  })),
);

describe('kill -9 at random instants', () => {
  const total: Tally = { kills: 0, resumed: 0 };

  test.each(CASES)(
    'costs nothing: $name, state in $backend',
    async ({ tale, backend, seed }) => {
      const telling = new Telling(tale, seed, BYTES);
      const random = randomOf(seed + (backend === 'file' ? 500 : 0));
      const tally = await killUntil(LEAST, random, () => new Scene(telling, { backend, softMs: 5 }));
      total.kills += tally.kills;
      total.resumed += tally.resumed;
      expect(tally.resumed).toBeGreaterThanOrEqual(LEAST.resumed);
    },
    60_000 * ROUNDS,
  );

  test('so many kills, and so many of them resumed above zero', () => {
    process.stdout.write(
      `tales: ${total.kills} kills, ${total.resumed} resumed from a position above zero, seed ${SEED} (OXIFLOW_FAULT_SEED)\n`,
    );
    expect(total.kills).toBeGreaterThanOrEqual(CASES.length * LEAST.kills);
    expect(total.resumed).toBeGreaterThanOrEqual(CASES.length * LEAST.resumed);
  });
});
