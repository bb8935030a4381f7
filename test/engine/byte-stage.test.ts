/** A stage whose first steps run on the byte kernel gives what it gives without: records, counters, failures, dead letters, places. */
import { afterEach, describe, expect, test } from 'vitest';
import type { Block } from '../../runner/engine/contracts.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import { StageProgram } from '../../runner/engine/stage.ts';
import type { StageResult } from '../../runner/engine/stage-spec.ts';
import { makeSteps } from '../../runner/oxis/make.ts';
import { runInMemory } from '../contract/golden-flow.ts';
import { stageOf } from '../contract/oxi-suite.ts';
import { RandomSteps } from '../kernel/random-steps.ts';

afterEach(() => {
  delete process.env.OXIFLOW_TIER;
});

function lines(seed: number, count: number): Buffer {
  const random = new RandomSteps(seed);
  const made = Array.from({ length: count }, (_, i) => {
    if (i % 97 === 0) return '';
    const record = random.record().replaceAll('\n', ' ');
    return i % 31 === 0 ? record.slice(0, random.below(record.length)) : record;
  });
  return Buffer.from(made.join('\n'));
}

/** What came of a piece, without the clocks. */
async function outcome(tier: string, spec: Parameters<typeof stageOf>[0], text: Buffer): Promise<unknown> {
  process.env.OXIFLOW_TIER = tier;
  const program = new StageProgram(stageOf(spec), makeSteps);
  const piece: Block = {
    bytes: Buffer.from(text),
    spans: new Uint32Array(),
    offsets: new Float64Array(),
    count: 0,
    split: 0,
    uncut: { offset: 500, broken: [] },
  };
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
  return program.process(piece).then(shown, (error: unknown) => {
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
    expect(await outcome('bytes', steps, text)).toEqual(await outcome('values', steps, text));
  });
});

test('a whole flow has the same bytes, dead letters and counters on both', async () => {
  const text = lines(9, 4000);
  const run = async (tier: string): Promise<unknown> => {
    process.env.OXIFLOW_TIER = tier;
    const { bytes, letters, counters, written } = await runInMemory({
      name: 'events.ndjson',
      bytes: text,
      piece: 70_001,
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
  expect(await run('bytes')).toEqual(await run('values'));
});

test('a tier that this build does not have is refused', async () => {
  process.env.OXIFLOW_TIER = 'spans';
  expect(() => new StageProgram(stageOf([]), makeSteps)).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining('OXIFLOW_TIER is "spans"') }),
  );
});
