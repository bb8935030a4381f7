/** Whole flows of random steps, batches and steps that pick records among them: on bytes what they are on values, to the byte. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import type { Tier } from '../../runner/engine/contracts.ts';
import type { Checkpoint } from '../../runner/engine/documents.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import type { Barrier } from '../../runner/engine/flow.ts';
import type { Pool, PoolOptions } from '../../runner/engine/pool.ts';
import { StageProgram } from '../../runner/engine/stage.ts';
import type { StageSpec } from '../../runner/engine/stage-spec.ts';
import { makeSteps } from '../../runner/oxis/make.ts';
import { DiskSink } from '../contract/disk-ends.ts';
import { type GoldenStep, runInMemory } from '../contract/golden-flow.ts';
import { RandomSteps } from '../kernel/random-steps.ts';

const folder = mkdtempSync(join(tmpdir(), 'oxiflow-byte-flow-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// A busy machine makes a flow slow, not wrong.
vi.setConfig({ testTimeout: 240_000 });
const SEED = Number(process.env.OXIFLOW_SEED ?? Date.now() % 1e9);

function linesOf(random: RandomSteps, count: number): Buffer {
  const lines = Array.from({ length: count }, () => {
    const line = Buffer.from(random.record().replaceAll('\n', ' '));
    const made = random.below(40) === 0 ? random.mutated(line) : line;
    const end = random.pick(['\n', '\n', '\n', '\n', '\r\n', ' \n', '\n\n']);
    return Buffer.concat([made.filter((byte) => byte !== 0x0a), Buffer.from(end)]);
  });
  const text = Buffer.concat(lines);
  // The last line may have no end.
  return random.below(2) === 0 ? text : text.subarray(0, text.lastIndexOf(0x7d) + 1);
}

interface Way {
  tier: Tier;
  threads: number;
  /** Threads read and write files by themselves. */
  isDisk: boolean;
  /** What can't be written by them is left to the sink. */
  isClosed?: boolean;
}

/** Threads that take turns on this one. */
function poolHere(spec: StageSpec, { threads }: PoolOptions): Pool {
  const programs = Array.from({ length: Math.max(1, threads) }, () => new StageProgram(spec, makeSteps));
  const free = [...programs];
  const waiting: ((program: StageProgram) => void)[] = [];
  return {
    run: async (block) => {
      const program = free.pop() ?? (await new Promise<StageProgram>((resolve) => waiting.push(resolve)));
      try {
        return await program.process(block);
      } finally {
        const next = waiting.shift();
        if (next === undefined) free.push(program);
        else next(program);
      }
    },
    [Symbol.asyncDispose]: async () => {
      for (const program of programs) await program.close();
    },
  };
}

/** What came of it, and how many times a thread has written by itself. */
async function outcome(
  steps: readonly GoldenStep[],
  text: Buffer,
  { tier, threads, isDisk, isClosed = false }: Way,
): Promise<{ shown: unknown; puts: number }> {
  const sink = isDisk ? new DiskSink(folder, !isClosed) : undefined;
  const [parse, ...others] = steps as [GoldenStep, ...GoldenStep[]];
  const shown = await runInMemory({
    name: 'events.ndjson',
    output: 'out.ndjson',
    bytes: text,
    piece: 50_001,
    tier,
    startPool: poolHere,
    steps: [threads === 1 ? parse : { ...parse, threads }, ...others],
    ...(sink === undefined ? {} : { disk: { folder, sink } }),
  }).then(
    ({ bytes, letters, counters, written }) => ({
      text: bytes.toString('latin1'),
      letters: letters.toString('latin1').replaceAll(/"ts":"[^"]*"/g, ''),
      // How much is read behind a limit is a matter of chance.
      counters: [...counters].filter(([id]) => !id.startsWith('in_')),
      written,
    }),
    (error: unknown) => {
      if (!(error instanceof OxiError)) throw error;
      return { error: error.message };
    },
  );
  return { shown, puts: sink?.advances ?? 0 };
}

// Lines that are written as they came are not taken apart: an empty one among them is as long as the line feed that the last lacks.
test.each([
  ['an empty line, and none at the end', '\n', '', 0],
  ['an empty line', '\n', '\n', 0],
  ['nothing but records, and no line feed at the end', '', '', 1],
  ['nothing but records', '', '\n', 1],
])('a copy of lines with %s is what it is on values', async (_what, between, end, least) => {
  const line = (i: number): string => `{"id":${i}}\n`;
  const text = Buffer.from(`${Array.from({ length: 900 }, (_, i) => line(i)).join('')}${between}{"id":-1}${end}`);
  const steps: GoldenStep[] = [{ oxi: 'parse_json', config: { framing: 'lines' } }];
  const { shown } = await outcome(steps, text, { tier: 'values', threads: 1, isDisk: false });
  for (const tier of ['bytes', 'spans'] as const)
    for (const threads of [1, 2]) {
      const way = await outcome(steps, text, { tier, threads, isDisk: true });
      expect(way.shown).toEqual(shown);
      expect(way.puts).toBeGreaterThanOrEqual(threads === 1 ? 0 : least);
    }
});

test('random flows come to the same bytes, letters, errors and counters on all tiers, threads and ends', {
  timeout: 600_000,
}, async () => {
  const rounds = Number(process.env.OXIFLOW_ROUNDS ?? 40);
  const random = new RandomSteps(SEED);
  const seen = new Map<string, number>();
  let records = 0;
  let puts = 0;
  for (let round = 0; round < rounds; round++) {
    const on_error = random.pick(['drop', 'dead_letter'] as const);
    const limited: GoldenStep[] = random.flow().map((step) => ({ ...step, on_error }));
    const steps: GoldenStep[] = [{ oxi: 'parse_json', config: { framing: 'lines' }, on_error }, ...limited];
    if (random.below(2) === 0) steps.push({ oxi: 'format_json', config: { framing: 'lines' } });
    // A limit ends the reading sooner or later: what is counted before it is the same only in one piece.
    const isShort = limited.some(({ oxi }) => oxi === 'limit');
    const text = linesOf(random, isShort ? 60 : 1500);
    // Stages, whose first steps count the bytes that come in, begin elsewhere where there are threads.
    const expected: unknown[] = [];
    for (const threads of [1, 2]) {
      const { shown } = await outcome(steps, text, { tier: 'values', threads, isDisk: false });
      expected.push(shown);
    }
    const ways: Way[] = [
      { tier: 'bytes', threads: 1, isDisk: false },
      { tier: 'bytes', threads: 1, isDisk: true },
      { tier: 'bytes', threads: 3, isDisk: true },
      { tier: 'values', threads: 2, isDisk: true },
      { tier: 'bytes', threads: 2, isDisk: true, isClosed: true },
      { tier: 'spans', threads: 2, isDisk: true },
    ];
    for (const way of ways) {
      const { shown, puts: own } = await outcome(steps, text, way);
      const wanted = expected[way.threads === 1 ? 0 : 1];
      if (JSON.stringify(shown) !== JSON.stringify(wanted))
        expect(shown, `seed ${SEED}: ${JSON.stringify(way)} ${show(steps)}`).toEqual(wanted);
      puts += own;
    }
    records += isShort ? 60 : 1500;
    for (const name of kindsOf(limited)) seen.set(name, (seen.get(name) ?? 0) + 1);
  }
  process.stdout.write(`seed ${SEED}: ${records} records, ${puts} blocks that threads wrote; ${show([...seen])}\n`);
  expect(puts).toBeGreaterThan(rounds);
  for (const kind of ['batch array', 'batch records', 'limit', 'sample', 'filter', 'map'])
    expect(seen.get(kind) ?? 0, kind).toBeGreaterThanOrEqual(rounds / 20);
});

function kindsOf(steps: readonly GoldenStep[]): string[] {
  return [...new Set(steps.map(({ oxi, config }) => (oxi === 'batch' ? `batch ${config?.emit}` : oxi)))];
}

function show(value: unknown): string {
  return JSON.stringify(value, (_key, part) => (part instanceof Map ? [...part] : part));
}

describe('arrays that threads write', () => {
  const orders = (from: number, to: number, pad = 0): string[] =>
    Array.from({ length: to - from }, (_, i) => `{"order":${from + i},"note":"${'x'.repeat(pad)}"}`);
  const arraysOf = (records: readonly string[], size: number): string =>
    Array.from(
      { length: Math.ceil(records.length / size) },
      (_, i) => `[${records.slice(i * size, (i + 1) * size)}]\n`,
    ).join('');

  test('end early where they would be too large, from there on and not before', async () => {
    const records = [...orders(0, 9000), ...orders(9000, 9004, 400_000), ...orders(9004, 12_000)];
    const text = Buffer.from(`${records.join('\n')}\n`);
    const steps: GoldenStep[] = [
      { oxi: 'parse_json', config: { framing: 'lines' } },
      { oxi: 'batch', config: { emit: 'array', batch_size: 1000, max_memory_mb: 1 } },
    ];
    const expected = await outcome(steps, text, { tier: 'values', threads: 1, isDisk: false });
    for (const threads of [1, 2, 4]) {
      const way = await outcome(steps, text, { tier: 'bytes', threads, isDisk: true });
      expect(way.shown).toEqual(expected.shown);
      expect(way.puts).toBeGreaterThan(0);
    }
  });

  // What one tier has left half done the other one finishes.
  test.each([
    ['bytes', 'bytes'],
    ['bytes', 'values'],
    ['values', 'bytes'],
  ] as const)('that are half done are in every checkpoint: begun on %s, ended on %s', async (first, second) => {
    const records = orders(0, 40_000, 60);
    const text = Buffer.from(`${records.join('\n')}\n`);
    const steps: GoldenStep[] = [
      { oxi: 'parse_json', config: { framing: 'lines' } },
      { oxi: 'filter', config: { where: 'order % 7 != 0' } },
      { oxi: 'batch', config: { emit: 'array', batch_size: 700 } },
    ];
    const barriers: Barrier[] = [];
    const flowOf = (tier: Tier, sink: DiskSink) => ({
      name: 'events.ndjson',
      output: 'out.ndjson',
      bytes: text,
      piece: 100_001,
      tier,
      steps,
      disk: { folder, sink },
      flow: { softIntervalMs: 0, hardIntervalMs: Number.POSITIVE_INFINITY },
    });
    const whole = await runInMemory({
      ...flowOf(first, new DiskSink(folder)),
      commit: async (barrier) => void barriers.push(barrier),
    });
    const expected = arraysOf(
      records.filter((_, i) => i % 7 !== 0),
      700,
    );
    expect(whole.bytes.toString() === expected).toBe(true);
    const halves = barriers.filter(({ last, snapshots }) => last === 'no' && snapshots.batch_3 !== undefined);
    expect(halves.length).toBeGreaterThan(0);
    for (const barrier of halves) {
      const { position, counters, snapshots, encoders, marks, n } = barrier;
      const { bytes } = marks.out_4 as { bytes: number };
      const half = snapshots.batch_3 as { records: string[] };
      expect(counters.get('batch_3')).toMatchObject({
        in: (counters.get('batch_3')?.collected ?? 0) + half.records.length,
      });
      const from = {
        n,
        position: { ...position, ordinal: position.records },
        snapshots: JSON.parse(JSON.stringify(snapshots)),
        encoders,
        marks,
      } as unknown as Checkpoint;
      const sink = new DiskSink(folder, true, expected.slice(0, bytes));
      const { bytes: again } = await runInMemory({
        ...flowOf(second, sink),
        from,
        figures: ({ steps: all }) => {
          for (const { id, counters: mine } of all) Object.assign(mine, counters.get(id));
        },
      });
      expect(again.toString() === expected).toBe(true);
    }
  });
});
