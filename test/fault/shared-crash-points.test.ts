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

/** Of each kind the first, or the last; all of them on SQLite, and everywhere with `npm run soak`. */
function chosen(places: readonly string[], backend: SharedBackend): number[] {
  const all = [...places.keys()];
  if (backend === 'sqlite' || SOAK > 0) return all;
  const isChosen = (name: string, i: number): boolean =>
    i === (backend === 'file' ? places.indexOf(name) : places.lastIndexOf(name));
  return all.filter((i) => isChosen(places[i] as string, i));
}

describe.each(SHARED_BACKENDS)('a worker of a shared run dies, state in %s', (backend) => {
  /** Workers die at the places `at`, one after the other; the last one makes it whole. */
  async function crashAt(at: readonly number[], what: string): Promise<void> {
    const hint = `crashed at ${at.join(', then ')} (${what}); state in ${backend}, seed ${SEED} (OXIFLOW_FAULT_SEED)`;
    const depot = await Depot.open(parcels, { backend, pace: 0 });
    for (const [i, place] of at.entries()) {
      const { signal, code, stderr } = await depot.worker(ARGS, { env: { OXIFLOW_CRASH_AT: String(place) } }).ended;
      // The first one passes every place; who comes later may have less left to do.
      if (i === 0) expect(signal, `${hint}\n${stderr}`).toBe('SIGKILL');
      else if (signal === null) expect(code, `${hint}\n${stderr}`).toBe(0);
    }
    const last = await depot.worker(ARGS).ended;
    expect(last.code, `${hint}\n${last.stderr}`).toBe(0);
    await depot.expectDone(hint);
    depot.remove();
  }

  test('at each numbered place in turn, and it costs nothing', async () => {
    const places = await placesOf(backend);
    expect(places).toEqual(expect.arrayContaining(KINDS));
    const rounds = chosen(places, backend);
    await inTwos(rounds, (i) => crashAt([i + 1], places[i] as string));
    process.stdout.write(`${backend}: crashed at ${rounds.length} of ${places.length} places of a shared run\n`);
  }, 240_000);

  test(
    'and so do those that come for it',
    async () => {
      const random = randomOf(SEED + backend.length);
      const rounds = Array.from({ length: 4 * Math.max(1, SOAK) }, () =>
        [50, 40, 30].map((most) => 1 + random.below(most)),
      );
      await inTwos(rounds, (at) => crashAt(at, 'at random'));
    },
    60_000 * Math.max(1, SOAK),
  );
});
