/** Batches that one attempt has left half done, on whichever tier, the next one ends on whichever it has. */
import { expect, test } from 'vitest';
import { killUntil, type Tally, type Victim } from './kills.ts';
import { randomOf, SEED } from './random.ts';
import { Scene, Telling } from './scene.ts';
import { TALES } from './tales.ts';

const LEAST: Tally = { kills: 4, resumed: 3 };
const TIERS = ['bytes', 'values', ''];

function victim(telling: Telling): Victim {
  const scene = new Scene(telling, { backend: 'sqlite', softMs: 5 });
  const random = randomOf(SEED + 91);
  return {
    attempt: (args, options) =>
      scene.attempt(args, { ...options, env: { ...options.env, OXIFLOW_TIER: random.pick(TIERS) } }),
    expectDone: (ended, hint) => scene.expectDone(ended, hint),
    remove: () => scene.remove(),
  };
}

test('arrays of a run that changes its tier with every attempt are those of a run that nobody killed', async () => {
  process.stdout.write(`batches: seed ${SEED} (OXIFLOW_FAULT_SEED)\n`);
  const tale = TALES.find(({ name }) => name === 'batches into arrays');
  if (tale === undefined) throw new Error('no tale of arrays');
  const telling = new Telling({ ...tale, threads: 2 }, SEED, 9_000_000);
  const tally = await killUntil(LEAST, randomOf(SEED + 78), () => victim(telling));
  expect(tally.resumed).toBeGreaterThanOrEqual(LEAST.resumed);
}, 60_000);
