/** Lets a worker of a shared run die at each of its numbered places in turn, and its successor at another; the next one makes it whole. */
import { describe, expect, test } from 'vitest';
import { inTwos } from './crash-points.ts';
import { Depot, Parcels, SHARED_BACKENDS, type SharedBackend } from './depot.ts';
import { randomOf, SEED } from './random.ts';

const SOAK = process.env.OXIFLOW_SOAK !== undefined;
const parcels = new Parcels(SEED + 11, 30_000, 2);
const ARGS = ['--splits', '3', '--invocation', 'nightly'];
/** Those that only a shared run has; the others are held to in `crash-points.ts`. */
const KINDS = ['cut', 'tabled', 'claimed', 'done', 'marked', 'finishing', 'noted', 'parted', 'finish', 'finished'];

/** Names of the places that one worker alone passes, in order. */
async function placesOf(backend: SharedBackend): Promise<string[]> {
  const depot = await Depot.open(parcels, { backend, pace: 0 });
  const ended = await depot.worker(ARGS, { env: { OXIFLOW_CRASH_REPORT: '1' } }).ended;
  expect(ended.code, ended.stderr).toBe(0);
  await depot.expectDone('nothing disturbed');
  depot.remove();
  return [...ended.stderr.matchAll(/^crashpoint \d+ (\w+)$/gm)].map(([, name = '']) => name);
}

describe.each(SHARED_BACKENDS)(
  'a worker that dies at any place of a shared run costs nothing, state in %s',
  (backend) => {
    test(
      'and neither does the one that comes for it',
      async () => {
        const places = await placesOf(backend);
        expect(places).toEqual(expect.arrayContaining(KINDS));
        const random = randomOf(SEED + backend.length);
        const all = places.map((name, i) => ({ name, first: i + 1, second: 1 + random.below(places.length) }));
        // Each place that only a shared run has, once; all of them, over and over, are for the soak.
        const rounds = SOAK
          ? all
          : KINDS.map((kind) => all[places.indexOf(kind)]).filter((round) => round !== undefined);
        await inTwos(rounds, async ({ name, first, second }) => {
          const hint = `crashed at ${first} (${name}), then at ${second}; state in ${backend}, seed ${SEED} (OXIFLOW_FAULT_SEED)`;
          const depot = await Depot.open(parcels, { backend, pace: 0 });
          const dead = await depot.worker(ARGS, { env: { OXIFLOW_CRASH_AT: String(first) } }).ended;
          expect(dead.signal, `${hint}\n${dead.stderr}`).toBe('SIGKILL');
          const next = await depot.worker(ARGS, { env: { OXIFLOW_CRASH_AT: String(second) } }).ended;
          if (next.signal === null) expect(next.code, `${hint}\n${next.stderr}`).toBe(0);
          const last = await depot.worker(ARGS).ended;
          expect(last.code, `${hint}\n${last.stderr}`).toBe(0);
          await depot.expectDone(hint);
          depot.remove();
        });
        process.stdout.write(`${backend}: crashed at ${rounds.length} of ${places.length} places of a shared run\n`);
      },
      SOAK ? 1_800_000 : 240_000,
    );
  },
);
