/** Steps that remember: an attempt that goes on from any barrier leaves the same records, however the stream is cut. */
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import type { Block, BlockStep, StepContext } from '../../runner/engine/contracts.ts';
import { registry } from '../../runner/oxis/registry.ts';
import { RecentKeys } from '../../runner/oxis/transforms/recent-keys.ts';
import { RandomJson } from '../kernel/random-json.ts';
import { blockOf, recordsOf } from './oxi-suite.ts';

const SEED = Number(process.env.OXIFLOW_FUZZ_SEED ?? 20_260_301);
const CONTEXT: StepContext = {
  now: 0,
  params: new Map(),
  env: new Map(),
  stream: { framing: 'lines', selected: false },
  splitName: 'rides.ndjson',
  offset: 0,
};

function make(oxi: string, config: Record<string, unknown>): BlockStep {
  const definition = registry.get(oxi);
  if (definition?.kind !== 'step') throw new Error(`${oxi} is no step`);
  const checked = z.parse(definition.config as z.ZodType, config) as never;
  return definition.make(checked, { projectRoot: '/', stepId: oxi }) as BlockStep;
}

async function pass(step: BlockStep, block: Block): Promise<string[]> {
  return recordsOf(
    await step.process(block, CONTEXT, (_index, error) => {
      throw error;
    }),
  );
}

/** The records `from` to `to` of all, at their offsets in the split. */
function piece(all: Block, from: number, to: number): Block {
  return {
    ...all,
    spans: all.spans.slice(2 * from, 2 * to),
    offsets: all.offsets.slice(from, to),
    count: to - from,
  };
}

const random = new RandomJson(SEED);
const rides = blockOf(Array.from({ length: 600 }, (_, i) => `{"ride":${random.below(80)},"n":${i}}`));

describe.each([
  ['dedupe', { key: ['ride'], within: 30 }],
  ['dedupe', { key: 'ride % 7', within: 3 }],
  ['limit', { records: 123 }],
  ['sample', { every: 7 }],
  ['sample', { rate: 0.3, seed: 5 }],
] as const)('%s %j', (oxi, config) => {
  test(`goes on at every barrier as if nothing had happened (seed ${SEED})`, async () => {
    const undisturbed = await pass(make(oxi, config), rides);
    expect(undisturbed.length).toBeGreaterThan(0);
    const size = 23;
    let step = make(oxi, config);
    const found: string[] = [];
    for (let at = 0; at < rides.count; at += size) {
      found.push(...(await pass(step, piece(rides, at, Math.min(at + size, rides.count)))));
      const snapshot = step.snapshot?.();
      const next = make(oxi, config);
      if (snapshot !== undefined) next.restore?.(JSON.parse(JSON.stringify(snapshot)));
      expect(next.snapshot?.()).toEqual(snapshot);
      step = next;
    }
    expect(found).toEqual(undisturbed);
  });
});

describe('dedupe', () => {
  const kept = async (key: unknown, ...records: string[]): Promise<string[]> =>
    pass(make('dedupe', { key, within: 100 }), blockOf(records));

  test.each([
    ['1', '1.0', true],
    ['100', '1e2', true],
    ['0', '-0', true],
    ['1', '"1"', false],
    ['1', 'true', false],
    ['null', '"null"', false],
    ['9007199254740993', '9007199254740992', false],
    ['"\\u0061"', '"a"', true],
    ['{"a":1,"b":[2]}', '{"b":[2.0],"a":1}', true],
    ['[1,2]', '[2,1]', false],
    ['["a,b"]', '["a","b"]', false],
    ['"é"', '"e\u0301"', false],
  ])('of %s and %s one stays: %j', async (a, b, one) => {
    expect(await kept(['k'], `{"k":${a}}`, `{"k":${b}}`)).toHaveLength(one ? 1 : 2);
  });

  test('fields are not mixed up', async () => {
    expect(await kept(['a', 'b'], '{"a":"x,","b":"y"}', '{"a":"x","b":",y"}')).toHaveLength(2);
  });

  test('the window slides over the records that stay', async () => {
    const step = make('dedupe', { key: ['k'], within: 2 });
    const records = ['1', '2', '1', '3', '1', '2'].map((k) => `{"k":${k}}`);
    expect(await pass(step, blockOf(records))).toEqual(['{"k":1}', '{"k":2}', '{"k":3}', '{"k":1}', '{"k":2}']);
  });

  test('a snapshot says how large it is, and is no larger than the window', async () => {
    const step = make('dedupe', { key: ['n'], within: 100 });
    await pass(step, rides);
    expect(step.snapshotBytes).toBe(Math.ceil((100 * 16) / 3) * 4);
    expect(JSON.stringify(step.snapshot?.()).length).toBe((step.snapshotBytes ?? 0) + '{"keys":""}'.length);
  });

  test(`a ring of keys is a queue of the last so many, against a plain model (seed ${SEED})`, () => {
    const most = 50;
    const keys = new RecentKeys(most);
    const model: number[] = [];
    for (let i = 0; i < 20_000; i++) {
      const key = random.below(120);
      // Few different first words: they are where a key is looked for.
      const isNew = keys.add(Uint32Array.of(key % 5, key, 0, 0));
      expect(isNew, `seed ${SEED}, key ${i}`).toBe(!model.includes(key));
      if (!isNew) continue;
      model.push(key);
      if (model.length > most) model.shift();
    }
  });
});

describe('sample', () => {
  const many = blockOf(Array.from({ length: 20_000 }, (_, i) => `{"ride":${i}}`));

  test('the same records for one piece and for many, in any order', async () => {
    const config = { rate: 0.25, seed: 1 };
    const whole = await pass(make('sample', config), many);
    const parts: string[][] = [];
    for (let k = 3; k >= 0; k--)
      parts.unshift(await pass(make('sample', config), piece(many, k * 5000, (k + 1) * 5000)));
    expect(parts.flat()).toEqual(whole);
  });

  test('the share is that of the rate, and another seed picks others', async () => {
    const one = await pass(make('sample', { rate: 0.25 }), many);
    const other = new Set(await pass(make('sample', { rate: 0.25, seed: 7 }), many));
    // Five standard deviations of a fair coin of this kind are 306.
    expect(Math.abs(one.length - 5000)).toBeLessThan(306);
    const both = one.filter((record) => other.has(record)).length;
    expect(Math.abs(both - 1250)).toBeLessThan(200);
  });

  test('a rate of 0 keeps nothing and a rate of 1 everything', async () => {
    expect(await pass(make('sample', { rate: 0 }), many)).toHaveLength(0);
    expect(await pass(make('sample', { rate: 1 }), many)).toHaveLength(many.count);
  });
});

test('limit has enough once its records have passed', async () => {
  const step = make('limit', { records: 2 });
  await pass(step, blockOf(['1']));
  expect(step.enough).toBe(false);
  expect(await pass(step, blockOf(['2', '3']))).toEqual(['2']);
  expect(step.enough).toBe(true);
  expect(make('limit', { records: 0 }).enough).toBe(true);
});
