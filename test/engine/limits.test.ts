import { describe, expect, test } from 'vitest';
import type { Block, BlockStep, ProcessingLimits } from '../../runner/engine/contracts.ts';
import type { OxiError } from '../../runner/engine/errors.ts';
import { type AskedLimits, portionsOf, tightenLimits } from '../../runner/engine/limits.ts';
import { StageProgram } from '../../runner/engine/stage.ts';
import type { StageSpec } from '../../runner/engine/stage-spec.ts';
import { makeSteps } from '../../runner/oxis/make.ts';
import { registry } from '../../runner/oxis/registry.ts';
import { blockOf, recordsOf, stageOf } from '../contract/oxi-suite.ts';

const FIELDS: [field: keyof AskedLimits, limit: keyof ProcessingLimits][] = [
  ['max_batch_size', 'maxBatchSize'],
  ['max_memory_mb', 'maxMemoryMb'],
  ['max_processing_time_ms', 'maxProcessingTimeMs'],
  ['concurrent_operations', 'concurrentOperations'],
];

const widened = (work: () => unknown): OxiError => {
  try {
    work();
  } catch (error) {
    return error as OxiError;
  }
  return expect.fail('it was accepted');
};

describe.each([...registry.values()].map((oxi) => [oxi.name, oxi] as const))('the limits of %s', (name, oxi) => {
  const step = { id: 'this_step' };

  test('are declared, and hold where nobody says anything', () => {
    expect(oxi.limits).toBeDefined();
    expect(tightenLimits(oxi, step)).toEqual(oxi.limits);
    // What may loop or wait has a time.
    if (oxi.kind === 'step' && (oxi.mayLoop || oxi.waits)) expect(oxi.limits?.maxProcessingTimeMs).toBeGreaterThan(0);
    if (oxi.kind === 'step' && oxi.waits) expect(oxi.limits?.concurrentOperations).toBeGreaterThan(0);
  });

  test('can be tightened, and not widened', () => {
    for (const [field, limit] of FIELDS) {
      const most = oxi.limits?.[limit];
      expect(tightenLimits(oxi, { ...step, limits: { [field]: 1 } })).toEqual({ ...oxi.limits, [limit]: 1 });
      if (most === undefined) continue;
      expect(tightenLimits(oxi, { ...step, limits: { [field]: most } })).toEqual(oxi.limits);
      const error = widened(() => tightenLimits(oxi, { ...step, limits: { [field]: most + 1 } }));
      expect(error).toMatchObject({
        code: 'CONFIG_INVALID',
        exitCode: 2,
        place: { step: 'this_step', field: 'limits' },
      });
      expect(error.message).toContain(`"limits.${field}" is ${most + 1} and "${name}" allows ${most} at most`);
    }
  });
});

test('max_memory_mb of a step means the same as that of its limits: the smaller one counts, and its place is named', () => {
  const oxi = { name: 'map', limits: { maxMemoryMb: 512 } };
  const of = (maxMemoryMb: number, max_memory_mb?: number) =>
    tightenLimits(oxi, { id: 'map', maxMemoryMb, limits: { max_memory_mb } }).maxMemoryMb;
  expect([of(64), of(64, 8), of(8, 64), of(512)]).toEqual([64, 8, 8, 512]);
  expect(widened(() => of(513))).toMatchObject({ code: 'CONFIG_INVALID', place: { field: 'max_memory_mb' } });
});

describe('a block', () => {
  const sizes = (records: readonly string[], room: { records: number; bytes: number }): string[] =>
    portionsOf(blockOf(records), room).map(({ from, to, tooLarge }) => `${from}-${to}${tooLarge ? '!' : ''}`);
  const NONE = Number.POSITIVE_INFINITY;

  test.each([
    ['as it is where there is room', ['aa', 'bb'], { records: 2, bytes: 4 }, ['0-2']],
    ['by records', ['a', 'b', 'c', 'd', 'e'], { records: 2, bytes: NONE }, ['0-2', '2-4', '4-5']],
    ['by bytes', ['aa', 'bb', 'c', 'd', 'e'], { records: NONE, bytes: 4 }, ['0-2', '2-5']],
    ['by whichever comes first', ['aa', 'bb', 'c', 'd', 'e'], { records: 2, bytes: 3 }, ['0-1', '1-3', '3-5']],
    [
      'with those that are too large alone',
      ['a', 'bbbb', 'c', 'dddd'],
      { records: 9, bytes: 3 },
      ['0-1', '1-2!', '2-3', '3-4!'],
    ],
    ['and nothing where there is nothing', [], { records: 1, bytes: 1 }, []],
  ])('is cut %s', (_how, records, room, expected) => {
    expect(sizes(records, room)).toEqual(expected);
  });
});

describe('a step', () => {
  const limited = (spec: StageSpec, step: number, limits: ProcessingLimits): StageSpec => ({
    ...spec,
    steps: spec.steps.map((one, i) => (i === step ? { ...one, limits } : one)),
  });
  const MB = 1024 * 1024;

  test('is given no more records at a time than its limit', async () => {
    const given: number[] = [];
    const counting: BlockStep = {
      form: 'block',
      cardinality: 'one',
      state: 'none',
      process: (block: Block) => {
        given.push(block.count);
        // A step owns what it is given, and may write to it.
        block.bytes.subarray(block.spans[0], block.spans[2 * block.count - 1]).fill(0x31);
        return block;
      },
    };
    const spec = limited(stageOf([{ oxi: 'filter', config: { where: 'true' } }]), 1, { maxBatchSize: 30 });
    const program = new StageProgram(spec, () => [{ ...counting, process: (block) => block }, counting]);
    const { block, counters } = await program.process(blockOf(Array.from({ length: 100 }, () => '22')));
    expect(given).toEqual([30, 30, 30, 10]);
    expect(recordsOf(block)).toEqual(Array(100).fill('11'));
    expect(counters[1]).toMatchObject({ in: 100, out: 100 });
  });

  test('refuses a record that is larger than its memory, by name, and goes on', async () => {
    const spec = limited(stageOf([{ oxi: 'map', config: { set: { seen: 'true' } }, onError: 'drop' }]), 1, {
      maxMemoryMb: 1,
    });
    const records = ['{"ride":1}', JSON.stringify({ ride: 2, track: 'x'.repeat(MB) }), '{"ride":3}'];
    const { block, counters, failures } = await new StageProgram(spec, makeSteps).process(blockOf(records));
    expect(recordsOf(block)).toEqual(['{"ride":1,"seen":true}', '{"ride":3,"seen":true}']);
    expect(counters[0]).toMatchObject({ in: 3, out: 3, dropped: 0 });
    expect(counters[1]).toMatchObject({ in: 3, out: 2, dropped: 1 });
    expect(failures[0]?.message).toBe(
      `rides.ndjson: record at byte 11: step "map_1": it has ${MB + 21} bytes, and the step takes ${MB} at most (max_memory_mb)`,
    );
  });

  test('and with on_error: stop the run ends there', async () => {
    const spec = limited(stageOf([{ oxi: 'filter', config: { where: 'true' } }]), 0, { maxMemoryMb: 1 });
    const work = new StageProgram(spec, makeSteps).process(blockOf(['1', `"${'x'.repeat(MB)}"`]));
    await expect(work).rejects.toMatchObject({
      code: 'RECORD_INVALID',
      exitCode: 3,
      place: { step: 'parse', offset: 2 },
    });
  });

  test('gives the same records and counters whatever the limits are', async () => {
    const spec = stageOf([
      // Several passes of one step, a step that makes several records of one, and bad records.
      { oxi: 'map', config: { set: { next: 'ride + 1' }, rename: { stops: 'halts' }, drop: ['x'] }, onError: 'drop' },
      { oxi: 'json_select', config: { path: '.halts' }, onError: 'drop' },
      { oxi: 'filter', config: { where: 'record % 3 != 0' } },
    ]);
    const records = Array.from({ length: 200 }, (_, ride) =>
      ride % 10 === 7
        ? '{"lost":true}'
        : JSON.stringify({ ride, x: 0, stops: Array.from({ length: ride % 4 }, (_v, k) => ride + k) }),
    );
    const run = async (limits?: ProcessingLimits): Promise<unknown> => {
      const all = { ...spec, steps: spec.steps.map((step) => (limits === undefined ? step : { ...step, limits })) };
      const { block, counters, failures } = await new StageProgram(all, makeSteps).process(blockOf(records));
      return { records: recordsOf(block), offsets: [...block.offsets.slice(0, block.count)], counters, failures };
    };
    const free = await run();
    for (const maxBatchSize of [1, 3, 7, 199, 200]) expect(await run({ maxBatchSize })).toEqual(free);
    expect(await run({ maxMemoryMb: 0.0005 })).toEqual(free);
  });
});
