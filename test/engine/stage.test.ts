import { describe, expect, test } from 'vitest';
import type { Block, BlockStep, FieldPath, RecordStep } from '../../runner/engine/contracts.ts';
import { imbalances, noCounters } from '../../runner/engine/counters.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import { fuse } from '../../runner/engine/fuse.ts';
import { StageProgram } from '../../runner/engine/stage.ts';
import { addAll, type StageSpec } from '../../runner/engine/stage-spec.ts';
import { makeSteps } from '../../runner/oxis/make.ts';
import { packBlock } from '../../runner/threads/messages.ts';
import { StagePool } from '../../runner/threads/pool.ts';
import { runInMemory } from '../contract/golden-flow.ts';
import { blockOf, pieceOf, recordsOf, stageOf, TIERS } from '../contract/oxi-suite.ts';
import { RandomJson } from '../kernel/random-json.ts';

test('a dead letter keeps its bytes when the memory of its block is used again', async () => {
  const block = blockOf(['{"km":1}', '{"km":"far"}']);
  // As sources give it: a Buffer, whose own "slice" is no copy.
  const bytes = Buffer.from(block.bytes);
  const spec = stageOf([{ oxi: 'map', config: { set: { km: 'km * 2' } }, onError: 'dead_letter' }]);
  const { letters } = await new StageProgram(spec, makeSteps).process({ ...block, bytes });
  bytes.fill('x');
  expect(letters.map(({ record }) => Buffer.from(record).toString())).toEqual(['{"km":"far"}']);
});

describe('fusion', () => {
  const reads = (...touches: FieldPath[]): RecordStep => ({
    form: 'record',
    cardinality: 'filter',
    touches,
    apply: () => 'keep',
  });
  const writes = (...paths: FieldPath[]): RecordStep => ({ ...reads(...paths), writes: paths });
  const block: BlockStep = { form: 'block', cardinality: 'many', state: 'none', process: (b) => b };
  /** Owners of the steps of each part. */
  const parts = (...steps: (RecordStep | BlockStep)[]): number[][] =>
    fuse(
      steps.map((step, owner) => ({ owner, step })),
      new Set(),
    ).map((part) => (Array.isArray(part) ? part.map(({ owner }) => owner) : [part.owner]));

  const rows: [promise: string, steps: (RecordStep | BlockStep)[], expected: number[][]][] = [
    ['steps that share fields are one pass', [reads(['a'], ['b', 'c']), writes(['a']), reads(['a'])], [[0, 1, 2]]],
    ['a step that looks inside what was written begins another', [writes(['user']), reads(['user', 'x'])], [[0], [1]]],
    ['a step that looks around what was written too', [writes(['user', 'x']), reads(['user'])], [[0], [1]]],
    ['and one that takes the whole record', [writes(['a']), reads([])], [[0], [1]]],
    ['names that only begin alike are no matter', [writes(['user']), reads(['users', 'x'])], [[0, 1]]],
    ['reading inside before writing is no matter', [reads(['user', 'x']), writes(['user'])], [[0, 1]]],
    ['a new pass has nothing written', [writes(['u']), reads(['u', 'x']), reads(['u', 'y'])], [[0], [1, 2]]],
    ['a block step stands alone', [reads(['a']), block, reads(['a'])], [[0], [1], [2]]],
  ];
  test.each(rows)('%s', (_promise, steps, expected) => {
    expect(parts(...steps)).toEqual(expected);
  });
});

describe.each(TIERS)('a stage on %s', (tier) => {
  const given = (some: readonly string[]): Block => (tier === 'bytes' ? pieceOf(some) : blockOf(some));
  const records = ['{"n":1}', '{"n":', '{"n":2}', '{"m":3}', '{"n":40}'];

  test('with drop leaves bad records out, says why, and counts them where they went', async () => {
    const spec = { ...stageOf([{ oxi: 'filter', config: { where: 'n < 10' }, onError: 'drop' }]), tier };
    (spec.steps[0] as { onError: string }).onError = 'drop';
    const { block, counters, failures } = await new StageProgram(spec, makeSteps).process(given(records));
    expect(recordsOf(block)).toEqual(['{"n":1}', '{"n":2}']);
    expect(counters[0]).toMatchObject({ in: 5, out: 4, dropped: 1 });
    expect(counters[1]).toMatchObject({ in: 4, out: 2, dropped: 1, filtered: 1 });
    expect(failures.map(({ step }) => step)).toEqual(['parse', 'filter_1']);
    expect(failures[0]?.message).toContain('rides.ndjson: record at byte 8');
    const source = { ...noCounters(), added: 5, out: 5 };
    const steps = [source, ...counters].map((one, i) => ({
      id: `step ${i}`,
      after: i === 0 ? undefined : `step ${i - 1}`,
      counters: one,
    }));
    expect(imbalances(steps)).toEqual([]);
  });

  test('keeps a few messages and counts all', async () => {
    const spec = { ...stageOf([{ oxi: 'filter', config: { where: 'n < 10' }, onError: 'drop' }]), tier };
    const { counters, failures } = await new StageProgram(spec, makeSteps).process(
      given(Array.from({ length: 50 }, () => '{"m":1}')),
    );
    expect(counters[1]?.dropped).toBe(50);
    expect(failures).toHaveLength(3);
  });

  test('with stop ends at the first bad record, with its place and the remedy', async () => {
    const error = await new StageProgram({ ...stageOf([]), tier }, makeSteps).process(given(records)).then(
      () => expect.fail('accepted'),
      (thrown: unknown) => thrown as OxiError,
    );
    expect(error).toBeInstanceOf(OxiError);
    expect(error).toMatchObject({ code: 'RECORD_INVALID', exitCode: 3, place: { step: 'parse', offset: 13 } });
    expect(error.message).toContain('on_error: drop');
  });

  test('a bug in a step is no record error: it ends the run, drop or not', async () => {
    const spec = { ...stageOf([{ oxi: 'filter', config: { where: 'true' }, onError: 'drop' }]), tier };
    const [parser] = makeSteps(spec);
    const program = new StageProgram(spec, () => [
      parser as RecordStep,
      {
        form: 'record',
        cardinality: 'one',
        touches: [],
        apply: () => {
          throw new TypeError('not a function');
        },
      },
    ]);
    await expect(program.process(given(['1']))).rejects.toThrow(TypeError);
  });
});

test('a block that nobody changes goes on as it came', async () => {
  const block = blockOf(['{"n":1}', '{"n":2}']);
  const spec = stageOf([{ oxi: 'filter', config: { where: 'n > 0' } }]);
  expect((await new StageProgram(spec, makeSteps).process(block)).block.bytes).toBe(block.bytes);
});

test('a json_select in a stage of its own still knows whether the framer did its work', async () => {
  const bytes = Buffer.from('{\n"groups": [{"items": [1, 2]}, {"items": [3]}]}');
  const steps = [
    { oxi: 'parse_json', threads: 2 },
    { oxi: 'json_select', config: { path: '.groups' }, threads: 3 },
    { oxi: 'json_select', config: { path: '.items' }, threads: 2 },
  ];
  expect(String((await runInMemory({ name: 'groups.json', bytes, piece: 1000, steps })).bytes)).toBe('[1,2,3]\n');
});

test('a balance that does not hold is said, inside a step and between two', () => {
  const step = (id: string, more: Partial<ReturnType<typeof noCounters>>) => ({
    id,
    after: id === 'read' ? undefined : 'read',
    counters: { ...noCounters(), ...more },
  });
  expect(imbalances([step('read', { added: 3, out: 3 }), step('filter', { in: 3, out: 1, filtered: 2 })])).toEqual([]);
  expect(imbalances([step('read', { added: 3, out: 3 }), step('filter', { in: 3, out: 1 })])).toEqual([
    'step "filter": 2 records went in and never came out',
  ]);
  expect(imbalances([step('read', { added: 3, out: 3 }), step('filter', { in: 2, out: 2 })])).toEqual([
    'behind "read": 3 records left, 2 arrived',
  ]);
  const tee = step('tee', { in: 3, added: 3, out: 6 });
  const behind = (id: string, records: number) => ({ ...step(id, { in: records, out: records }), after: 'tee' });
  expect(imbalances([tee, behind('left', 3), behind('right', 3)])).toEqual([]);
  expect(imbalances([tee, behind('left', 3), behind('right', 2)])).toEqual(['behind "tee": 6 records left, 5 arrived']);
});

describe('threads', () => {
  const spec: StageSpec = stageOf([
    { oxi: 'filter', config: { where: 'n % 3 != 0' } },
    { oxi: 'map', config: { set: { twice: 'n * 2' }, rename: { n: 'number' }, drop: ['x'] } },
  ]);
  /** Blocks of very different sizes, so that they are done in another order than they came. */
  function blocks(): Block[] {
    const random = new RandomJson(7);
    let n = 0;
    return Array.from({ length: 40 }, () =>
      blockOf(Array.from({ length: 1 + random.below(4) ** 4 }, () => `{"n":${n++}.0,"x":${random.value()}}`)),
    );
  }
  const copies = (): Block[] => blocks().map((block) => structuredClone(block));

  test('three threads give for each block what the main thread gives', async () => {
    const program = new StageProgram(spec, makeSteps);
    const inline = [];
    for (const block of copies()) inline.push(await program.process(block));
    await using pool = new StagePool(spec, { threads: 3, mayLoop: false, restarts: 0 });
    const pooled = await Promise.all(copies().map((block) => pool.run(block)));
    expect(pooled.map(({ block }) => recordsOf(block))).toEqual(inline.map(({ block }) => recordsOf(block)));
    expect(pooled.map(({ counters }) => counters)).toEqual(inline.map(({ counters }) => counters));
  });

  test('a flow on three threads gives the bytes of a flow on one, though blocks overtake one another', async () => {
    const lines = blocks().flatMap(recordsOf);
    const bytes = Buffer.from(lines.map((line) => `${line.replaceAll(/[\n\r]/g, ' ')}\n`).join(''));
    const steps = (threads: number) => [
      { oxi: 'parse_json', threads },
      { oxi: 'filter', config: { where: 'n % 3 != 0' } },
      { oxi: 'map', config: { set: { twice: 'n * 2' }, drop: ['x'] } },
    ];
    const finished: number[] = [];
    const random = new RandomJson(11);
    const run = (threads: number): ReturnType<typeof runInMemory> =>
      runInMemory({
        name: 'rides.ndjson',
        bytes,
        piece: 900,
        steps: steps(threads),
        startPool: (stage, options) => {
          // One of the three is the main thread.
          expect(options.threads).toBe(2);
          const pool = new StagePool(stage, options);
          let next = 0;
          return {
            run: async (block) => {
              const index = next++;
              const result = await pool.run(block);
              // Answers wait for a random number of turns.
              for (let turns = random.below(6); turns > 0; turns--)
                await new Promise((resolve) => setImmediate(resolve));
              finished.push(index);
              return result;
            },
            [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
          };
        },
      });
    const one = await run(1);
    const three = await run(3);
    expect(finished).not.toEqual(finished.toSorted((a, b) => a - b));
    expect(three.bytes.equals(one.bytes)).toBe(true);
    expect(three.counters).toEqual(one.counters);
  });

  test('a record error on a thread keeps its code and its place', async () => {
    await using pool = new StagePool(spec, { threads: 1, mayLoop: false, restarts: 0 });
    const error = await pool.run(blockOf(['{"n":1}', '{"m":1}'])).then(
      () => expect.fail('accepted'),
      (thrown: unknown) => thrown as OxiError,
    );
    expect(error).toBeInstanceOf(OxiError);
    expect(error).toMatchObject({ code: 'RECORD_INVALID', place: { step: 'filter_1', offset: 8 } });
  });

  test('a block that shares its memory is copied, one that owns it is given away', () => {
    const shared = new Uint8Array(new ArrayBuffer(200_000), 0, 8);
    const small = { ...blockOf(['{"n":1}']), bytes: Buffer.from('{"n":1}\n') };
    expect(packBlock(small).block.bytes.buffer).not.toBe(small.bytes.buffer);
    const own = { ...small, bytes: shared };
    expect(packBlock(own).transfer).toContain(shared.buffer);
  });

  test('counters of blocks add up', () => {
    const total = [noCounters(), noCounters()];
    addAll(total, [
      { ...noCounters(), in: 2, out: 1 },
      { ...noCounters(), in: 1 },
    ]);
    addAll(total, [
      { ...noCounters(), in: 3, out: 3 },
      { ...noCounters(), in: 3, filtered: 3 },
    ]);
    expect(total[0]).toMatchObject({ in: 5, out: 4 });
    expect(total[1]).toMatchObject({ in: 4, filtered: 3 });
  });
});
