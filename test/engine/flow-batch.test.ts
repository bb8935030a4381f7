import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import type { BatchSpec, Block } from '../../runner/engine/contracts.ts';
import { noCounters } from '../../runner/engine/counters.ts';
import type { Barrier, Flow } from '../../runner/engine/flow.ts';
import { newChannel } from '../../runner/engine/flow.ts';
import { runBatch } from '../../runner/engine/flow-batch.ts';
import { batch } from '../../runner/oxis/flow/batch.ts';
import type { Json } from '../../runner/state/store.ts';
import { runInMemory } from '../contract/golden-flow.ts';
import { blockOf, recordsOf } from '../contract/oxi-suite.ts';
import { barrierOf } from './barrier.ts';

const MB = 1024 * 1024;
const AT_ONCE = { bytes: 0, records: 0 };

function specOf(config: Record<string, unknown>, threads = 1): BatchSpec {
  return batch.batch(z.parse(batch.config as z.ZodType, config) as never, threads);
}

/** Orders `from` to `to`, without it. */
function orders(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `{"order":${from + i}}`);
}

/** A batch at work, its intake and its output. */
function started(config: Record<string, unknown>, { threads = 1, state }: { threads?: number; state?: Json } = {}) {
  const input = newChannel();
  const out = newChannel();
  const counters = noCounters();
  let asked = 0;
  const node = {
    stepId: 'batch',
    spec: specOf(config, threads),
    counters,
    state,
    together: false,
    checkpoint: () => {
      asked++;
    },
  };
  const ended = runBatch(node, input, out);
  ended.catch(() => undefined);
  const give = (records: string[]): Promise<void> =>
    input.send({ kind: 'block', block: blockOf(records), broken: [], letters: [] }, AT_ONCE);
  const pass = (barrier: Barrier): Promise<void> => input.send({ kind: 'barrier', barrier }, AT_ONCE);
  const finish = async (): Promise<void> => {
    await pass(barrierOf(99, { grade: 'hard', last: 'finished' }));
    input.close();
  };
  return { input, out, counters, ended, give, pass, finish, asked: () => asked };
}

/** Takes what comes until a barrier, or the end. */
async function taken(out: Flow): Promise<Block[]> {
  const blocks: Block[] = [];
  for (let item = await out.receive(); item !== undefined; item = await out.receive()) {
    if (item.kind === 'barrier') return blocks;
    if (item.block.count > 0) blocks.push(item.block);
  }
  return blocks;
}

/** All the batches of these blocks. */
async function batchesOf(config: Record<string, unknown>, blocks: string[][]): Promise<string[][]> {
  const work = started(config);
  const batches = taken(work.out);
  for (const block of blocks) await work.give(block);
  await work.finish();
  await work.ended;
  return (await batches).map(recordsOf);
}

describe('what ends a batch', () => {
  const rows: [string, Partial<BatchSpec>][] = [
    ['size', { maxRecords: 20, maxMs: undefined }],
    ['time', { maxRecords: 10_000, maxMs: 250 }],
    ['memory', { maxRecords: 10_000, maxMs: undefined }],
    ['size_or_time', { maxRecords: 20, maxMs: 250 }],
    ['SIZE_OR_TIME', { maxRecords: 20, maxMs: 250 }],
    ['SizeOrTime', { maxRecords: 20, maxMs: 250 }],
    ['size_or_memory', { maxRecords: 20, maxMs: undefined }],
    ['SizeOrMemory', { maxRecords: 20, maxMs: undefined }],
    ['any', { maxRecords: 20, maxMs: 250 }],
    ['hybrid', { maxRecords: 20, maxMs: 250 }],
    ['Hybrid', { maxRecords: 20, maxMs: 250 }],
  ];
  test.each(rows)('strategy %s', (strategy, expected) => {
    const spec = specOf({ strategy, batch_size: 20, flush_interval_ms: 250, max_memory_mb: 3 });
    expect(spec).toMatchObject({ ...expected, maxBytes: 3 * MB, emit: 'records', waiting: 0 });
  });

  test('a strategy that nobody knows is refused with those that there are', () => {
    const { error } = z.safeParse(batch.config as z.ZodType, { strategy: 'weight' });
    expect(error?.issues[0]?.message).toContain('size, time, memory, size_or_time, size_or_memory, any');
  });

  test('time and memory alone keep to max_batch_size; a size beyond it is refused', () => {
    expect(specOf({ strategy: 'time', max_batch_size: 7 }).maxRecords).toBe(7);
    expect(z.safeParse(batch.config as z.ZodType, { batch_size: 8, max_batch_size: 7 }).success).toBe(false);
  });
});

describe('a batch', () => {
  test('is exact, wherever blocks begin and end', async () => {
    const all = orders(0, 23);
    for (const size of [1, 2, 5, 7, 22, 23, 24])
      for (const cut of [1, 2, 3, 5, 7, 11, 23]) {
        const blocks: string[][] = [];
        for (let at = 0; at < all.length; at += cut) blocks.push(all.slice(at, at + cut));
        const batches = await batchesOf({ batch_size: size }, blocks);
        expect(batches.flat()).toEqual(all);
        const last = 23 % size === 0 ? size : 23 % size;
        expect(batches.map((one) => one.length)).toEqual([...Array(Math.ceil(23 / size) - 1).fill(size), last]);
      }
  });

  test('an empty stream has none', async () => {
    expect(await batchesOf({ emit: 'array' }, [])).toEqual([]);
    expect(await batchesOf({ emit: 'records' }, [[]])).toEqual([]);
  });

  test('is whole before its records are too large, and a larger one stands alone', async () => {
    const large = (mb: number): string => JSON.stringify({ image: 'x'.repeat(mb * MB) });
    const small = '{"image":""}';
    const batches = await batchesOf({ strategy: 'memory', max_memory_mb: 2 }, [
      [small, large(1), small],
      [large(1), small, large(3), small],
      [small],
    ]);
    expect(batches.map((one) => one.map((record) => record.length >> 20))).toEqual([[0, 1, 0], [1, 0], [3], [0, 0]]);
  });

  test('with time goes on when its time is over, though nothing more comes', async () => {
    const work = started({ strategy: 'size_or_time', batch_size: 1000, flush_interval_ms: 20 });
    await work.give(orders(0, 3));
    const first = await work.out.receive();
    expect(first?.kind === 'block' && recordsOf(first.block)).toEqual(orders(0, 3));
    await work.give(orders(3, 4));
    const second = await work.out.receive();
    expect(second?.kind === 'block' && recordsOf(second.block)).toEqual(orders(3, 4));
    const rest = taken(work.out);
    await work.finish();
    await work.ended;
    expect(await rest).toEqual([]);
    expect(work.counters).toMatchObject({ in: 4, out: 4, collected: 0, added: 0 });
  });

  test('as arrays with time: one that is whole does not wait for others', async () => {
    const work = started({ strategy: 'any', emit: 'array', batch_size: 2, flush_interval_ms: 60_000 });
    await work.give(orders(0, 2));
    const first = await work.out.receive();
    expect(first?.kind === 'block' && recordsOf(first.block)).toEqual(['[{"order":0},{"order":1}]']);
    work.input.fail(new Error('the shop closes'));
    await expect(work.ended).rejects.toThrow('the shop closes');
  });

  test('asks for a checkpoint after so many', async () => {
    const work = started({ batch_size: 2, checkpoint_frequency: 3 });
    const batches = taken(work.out);
    await work.give(orders(0, 25));
    await work.finish();
    await work.ended;
    expect((await batches).length).toBe(13);
    expect(work.asked()).toBe(4);
  });
});

describe('half a batch', () => {
  test.each(['records', 'array'])('is in the checkpoint, and the next attempt fills it (%s)', async (emit) => {
    const before = started({ batch_size: 5, emit });
    await before.give(orders(0, 7));
    await before.give(['{"who":"Zoë 🛒","n":1.50}']);
    const barrier = barrierOf(1);
    await before.pass(barrier);
    const first = await taken(before.out);
    expect(first.map((block) => block.count)).toEqual([emit === 'array' ? 1 : 5]);
    expect(barrier.counters.get('batch')).toMatchObject({ in: 8, out: emit === 'array' ? 1 : 5 });
    before.input.fail(new Error('killed'));
    await before.ended.catch(() => undefined);

    const state = JSON.parse(JSON.stringify(barrier.snapshots.batch)) as Json;
    const after = started({ batch_size: 5, emit }, { state });
    Object.assign(after.counters, barrier.counters.get('batch'));
    const batches = taken(after.out);
    await after.give(orders(8, 11));
    await after.finish();
    await after.ended;
    const second = [...orders(5, 7), '{"who":"Zoë 🛒","n":1.50}', ...orders(8, 10)];
    const records = (await batches).map(recordsOf);
    if (emit === 'array') expect(records.flat()).toEqual([`[${second.join()}]`, `[${orders(10, 11).join()}]`]);
    else expect(records).toEqual([second, orders(10, 11)]);
    const { counters } = after;
    expect(counters.in + counters.added).toBe(counters.out + counters.collected);
    expect(counters.bytes_in).toBe(
      [...orders(0, 7), '{"who":"Zoë 🛒","n":1.50}', ...orders(8, 11)].reduce(
        (sum, one) => sum + Buffer.byteLength(one),
        0,
      ),
    );
  });

  test('that is none leaves nothing behind', async () => {
    const work = started({ batch_size: 5 });
    await work.give(orders(0, 5));
    const barrier = barrierOf(1);
    await work.pass(barrier);
    await taken(work.out);
    expect(barrier.snapshots).toEqual({});
    await work.finish();
    await taken(work.out);
    await work.ended;
  });

  test('that is large is left out of soft checkpoints, never out of hard ones', async () => {
    const work = started({ batch_size: 1000, max_memory_mb: 64 });
    const image = JSON.stringify({ image: 'x'.repeat(3 * MB) });
    await work.give([image]);
    const soft = barrierOf(1);
    await work.pass(soft);
    await taken(work.out);
    expect(soft).toMatchObject({ declined: true, snapshots: {} });
    const hard = barrierOf(2, { grade: 'hard' });
    await work.pass(hard);
    await taken(work.out);
    expect(hard.declined).toBe(false);
    expect(hard.snapshots.batch).toMatchObject({ records: [image] });
    await work.finish();
    await taken(work.out);
    await work.ended;
  });
});

describe('threads: 2', () => {
  test('one batch waits to be taken while the next one fills; without it the intake waits', async () => {
    for (const [threads, parallel_batches, ahead] of [
      [1, 1, 0],
      [2, 1, 1],
      [2, 3, 3],
    ] as const) {
      const work = started({ batch_size: 1, parallel_batches }, { threads });
      // What the steps behind it have not taken fills their queue: one more record than it holds does not fit.
      const large = JSON.stringify({ image: 'x'.repeat(3 * MB) });
      let given = 0;
      const giving = (async () => {
        for (let i = 0; i < 12; i++) {
          await work.input.send(
            { kind: 'block', block: blockOf([large]), broken: [], letters: [] },
            { bytes: 2 * MB, records: 1 },
          );
          given++;
        }
        await work.finish();
      })();
      // Everything that can move has moved when a round of the event loop moves nothing.
      for (let last = -1; last !== given; ) {
        last = given;
        for (let i = 0; i < 20; i++) await new Promise<void>((resolve) => setImmediate(resolve));
      }
      // One in the queue behind it, one in the hand of whoever sends, one that was received ahead, one in the queue before it.
      expect(given, `threads: ${threads}, parallel_batches: ${parallel_batches}`).toBe(
        4 + ahead + (threads === 2 ? 1 : 0),
      );
      expect((await taken(work.out)).length).toBe(12);
      await giving;
      await work.ended;
    }
  });

  test('a failure behind it ends the intake', async () => {
    const work = started({ batch_size: 1 }, { threads: 2 });
    work.out.fail(new Error('disk full'));
    await work.give(orders(0, 3));
    await expect(work.ended).rejects.toThrow('disk full');
  });
});

describe('in a pipeline', () => {
  const text = orders(0, 50).join('\n');
  const run = (steps: Parameters<typeof runInMemory>[0]['steps'], piece: number) =>
    runInMemory({ name: 'orders.ndjson', bytes: Buffer.from(text), piece, steps });

  test.each([1, 7, 64 * 1024])('batches of batches are arrays of arrays, in pieces of %i bytes', async (piece) => {
    const { bytes, counters } = await run(
      [
        { oxi: 'parse_json' },
        { oxi: 'batch', config: { emit: 'array', batch_size: 4 } },
        { oxi: 'batch', config: { emit: 'array', batch_size: 5 } },
        { oxi: 'format_json' },
      ],
      piece,
    );
    const inner = Array.from({ length: 13 }, (_, i) => orders(4 * i, Math.min(50, 4 * i + 4)));
    const outer = [0, 5, 10].map((at) => inner.slice(at, at + 5).map((one) => `[${one.join()}]`));
    expect(bytes.toString()).toBe(outer.map((one) => `[${one.join()}]\n`).join(''));
    expect(counters.get('batch_2')).toMatchObject({ in: 50, collected: 50, added: 13, out: 13 });
    expect(counters.get('batch_3')).toMatchObject({ in: 13, collected: 13, added: 3, out: 3 });
  });

  test('in the middle of steps nothing is lost or reordered', async () => {
    const { bytes, counters } = await run(
      [
        { oxi: 'parse_json' },
        { oxi: 'filter', config: { where: 'order % 2 == 0' } },
        { oxi: 'batch', config: { batch_size: 3 } },
        { oxi: 'map', config: { set: { order: 'order + 1' } } },
        { oxi: 'batch', config: { batch_size: 7, strategy: 'any' }, threads: 2 },
        { oxi: 'format_json' },
      ],
      7,
    );
    const odd = Array.from({ length: 25 }, (_, i) => `{"order":${2 * i + 1}}\n`);
    expect(bytes.toString()).toBe(odd.join(''));
    expect(counters.get('batch_3')).toMatchObject({ in: 25, out: 25, collected: 0, added: 0 });
  });
});
