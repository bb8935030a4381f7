/** Records that come cut, elements of an array or what an earlier step left: on the byte kernel they come to what they are on values. */
import { expect, test } from 'vitest';
import { noProgram } from '../../runner/engine/byte-pass.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import { fuse, type Op } from '../../runner/engine/fuse.ts';
import { filter } from '../../runner/oxis/transforms/filter.ts';
import { map } from '../../runner/oxis/transforms/map.ts';
import { RandomSteps } from './random-steps.ts';
import { CutStage, cutBlock, cutOnValues, opsOf } from './tiers.ts';

const context = { projectRoot: '.', stepId: 'step' };
const filterOps = (where: string): Op[] => opsOf([filter.make({ where } as never, context) as never]);
const mapOps = (config: Record<string, unknown>): Op[] => opsOf([...(map.make(config as never, context) as never[])]);
const texts = (...records: string[]): Buffer[] => records.map((record) => Buffer.from(record));

test('random steps over random records, laid out in any way, come to the same by operations, scripts and values', {
  timeout: 300_000,
}, () => {
  const seed = Number(process.env.OXIFLOW_SEED ?? Date.now() % 1e9);
  const random = new RandomSteps(seed);
  let pipelines = 0;
  let records = 0;
  let deferred = 0;
  while (pipelines < 400) {
    const configs = random.steps();
    let ops: Op[];
    try {
      ops = configs.flatMap(({ oxi, config }, owner) =>
        (oxi === 'filter' ? filterOps(config.where as string) : mapOps(config)).map((op) => ({ ...op, owner })),
      );
    } catch (error) {
      // A constant part is wrong for every record.
      if (!(error instanceof OxiError)) throw error;
      continue;
    }
    if (fuse(ops, new Set()).length > 1 || noProgram(ops) !== undefined) continue;
    pipelines++;
    const made = Array.from({ length: 100 }, () => {
      const record = Buffer.from(random.record().trim());
      // Whoever cuts lines has not looked into them; in whatever else comes cut, line feeds are white space.
      return random.below(20) === 0 ? random.mutated(record).filter((byte) => byte !== 0x0a) : record;
    }).filter((record) => record.length > 0 && (record[0] as number) > 0x20);
    const between = random.pick<() => string>([
      () => '\n',
      () => ',',
      () => ', ',
      () => ',\r\n',
      () => random.pick([',', ' , ', '\n', ',\n  ', '\t,']),
    ]);
    const block = cutBlock(
      made.map((record) => Buffer.from(record)),
      between,
      random.pick([1, 1, 3]),
    );
    const expected = cutOnValues(ops, block);
    for (const byScripts of [false, true]) {
      const stage = new CutStage(ops, undefined, byScripts);
      const shown = `seed ${seed}${byScripts ? ', by scripts' : ''}: ${JSON.stringify(configs, (_key, value) => (value instanceof Map ? [...value] : value))}`;
      expect(stage.run(block), shown).toEqual(expected);
      deferred += stage.deferred;
    }
    records += block.count;
  }
  process.stdout.write(`seed ${seed}: ${records} records that came cut, ${deferred} of twice as many deferred\n`);
  expect(deferred).toBeLessThan(2 * 0.7 * records);
});

test('the kernel itself does the usual, also of records that are written over several lines', () => {
  const records = Array.from({ length: 400 }, (_, i) =>
    Buffer.from(i % 2 === 0 ? `{"x":${i},"y":"a"}` : `{\n  "x": ${i},\r\n  "y": "a"\n}`),
  );
  const ops = mapOps({ set: new Map([['z', 'x + 1']]), drop: ['y'] });
  const stage = new CutStage(ops);
  const block = cutBlock(records, () => ',\n');
  expect(stage.run(block)).toEqual(cutOnValues(ops, block));
  expect(stage.deferred).toBe(0);
});

test('a block of which every record stays as it came goes on itself, and of one of which none is left nothing', () => {
  const block = cutBlock(texts('{"x":1}', '{"x":2}', '{"x":3}'), () => ',');
  expect(new CutStage([]).work(block)?.block).toBe(block);
  expect(new CutStage(filterOps('x > 9')).work(block)?.outcome).toMatchObject({ left: [], filtered: [3] });
});

test('records of one offset stay apart where the kernel defers some of them', () => {
  // A number that no double holds goes the way of values.
  const records = texts('{"x":1}', '{"x":12345678901234567890}', '{"x":12345678901234567891}', '{"x":"a"}', '{"x":4}');
  const block = cutBlock(records, () => ',', 5);
  const ops = mapOps({ set: new Map([['z', 'default(x, 0) == 1 || x == 4 ? 1 : x + 1']]) });
  const stage = new CutStage(ops);
  expect(stage.run(block)).toEqual(cutOnValues(ops, block));
  expect(stage.deferred).toBeGreaterThan(0);
});

test.each([
  ['one at the other', cutBlock(texts('{"x":1}', '{"x":2}', '{"x":3}'), () => '')],
  ['far apart', cutBlock(texts('{"x":1}', '{\n"x":2}', '{"x":3}'), () => ' '.repeat(100))],
  ['in another order', { ...cutBlock(texts('{"x":1}', '{"x":2}'), () => ','), spans: Uint32Array.of(9, 16, 1, 8) }],
])('records that stand %s come to what they are on values', (_how, block) => {
  const ops = filterOps('x > 1');
  expect(new CutStage(ops).run(block)).toEqual(cutOnValues(ops, block));
});

test.each([
  ['are nothing', cutBlock(texts('{"x":1}', ' ', '{"x":2}'), () => ',')],
  ['begin with white space', cutBlock(texts('{"x":1}', ' {"x":2}'), () => ',')],
  ['are not there', cutBlock([], () => ',')],
])('a block with records that %s is left to values', (_what, block) => {
  expect(new CutStage(filterOps('x > 1')).run(block)).toBeUndefined();
});

test('a block behind one in which a record ended the run has nothing of that', () => {
  const many = cutBlock(
    Array.from({ length: 9000 }, (_, i) => Buffer.from(`{"x":${i < 8500 ? i : '"a"'}}`)),
    () => ',',
  );
  const stage = new CutStage(mapOps({ set: new Map([['y', 'x + 1']]) }), undefined, false, 'stop');
  expect(() => stage.run(many)).toThrow('stop');
  const few = cutBlock(texts('{"x":1}', '{"x":2}'), () => ',');
  expect(stage.run(few)?.left).toHaveLength(2);
});
