/** Lets a run die at each of its numbered places in turn, and again while it resumes; the next attempt makes it whole. */
import { afterAll, describe, expect, test } from 'vitest';
import type { Victim } from './kills.ts';
import { type Random, randomOf, SEED, SOAK } from './random.ts';
import type { Backend } from './runner.ts';
import { Day, Shop, type Story } from './shop.ts';

/** Together they pass every kind of place. Two reads, each with a checkpoint behind it. */
const STORIES: readonly (Story & { name: string })[] = [
  {
    name: 'an output replaced, with a backup',
    input: 'lines',
    output: 'array',
    threads: 1,
    before: 'old',
    backup: true,
  },
  { name: 'an output appended to', input: 'document', output: 'lines', threads: 1, before: 'old\n', append: true },
  {
    name: 'two sinks, nothing overwritten',
    input: 'array',
    output: 'lines',
    threads: 1,
    middle: true,
    overwrite: false,
  },
  { name: 'a packed output', input: 'lines', output: 'lines', threads: 1, packed: '.gz' },
];
const BYTES = 800_000;

const KINDS = [
  ...['begin', 'opened', 'read', 'apply', 'write', 'prepare', 'commit', 'committed'],
  ...['closed', 'publish', 'backing', 'backup', 'linked', 'join', 'published', 'end', 'ended'],
];

/** Names of the places that a run passes, in order. */
async function placesOf(day: Day, story: Story): Promise<string[]> {
  const shop = new Shop(day, { story, backend: 'sqlite', softMs: 0 });
  const ended = await shop.attempt(['--invocation', 'nightly'], { env: { OXIFLOW_CRASH_REPORT: '1' } }).ended;
  await shop.expectDone(ended, 'nothing disturbed');
  shop.remove();
  return passedIn(ended.stderr);
}

const passedIn = (stderr: string): string[] =>
  [...stderr.matchAll(/^crashpoint \d+ (\w+)$/gm)].map(([, name = '']) => name);

/** Where to crash, with the numbers of the places from 1: of each name the first, the last and one between. In a soak, all. */
export function chosenOf(places: readonly string[], random: Random): [name: string, place: number][] {
  const all = places.map((name, i): [string, number] => [name, i + 1]);
  if (SOAK > 0) return all;
  return [...Map.groupBy(all, ([name]) => name).values()].flatMap((those) => {
    const between = those.slice(1, -1);
    return [...those.slice(0, 1), ...(between.length > 0 ? [random.pick(between)] : []), ...those.slice(1).slice(-1)];
  });
}

/** Dies at the places `at`, an attempt each, then runs to its end. */
async function crashAt(day: Day, story: Story, backend: Backend, at: readonly (number | string)[]): Promise<void> {
  await dieAt(new Shop(day, { story, backend, softMs: 0 }), at, `state in ${backend}`);
}

/** The victim dies at the places `at`, an attempt each, then runs to its end. */
export async function dieAt(victim: Victim, at: readonly (number | string)[], hint: string): Promise<void> {
  for (const [i, place] of at.entries()) {
    const env = { OXIFLOW_CRASH_AT: String(place), OXIFLOW_CRASH_REPORT: '1' };
    const { code, signal, stderr } = await victim.attempt(['--invocation', 'nightly'], { env }).ended;
    if (signal === 'SIGKILL') continue;
    expect(code, stderr).toBe(0);
    // A resumed attempt may have less left to do. The first one may pass fewer places than another run: how many checkpoints there
    // are is a matter of time. It has to pass one with a name.
    if (i === 0) expect(typeof place === 'number' && passedIn(stderr).length < place, stderr).toBe(true);
  }
  const last = await victim.attempt(['--invocation', 'nightly'], {}).ended;
  await victim.expectDone(last, `crashed at ${at.join(', then ')}; ${hint}`);
  victim.remove();
}

export function crashPointTests(backend: Backend): void {
  describe(`a crash at each numbered place costs nothing, state in ${backend}`, () => {
    const day = new Day(SEED, BYTES);
    afterAll(() => day.remove());
    const hit = new Map<string, number>();

    test.each(STORIES)(
      '$name',
      async ({ name: _name, ...story }) => {
        const places = chosenOf(await placesOf(day, story), randomOf(SEED));
        await inTwos(places, async ([name, place]) => {
          await crashAt(day, story, backend, [place]);
          hit.set(name, (hit.get(name) ?? 0) + 1);
        });
      },
      240_000,
    );

    test(
      'a second crash while the first is made good',
      async () => {
        const random: Random = randomOf(SEED + (backend === 'file' ? 1 : 0));
        const rounds = Array.from({ length: 5 * Math.max(1, SOAK) }, () => ({
          ...random.pick(STORIES),
          at: [1 + random.below(15), 1 + random.below(15), 1 + random.below(12)],
        }));
        await inTwos(rounds, ({ name: _name, at, ...story }) => crashAt(day, story, backend, at));
      },
      240_000 * Math.max(1, SOAK),
    );

    test.each(STORIES)(
      'a crash while what a dead one staged is taken over: $name',
      async ({ name: _name, ...story }) => {
        await crashAt(day, story, backend, ['committed:1', 'taken', 'taken', 'opened']);
      },
    );

    test('every kind of place was hit', () => {
      process.stdout.write(`${backend}: crashed at ${[...hit].map(([name, n]) => `${name} ${n}`).join(', ')}\n`);
      expect([...hit.keys()].sort()).toEqual([...KINDS].sort());
    });
  });
}

/** Works on two at a time: an attempt mostly waits for its own start. */
export async function inTwos<T>(list: readonly T[], work: (item: T, index: number) => Promise<void>): Promise<void> {
  const queue = list.entries();
  await Promise.all(
    [0, 1].map(async () => {
      for (const [index, item] of queue) await work(item, index);
    }),
  );
}
