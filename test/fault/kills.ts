/** Kills a run at random instants, one attempt after the other, until so many have died; then lets it finish. */
import { afterAll, describe, expect, test } from 'vitest';
import { type Random, randomOf, SEED, SOAK } from './random.ts';
import type { Attempt, AttemptOptions, Backend, Ended } from './runner.ts';
import { Day, Shop, type Story } from './shop.ts';

const STORIES: readonly (Story & { name: string })[] = [
  { name: 'lines, one thread', input: 'lines', output: 'lines', threads: 1 },
  { name: 'lines on two threads, a sink in the middle', input: 'lines', output: 'lines', threads: 2, middle: true },
  {
    name: 'lines appended to an old output',
    input: 'lines',
    output: 'lines',
    threads: 1,
    before: 'old\n',
    append: true,
  },
  {
    name: 'an array to an array, with a backup',
    input: 'array',
    output: 'array',
    threads: 2,
    before: '[]\n',
    backup: true,
  },
  { name: 'lines on two threads, to an array', input: 'lines', output: 'array', threads: 2 },
  { name: 'lines packed with gzip', input: 'lines', output: 'lines', threads: 1, packed: '.gz' },
  { name: 'a document to pretty text', input: 'document', output: 'pretty', threads: 1 },
  { name: 'an array to lines, nothing overwritten', input: 'array', output: 'lines', threads: 1, overwrite: false },
  {
    name: 'a document on two threads, a sink in the middle',
    input: 'document',
    output: 'array',
    threads: 2,
    middle: true,
  },
];

const ROUNDS = Math.max(1, SOAK);
/** Of each story, at least. */
const EACH = { kills: 4 * ROUNDS, resumed: 3 * ROUNDS };
const BYTES = 14_000_000;

/** Where the next kill comes: so long after the start of the process, or after the k-th event of a type. */
function killer(random: Random, resumed: boolean): { what: string; options: AttemptOptions; afterStart?: number } {
  const way = random.below(10);
  const ms = random.below(15);
  if (way === 0 && resumed) {
    const afterStart = random.below(400);
    return { what: `${afterStart} ms after its start`, options: {}, afterStart };
  }
  const type = way <= 1 ? 'run.started' : 'checkpoint';
  const nth = type === 'checkpoint' ? 1 + random.below(2) : 1;
  let seen = 0;
  const options: AttemptOptions = {
    onEvent: (event, attempt) => {
      if (event.type === type && ++seen === nth) setTimeout(() => attempt.kill(), ms);
    },
  };
  return { what: `${ms} ms after ${type} ${nth}`, options };
}

/** A project whose pipeline is killed again and again. */
export interface Victim {
  /** Its run has several segments: each numbers its checkpoints anew, and one that has none is not resumed, but begun. */
  readonly inSegments?: boolean;
  attempt(args: readonly string[], options: AttemptOptions): Attempt;
  expectDone(ended: Ended, hint: string): Promise<void>;
  remove(): void;
}

export interface Tally {
  kills: number;
  /** Of those, how many were followed by an attempt that went on above zero. */
  resumed: number;
}

/** Runs of victims are killed until there were `least` kills and resumed attempts; every run ends as if nothing had happened. */
export async function killUntil(least: Tally, random: Random, next: () => Victim): Promise<Tally> {
  const tally: Tally = { kills: 0, resumed: 0 };
  // A run that was quicker than its killers makes room for another one.
  for (let run = 0; run < 20 && !isEnough(tally, least); run += 1) {
    const victim = next();
    const told: string[] = [];
    const last = await killAndResume(victim, random, tally, least, told);
    await victim.expectDone(last, `seed ${SEED} (OXIFLOW_FAULT_SEED), run ${run}, killed ${told.join(', ')}`);
    victim.remove();
  }
  return tally;
}

function isEnough(tally: Tally, least: Tally): boolean {
  return tally.kills >= least.kills && tally.resumed >= least.resumed;
}

/** Returns the attempt that finished. */
async function killAndResume(shop: Victim, random: Random, tally: Tally, least: Tally, told: string[]): Promise<Ended> {
  let reached = 0;
  for (let kills = 0; ; kills += 1) {
    const enough = isEnough(tally, least);
    const { what, options, afterStart } = enough ? { what: 'nothing', options: {} } : killer(random, kills > 0);
    told.push(what);
    const attempt = shop.attempt(['--invocation', 'nightly'], options);
    const timer = afterStart === undefined ? undefined : setTimeout(() => attempt.kill(), afterStart);
    const ended = await attempt.ended;
    clearTimeout(timer);
    const { checkpoint, records } = ended.resumedFrom ?? { checkpoint: 0, records: 0 };
    if (records > 0) tally.resumed += 1;
    const isBegun = shop.inSegments === true && ended.resumedFrom === undefined;
    if (ended.events.some(({ type }) => type === 'run.started') && !isBegun) {
      const now = shop.inSegments === true ? records : checkpoint;
      expect(now, `it went back: ${told.join(', ')}`).toBeGreaterThanOrEqual(reached);
      reached = now;
    }
    if (ended.signal !== 'SIGKILL') return ended;
    tally.kills += 1;
  }
}

export function killTests(backend: Backend): void {
  describe(`kill -9 at random instants, state in ${backend}`, () => {
    const day = new Day(SEED, BYTES);
    afterAll(() => day.remove());
    const total: Tally = { kills: 0, resumed: 0 };

    test.each(STORIES.map((story, i) => ({ ...story, i })))(
      'costs nothing: $name',
      async ({ name: _name, i, ...story }) => {
        const random = randomOf(SEED + 1000 * i + (backend === 'file' ? 500 : 0));
        const tally = await killUntil(EACH, random, () => new Shop(day, { story, backend, softMs: 5 }));
        total.kills += tally.kills;
        total.resumed += tally.resumed;
      },
      60_000 * ROUNDS,
    );

    test('so many kills, and so many of them resumed above zero', () => {
      process.stdout.write(`${backend}: ${total.kills} kills, ${total.resumed} resumed from a position above zero\n`);
      // Together with the other backend at least 50, of which at least 40.
      expect(total.kills).toBeGreaterThanOrEqual(25);
      expect(total.resumed).toBeGreaterThanOrEqual(20);
    });
  });
}
