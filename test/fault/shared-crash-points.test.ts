/** Lets a worker of a shared run die at each of its numbered places in turn; the next one makes it whole. */
import { describe, expect, test } from 'vitest';
import { inTwos } from './crash-points.ts';
import { Depot, Parcels, SHARED_BACKENDS, type SharedBackend } from './depot.ts';
import { randomOf, SEED, SOAK } from './random.ts';

const parcels = new Parcels(SEED + 11, 30_000, 1);
const ARGS = ['--splits', '2', '--invocation', 'nightly'];
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

/** Of each kind the first; beside SQLite those that only a shared run has, the first or the last. All of them with `npm run soak`. */
function chosen(places: readonly string[], backend: SharedBackend): number[] {
  const all = [...places.keys()];
  if (SOAK > 0) return all;
  return all.filter((i) => {
    const name = places[i] as string;
    if (backend !== 'sqlite' && !KINDS.includes(name)) return false;
    return i === (backend === 'file' ? places.lastIndexOf(name) : places.indexOf(name));
  });
}

describe.each(SHARED_BACKENDS)('a worker of a shared run dies, state in %s', (backend) => {
  /** Workers die at the places `at`, one after the other; the last one makes it whole. */
  async function crashAt(at: readonly (number | string)[]): Promise<boolean> {
    const hint = `crashed at ${at.join(', then ')}; state in ${backend}, seed ${SEED} (OXIFLOW_FAULT_SEED)`;
    const depot = await Depot.open(parcels, { backend, pace: 0 });
    let dead = 0;
    for (const place of at) {
      const { signal, code, stderr } = await depot.worker(ARGS, { env: { OXIFLOW_CRASH_AT: String(place) } }).ended;
      // How many checkpoints there are depends on time, and who comes later has less left to do: it may not be reached.
      if (signal === null) expect(code, `${hint}\n${stderr}`).toBe(0);
      else dead += 1;
    }
    const last = await depot.worker(ARGS).ended;
    expect(last.code, `${hint}\n${last.stderr}`).toBe(0);
    await depot.expectDone(hint);
    depot.remove();
    return dead > 0;
  }

  test('at each numbered place in turn, and it costs nothing', async () => {
    const places = await placesOf(backend);
    expect(places).toEqual(expect.arrayContaining(KINDS));
    const rounds = chosen(places, backend);
    let dead = 0;
    await inTwos(rounds, async (i) => {
      const name = places[i] as string;
      const nth = places.slice(0, i + 1).filter((one) => one === name).length;
      if (await crashAt([`${name}:${nth}`])) dead += 1;
    });
    process.stdout.write(`${backend}: crashed at ${dead} of ${places.length} places of a shared run\n`);
    expect(dead).toBeGreaterThan(rounds.length * 0.8);
  }, 240_000);

  test(
    'and so do those that come for it',
    async () => {
      const random = randomOf(SEED + backend.length);
      const rounds = Array.from({ length: 4 * Math.max(1, SOAK) }, () =>
        [50, 40, 30].map((most) => 1 + random.below(most)),
      );
      await inTwos(rounds, async (at) => expect(await crashAt(at)).toBe(true));
    },
    60_000 * Math.max(1, SOAK),
  );
});
