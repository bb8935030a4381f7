import { expect, test } from 'vitest';
import { killUntil, type Tally, type Victim } from './kills.ts';
import { randomOf, SEED } from './random.ts';
import { expectSame, Scene, type Tale, Telling } from './scene.ts';

const SOLD = 40_000;
const LEAST: Tally = { kills: 3, resumed: 2 };

/** Tickets of a ferry: so many are sold, then the counter closes. */
const ferry: Tale = {
  name: 'a limit in the only chain',
  threads: 1,
  input: (random, bytes) => {
    const tickets: string[] = [];
    for (let held = 0; held < bytes; held += 180)
      tickets.push(JSON.stringify({ ticket: tickets.length, cabin: random.below(90), note: 'sea view '.repeat(16) }));
    return { 'in/tickets.ndjson': tickets.map((ticket) => `${ticket}\n`).join('') };
  },
  pipeline: {
    pipeline: [
      { name: 'read_file', config: { path: 'in/tickets.ndjson' } },
      { name: 'parse_json', config: { framing: 'lines' } },
      { name: 'filter', config: { where: 'cabin >= 9' } },
      { name: 'limit', config: { records: SOLD } },
      { name: 'write_file', config: { path: 'out/sold.ndjson' } },
    ],
  },
  outcome: (input) => {
    const tickets = (input['in/tickets.ndjson'] ?? '').split('\n').slice(0, -1);
    const wanted = tickets.filter((ticket) => (JSON.parse(ticket) as { cabin: number }).cabin >= 9);
    return {
      files: {
        'sold.ndjson': wanted
          .slice(0, SOLD)
          .map((ticket) => `${ticket}\n`)
          .join(''),
      },
    };
  },
};

/** How far the input was read behind the last ticket is a matter of chance, so only what was sold counts. */
function victim(telling: Telling): Victim {
  const scene = new Scene(telling, { backend: 'sqlite', softMs: 5 });
  const { files } = ferry.outcome(telling.input);
  return {
    attempt: (args, options) => scene.attempt(args, options),
    expectDone: async (ended, hint) => {
      expect(ended.code, `${hint}: ${ended.stderr}`).toBe(0);
      expectSame(scene.files()['sold.ndjson'] ?? '', files['sold.ndjson'] ?? '', hint);
      const { counters } = scene.summary();
      expect(counters.total, hint).toMatchObject({ out: SOLD, in_flight: 0 });
      expect(counters.steps.find(({ step }) => step === 'limit')?.counters.out, hint).toBe(SOLD);
    },
    remove: () => scene.remove(),
  };
}

test('a limit that was killed half way lets through as many as it would have, and not one more', async () => {
  process.stdout.write(`ferry: seed ${SEED} (OXIFLOW_FAULT_SEED)\n`);
  const telling = new Telling(ferry, SEED, 9_000_000);
  const tally = await killUntil(LEAST, randomOf(SEED + 77), () => victim(telling));
  expect(tally.resumed).toBeGreaterThanOrEqual(LEAST.resumed);
}, 60_000);
