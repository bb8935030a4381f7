/** A stage whose first steps run on the byte kernel gives what it gives without: records, counters, failures, dead letters, places. */
import { describe, expect, test, vi } from 'vitest';
import { ByteStart } from '../../runner/engine/byte-start.ts';
import type { Block, ProcessingLimits, RecordStep, Tier } from '../../runner/engine/contracts.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import { type Op, Pass } from '../../runner/engine/fuse.ts';
import { StageProgram } from '../../runner/engine/stage.ts';
import type { StageResult } from '../../runner/engine/stage-spec.ts';
import { tierAsked } from '../../runner/engine/tiers.ts';
import { LineCutter } from '../../runner/kernel/lines.ts';
import { makeSteps } from '../../runner/oxis/make.ts';
import { runInMemory } from '../contract/golden-flow.ts';
import { stageOf } from '../contract/oxi-suite.ts';
import { RandomSteps } from '../kernel/random-steps.ts';

function lines(seed: number, count: number): Buffer {
  const random = new RandomSteps(seed);
  const made = Array.from({ length: count }, (_, i) => {
    if (i % 97 === 0) return '';
    const record = random.record().replaceAll('\n', ' ');
    return i % 31 === 0 ? record.slice(0, random.below(record.length)) : record;
  });
  return Buffer.from(made.join('\n'));
}

/** Lines that nobody has cut. */
function pieceOf(text: Buffer): Block {
  return {
    bytes: Buffer.from(text),
    spans: new Uint32Array(),
    offsets: new Float64Array(),
    count: 0,
    split: 0,
    uncut: { offset: 500, broken: [] },
  };
}

/** What came of a piece, without the clocks. */
async function outcome(tier: Tier, spec: Parameters<typeof stageOf>[0], given: Block): Promise<unknown> {
  const program = new StageProgram({ ...stageOf(spec), tier }, makeSteps);
  const shown = ({ block, counters, failures, letters, cut }: StageResult): unknown => ({
    records: Array.from({ length: block.count }, (_, i) => [
      block.offsets[i],
      Buffer.from(block.bytes.subarray(block.spans[2 * i], block.spans[2 * i + 1])).toString('latin1'),
    ]),
    counters,
    failures,
    letters: letters.map((letter) => ({ ...letter, record: Buffer.from(letter.record).toString('latin1') })),
    cut,
  });
  return program.process(given).then(shown, (error: unknown) => {
    if (!(error instanceof OxiError)) throw error;
    return { error: error.message, place: error.place, cut: program.cut };
  });
}

type Steps = Parameters<typeof stageOf>[0];

const pipelines: [what: string, steps: Steps][] = [
  ['no step but the parser', []],
  [
    'a filter, with bad records in dead letters',
    [{ oxi: 'filter', config: { where: 'a > 3' }, onError: 'dead_letter' }],
  ],
  [
    'filter and map, bad records left out',
    [
      { oxi: 'filter', config: { where: 'c == true || has(user.id)' }, onError: 'drop' },
      {
        oxi: 'map',
        config: {
          set: { d: 'round(a * 119) / 100', 'user.new': 'b + ":" + string(a)' },
          rename: { b: 'bee' },
          drop: ['note'],
        },
        onError: 'dead_letter',
      },
    ],
  ],
  [
    'steps with state behind them',
    [
      { oxi: 'map', config: { set: { d: 'default(a, 1)' }, select: ['a', 'd', 'b'] }, onError: 'drop' },
      { oxi: 'limit', config: { records: 40 }, onError: 'drop' },
      { oxi: 'map', config: { set: { e: 'has(b)' } }, onError: 'drop' },
    ],
  ],
  [
    'a record that fails passes on as it came',
    [
      { oxi: 'filter', config: { where: 'a > 3' }, onError: 'pass' as never },
      { oxi: 'map', config: { set: { d: 'b + "x"' } }, onError: 'pass' as never },
    ],
  ],
  ['the first bad record ends it', [{ oxi: 'filter', config: { where: 'a > 3' }, onError: 'stop' }]],
];

describe.each(pipelines)('%s', (_what, steps) => {
  test.each([1, 2, 3])('comes to the same on bytes as on values (seed %i)', async (seed) => {
    const text = lines(seed, 1500);
    expect(await outcome('bytes', steps, pieceOf(text))).toEqual(await outcome('values', steps, pieceOf(text)));
  });

  test.each([4, 5])('and so it does of records that come cut (seed %i)', async (seed) => {
    const text = lines(seed, 1500);
    const cut = (): Block => {
      const { bytes, spans, offsets, count } = new LineCutter(1 << 26).cut({ bytes: Buffer.from(text), offset: 500 });
      return { bytes, spans, offsets, count, split: 0, whole: false };
    };
    const expected = await outcome('values', steps, cut());
    expect(await outcome('bytes', steps, cut())).toEqual(expected);
    expect(await outcome('spans', steps, cut())).toEqual(expected);
  });
});

test.each([
  ['is whole', ''],
  ['breaks off', ',{"a":1'],
])(
  'an array that %s comes to the same on all tiers, records written over several lines among it',
  async (_how, end) => {
    const random = new RandomSteps(11);
    const records = Array.from({ length: 2000 }, () => random.record().trim()).filter((record) => {
      try {
        return typeof JSON.parse(record) === 'object';
      } catch {
        return false;
      }
    });
    expect(records.length).toBeGreaterThan(1000);
    const bytes = Buffer.from(`[\n${records.join(',\n')}${end}${end === '' ? ']' : ''}`);
    const run = async (tier: Tier): Promise<unknown> => {
      const ran = runInMemory({
        name: 'events.json',
        bytes,
        piece: 50_001,
        tier,
        steps: [
          { oxi: 'parse_json', on_error: 'stop' },
          { oxi: 'filter', config: { where: 'default(c, true) == true' }, on_error: 'dead_letter' },
          { oxi: 'dedupe', config: { key: ['note', 'a'], within: 50 }, on_error: 'drop' },
          { oxi: 'map', config: { set: { d: 'a * 2' }, drop: ['note'] }, on_error: 'drop' },
          { oxi: 'format_json' },
        ],
      });
      return ran.then(
        ({ bytes: made, letters, counters, written }) => ({
          text: made.toString('latin1'),
          letters: letters.toString('latin1').replaceAll(/"ts":"[^"]*"/g, ''),
          counters: [...counters],
          written,
        }),
        (error: unknown) => ({ error: (error as Error).message }),
      );
    };
    const expected = await run('values');
    expect(Object.keys(expected as object), JSON.stringify(expected).slice(0, 300)).toEqual(
      end === '' ? ['text', 'letters', 'counters', 'written'] : ['error'],
    );
    expect(await run('bytes')).toEqual(expected);
    expect(await run('spans')).toEqual(expected);
  },
);

test('a whole flow has the same bytes, dead letters and counters on both', async () => {
  const text = lines(9, 4000);
  const run = async (tier: Tier): Promise<unknown> => {
    const { bytes, letters, counters, written } = await runInMemory({
      name: 'events.ndjson',
      bytes: text,
      piece: 70_001,
      tier,
      steps: [
        { oxi: 'parse_json', on_error: 'dead_letter' },
        { oxi: 'filter', config: { where: 'default(c, true)' }, on_error: 'drop' },
        { oxi: 'map', config: { set: { d: 'a * 2' }, drop: ['note'] }, on_error: 'drop' },
        { oxi: 'format_json' },
      ],
    });
    expect(written).toBeGreaterThan(100);
    const said = letters.toString('latin1').replaceAll(/"ts":"[^"]*"/g, '');
    return { text: bytes.toString('latin1'), letters: said, counters: [...counters], written };
  };
  const expected = await run('values');
  expect(await run('bytes')).toEqual(expected);
  expect(await run('spans')).toEqual(expected);
});

test('a tier that there is not is refused', () => {
  expect(() => tierAsked({ OXIFLOW_TIER: 'fast' })).toThrow(
    expect.objectContaining({
      code: 'CONFIG_INVALID',
      message: 'OXIFLOW_TIER is "fast": there are bytes, spans, values',
    }),
  );
  expect(tierAsked({ OXIFLOW_TIER: 'spans' })).toBe('spans');
  expect(tierAsked({ OXIFLOW_TIER: 'bytes' })).toBe('bytes');
  expect(tierAsked({ OXIFLOW_TIER: '' })).toBeUndefined();
  expect(tierAsked({})).toBeUndefined();
});

test('a line that is too long ends the run with the same counts on both', async () => {
  const good = '{"a":1,"note":"x"}\n'.repeat(5000);
  const bytes = Buffer.from(`${good}{"a":"${'y'.repeat(1_200_000)}"}\n${good}`);
  const run = async (tier: Tier, on_error: 'stop' | 'dead_letter'): Promise<unknown> => {
    const read = new Map<string, unknown>();
    const ended = await runInMemory({
      name: 'events.ndjson',
      bytes,
      piece: 3_000_000,
      tier,
      figures: (figures) => {
        for (const { id, counters } of figures.steps) read.set(id, counters);
      },
      steps: [{ oxi: 'parse_json', config: { max_record_mb: 1 }, on_error }, { oxi: 'format_json' }],
    }).then(
      () => 'well',
      (error: OxiError) => error.message,
    );
    return { ended, read: JSON.stringify([...read]) };
  };
  expect(await run('bytes', 'stop')).toEqual(await run('values', 'stop'));
  expect(await run('values', 'stop')).toEqual({
    ended: expect.stringContaining('a line is longer than'),
    read: expect.stringContaining('"out":10001'),
  });
  expect(await run('bytes', 'dead_letter')).toEqual(await run('values', 'dead_letter'));
});

/** Lines of a few fields, of which the kernel defers the share that has a text for a number. */
function rides(count: number, deferred: (i: number) => boolean): Buffer {
  const lines = Array.from({ length: count }, (_, i) => `{"km":${deferred(i) ? '"7"' : i % 50},"city":"Faro"}\n`);
  return Buffer.from(lines.join(''));
}

describe('which pieces go to the kernel', () => {
  const world = { params: new Map(), env: new Map() };
  const passOf = (onError: 'stop' | 'drop' = 'drop'): Pass => {
    const spec = stageOf([{ oxi: 'map', config: { set: { miles: 'km / 1.6' } }, onError }]);
    const ops = makeSteps(spec).flatMap((made, owner) =>
      [made].flat().map((step): Op => ({ owner, step: step as RecordStep })),
    );
    return new Pass(ops, { parser: 0, checked: false });
  };
  const large = rides(10_000, () => false);

  test('none of a small input, and every one from the first that is worth it', () => {
    const start = new ByteStart(passOf(), world, undefined);
    expect(start.passFor(pieceOf(rides(100, () => false)), 1 << 20)).toBeUndefined();
    expect(start.passFor(pieceOf(large), 1 << 20)).toBeDefined();
    expect(start.passFor(pieceOf(rides(100, () => false)), 1 << 20)).toBeDefined();
    // A pipe gives small pieces, and many of them.
    const slow = new ByteStart(passOf(), world, undefined);
    const small = rides(2000, () => false);
    const pieces = Array.from({ length: 4 }, () => slow.passFor(pieceOf(small), 1 << 20) !== undefined);
    expect([small.length < 64 << 10, pieces]).toEqual([true, [false, false, true, true]]);
    expect(new ByteStart(passOf(), world, 'bytes').passFor(pieceOf(rides(1, () => false)), 1 << 20)).toBeDefined();
    expect(new ByteStart(passOf(), world, 'values').passFor(pieceOf(large), 1 << 20)).toBeUndefined();
  });

  test('none with a line that is too long, or of a size that it has no room for', () => {
    const start = new ByteStart(passOf(), world, 'bytes');
    expect(start.passFor(pieceOf(large), 100)).toBeDefined();
    expect(start.passFor(pieceOf(large), 20)).toBeUndefined();
    const open = Buffer.from('{"km":1}\n{"km":1,"city":"Faro"}');
    expect(start.passFor(pieceOf(open), 22)).toBeDefined();
    expect(start.passFor(pieceOf(open), 21)).toBeUndefined();
    expect(start.passFor(pieceOf(Buffer.alloc((16 << 20) + 1, 0x0a)), 1 << 26)).toBeUndefined();
  });

  test('none for a while where most records are deferred, and then again', () => {
    const start = new ByteStart(passOf(), world, undefined);
    const next = (): boolean => start.passFor(pieceOf(large), 1 << 20) !== undefined;
    const rests = (): number => {
      let n = 0;
      while (!next()) n++;
      return n;
    };
    expect(next()).toBe(true);
    start.worked(1000, 499);
    expect(next()).toBe(true);
    start.worked(1000, 900);
    const first = rests();
    expect(first).toBeGreaterThan(0);
    start.worked(1000, 900);
    expect(rests()).toBe(2 * first);
    // It goes well again: the next rest is a short one.
    start.worked(1000, 0);
    expect(next()).toBe(true);
    start.worked(1000, 0);
    start.worked(4000, 4000);
    expect(rests()).toBe(first);
    for (let i = 0; i < 20; i++) {
      start.worked(1000, 1000);
      expect(rests()).toBeLessThanOrEqual(512);
    }
  });

  test('a forced kernel never rests, and a stage judges its own pieces', async () => {
    const forced = new ByteStart(passOf(), world, 'bytes');
    forced.worked(10_000, 10_000);
    expect(forced.passFor(pieceOf(large), 1 << 20)).toBeDefined();
    const spec = stageOf([{ oxi: 'map', config: { set: { miles: 'km / 1.6' } }, onError: 'drop' }]);
    const { tier: _, ...free } = spec;
    const program = new StageProgram(free, makeSteps);
    const asked = vi.spyOn(ByteStart.prototype, 'passFor');
    const wide = (deferred: (i: number) => boolean): Buffer =>
      Buffer.from(rides(700, deferred).toString().replaceAll('Faro', 'Faro'.repeat(60)));
    const bad = wide((i) => i % 10 > 0);
    const good = wide(() => false);
    const ways: string[] = [];
    for (let i = 0; i < 20; i++) {
      const { counters } = await program.process(pieceOf(i < 12 ? bad : good));
      expect(counters.map((one) => one.in)).toEqual([700, 700]);
      ways.push(asked.mock.results[i]?.value === undefined ? 'values' : 'bytes');
    }
    asked.mockRestore();
    expect(ways[0]).toBe('bytes');
    expect(ways.slice(1, 9)).toEqual(Array.from({ length: 8 }, () => 'values'));
    expect(ways[9]).toBe('bytes');
  });
});

test('limits of a batch and of memory mean the same on both, and do not keep the kernel away', async () => {
  const text = Buffer.concat([
    rides(3000, (i) => i % 7 === 0),
    Buffer.from(`{"km":1,"note":"${'z'.repeat(1_100_000)}"}\n`),
    rides(20, () => false),
  ]);
  const base = stageOf([{ oxi: 'map', config: { set: { miles: 'km / 2' } }, onError: 'dead_letter' }]);
  const run = async (tier: Tier, limits: ProcessingLimits, piece: Buffer): Promise<unknown> => {
    const steps = base.steps.map((step, i) => (i === 0 ? step : { ...step, limits }));
    const program = new StageProgram({ ...base, steps, tier }, makeSteps);
    const { block, counters, failures, letters, cut } = await program.process(pieceOf(piece));
    return {
      records: Array.from({ length: block.count }, (_, i) =>
        Buffer.from(block.bytes.subarray(block.spans[2 * i], block.spans[2 * i + 1])).toString(),
      ),
      counters,
      failures,
      letters: letters.length,
      cut,
    };
  };
  const asked = vi.spyOn(ByteStart.prototype, 'passFor');
  for (const [limits, piece, isOwn] of [
    [{ maxBatchSize: 10 }, rides(3000, (i) => i % 7 === 0), true],
    [{ maxMemoryMb: 1 }, text, false],
    [{ maxMemoryMb: 1 }, rides(60_000, (i) => i % 7 === 0), true],
    [{ maxMemoryMb: 2, maxBatchSize: 1 }, text, true],
  ] as const) {
    asked.mockClear();
    expect(await run('bytes', limits, piece)).toEqual(await run('values', limits, piece));
    expect(asked.mock.results[0]?.value !== undefined).toBe(isOwn);
  }
  asked.mockRestore();
});

test('the time of a pass on the kernel is shared out by the work of each step', async () => {
  const heavy = Object.fromEntries(
    Array.from({ length: 12 }, (_, i) => [`z${i}`, `round(km * ${i}.17, 2) + floor(km / 3) * 2`]),
  );
  const spec = stageOf([
    { oxi: 'filter', config: { where: 'km >= 0' }, onError: 'drop' },
    { oxi: 'map', config: { set: heavy }, onError: 'drop' },
    { oxi: 'filter', config: { where: 'has(city)' }, onError: 'drop' },
  ]);
  const program = new StageProgram({ ...spec, tier: 'bytes' }, makeSteps);
  const sums = [0, 0, 0, 0];
  for (let i = 0; i < 40; i++) {
    const result = await program.process(pieceOf(rides(4000, () => false)));
    expect(result.sampled).toEqual([true, true, true, true]);
    // The first block that is timed comes after some that are not.
    if (i > 4) for (const [owner, ms] of result.stepMs.entries()) sums[owner] = (sums[owner] ?? 0) + ms;
  }
  const [parse = 0, first = 0, map = 0, last = 0] = sums;
  expect(map).toBeGreaterThan(2 * first);
  expect(map).toBeGreaterThan(first + last);
  expect(parse).toBeGreaterThan(0);
});
