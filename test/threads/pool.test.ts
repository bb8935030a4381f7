import { describe, expect, test, vi } from 'vitest';
import type { OxiError } from '../../runner/engine/errors.ts';
import type { PoolOptions } from '../../runner/engine/pool.ts';
import type { StageSpec } from '../../runner/engine/stage-spec.ts';
import { giveBuffer } from '../../runner/kernel/buffers.ts';
import { StagePool } from '../../runner/threads/pool.ts';
import { blockOf, recordsOf } from '../contract/oxi-suite.ts';

// Every thread is started anew from the sources: that takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const entry = new URL('./poison-thread.ts', import.meta.url);

function stage(onError: 'stop' | 'drop' = 'drop', params: [string, unknown][] = []): StageSpec {
  return {
    steps: ['parse_json', 'obey', 'format_json'].map((oxi) => ({ id: oxi, oxi, config: {}, onError, limits: {} })),
    projectRoot: '/',
    stream: { framing: 'lines', selected: false },
    splitNames: ['rides.ndjson'],
    checked: false,
    now: 0,
    params,
    env: [],
  };
}

function poolOf(options: Partial<PoolOptions>, spec = stage()): { pool: StagePool; said: string[] } {
  const said: string[] = [];
  const say = (message: string) => said.push(message);
  const pool = new StagePool(spec, { threads: 2, mayLoop: false, restarts: 0, say, ...options }, entry);
  return { pool, said };
}

/** Long for a thread on a busy machine, short for a test. */
const DEADLINE_MS = 600;

/** No thread on any machine is as slow: what happens is what the record does. */
const NEVER_MS = 3_600_000;

const looping = (more: Partial<PoolOptions> = {}): Partial<PoolOptions> => ({
  mayLoop: true,
  deadlineMs: DEADLINE_MS,
  heapMb: 32,
  ...more,
});

/** Rides `from` to `to`, of which some do harm. */
function rides(from: number, to: number, harm: Record<number, string> = {}): string[] {
  return Array.from({ length: to - from }, (_, i) => {
    const ride = from + i;
    return JSON.stringify(harm[ride] === undefined ? { ride } : { ride, does: harm[ride] });
  });
}

const failure = (work: Promise<unknown>): Promise<OxiError> =>
  work.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error as OxiError,
  );

describe('a dead thread', () => {
  test('ends the run with a code and the names of the steps', async () => {
    const { pool } = poolOf({});
    await using _ = pool;
    const error = await failure(pool.run(blockOf(rides(0, 3, { 1: 'exit' }))));
    expect(error).toMatchObject({ code: 'THREAD_DIED', exitCode: 1 });
    expect(error.message).toContain('a thread of the steps parse_json, obey, format_json died: it ended with code 7');
  });

  test('fails everything that waits, though other threads live, and everything that comes', async () => {
    const { pool } = poolOf({ threads: 2 });
    await using _ = pool;
    const work = [{ 0: 'wait' }, { 0: 'exit' }, {}, {}, {}, {}, {}].map((harm) => pool.run(blockOf(rides(0, 2, harm))));
    for (const one of await Promise.allSettled(work))
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'THREAD_DIED' });
    expect(await failure(pool.run(blockOf(rides(0, 1))))).toMatchObject({ code: 'THREAD_DIED' });
  });

  test.each([
    ['an error that nobody caught', 'throw', 'the route is not a function'],
    ['memory that ran out', 'grow', 'out of memory|reached.*memory limit'],
  ])('%s: says which', async (_name, does, why) => {
    const { pool } = poolOf({ heapMb: 32 });
    await using _pool = pool;
    const error = await failure(pool.run(blockOf(rides(0, 2, { 0: does }))));
    expect(error.code).toBe('THREAD_DIED');
    expect(error.message).toMatch(new RegExp(why));
  });

  test('all threads at once: nothing hangs', async () => {
    const { pool } = poolOf({ threads: 3 });
    await using _ = pool;
    const work = Array.from({ length: 9 }, () => pool.run(blockOf(rides(0, 2, { 0: 'exit' }))));
    const ended = await Promise.allSettled(work);
    expect(ended.map(({ status }) => status)).toEqual(Array(9).fill('rejected'));
  });

  test('before it has started (no such code, steps that cannot be made): says why, within its budget', async () => {
    for (const [spec, code, why] of [
      [stage(), new URL('./no-such-thread.ts', import.meta.url), /no-such-thread/],
      [stage('drop', [['broken', true]]), entry, /the steps cannot be made/],
    ] as const)
      for (const mayLoop of [false, true]) {
        await using pool = new StagePool(spec, { threads: 2, mayLoop, restarts: 2 }, code);
        const error = await failure(pool.run(blockOf(rides(0, 2))));
        expect(error).toMatchObject({ code: 'THREAD_DIED', exitCode: 1 });
        expect(error.message).toMatch(why);
        expect(pool.restarts).toBe(2);
      }
  });

  test('while it is idle: the blocks behind it fail, or another thread takes them', async () => {
    for (const restarts of [0, 1]) {
      const { pool, said } = poolOf({ threads: 1, restarts });
      await using _ = pool;
      await pool.run(blockOf(rides(0, 2, { 1: 'leave' })));
      // It dies a moment later, with or without another block.
      let error: unknown;
      while (error === undefined && said.length === 0)
        await pool.run(blockOf(rides(2, 4))).then(
          ({ block }) => expect(recordsOf(block)).toEqual(rides(2, 4)),
          (thrown) => {
            error = thrown;
          },
        );
      if (restarts === 0) expect(error).toMatchObject({ code: 'THREAD_DIED' });
      else expect(recordsOf((await pool.run(blockOf(rides(4, 9)))).block)).toEqual(rides(4, 9));
      expect(said).toHaveLength(restarts);
    }
  });
});

describe('a thread that may be started again', () => {
  test('loses no block and repeats none', async () => {
    // Threads of one kind die at their third block, whatever is in it; the blocks themselves are sound.
    process.env.OXIFLOW_THREAD_EXIT_AT = '3';
    try {
      const { pool, said } = poolOf({ threads: 2, restarts: 50 });
      await using _ = pool;
      const blocks = Array.from({ length: 20 }, (_, i) => rides(10 * i, 10 * i + 10));
      const results = await Promise.all(blocks.map((block) => pool.run(blockOf(block))));
      expect(results.map(({ block }) => recordsOf(block))).toEqual(blocks);
      expect(results.every(({ counters }) => counters[1]?.in === 10 && counters[1].out === 10)).toBe(true);
      expect(pool.restarts).toBe(said.length);
      expect(said.length).toBeGreaterThanOrEqual(8);
      expect(said[0]).toContain('another one takes its place, 1 of 50');
    } finally {
      delete process.env.OXIFLOW_THREAD_EXIT_AT;
    }
  });

  test('ends the run when its budget is used up', async () => {
    const { pool, said } = poolOf({ restarts: 3 });
    await using _ = pool;
    const error = await failure(pool.run(blockOf(rides(0, 2, { 1: 'exit' }))));
    expect(error).toMatchObject({ code: 'THREAD_DIED', exitCode: 1 });
    expect(error.message).toContain('the last of 4 (retry_attempts)');
    expect(said).toHaveLength(3);
  });
});

describe('a step that may loop', () => {
  test.each([
    ['loops', 'loop', 'it took longer than 600 ms (max_processing_time_ms)'],
    ['waits for what never comes', 'wait', 'it took longer than 600 ms (max_processing_time_ms)'],
    ['grows without end', 'grow', 'the thread that worked on it died: .*memory'],
    ['throws where nobody catches it', 'throw', 'the thread that worked on it died: the route is not a function'],
    ['ends its thread', 'exit', 'the thread that worked on it died: it ended with code 7'],
  ])('a record that %s is one bad record among a thousand good ones, and the order is kept', async (_n, does, why) => {
    const waits = does === 'loop' || does === 'wait';
    const { pool } = poolOf(looping({ deadlineMs: waits ? DEADLINE_MS : NEVER_MS }));
    await using _ = pool;
    const blocks = [rides(0, 50), rides(50, 1050, { 700: does }), rides(1050, 1100)];
    const results = await Promise.all(blocks.map((block) => pool.run(blockOf(block))));
    const good = blocks.flat().filter((record) => !record.includes('does'));
    expect(results.flatMap(({ block }) => recordsOf(block))).toEqual(good);
    const [, hurt] = results;
    expect(hurt?.counters[0]).toMatchObject({ in: 1000, out: 1000, dropped: 0 });
    expect(hurt?.counters[1]).toMatchObject({ in: 1000, out: 999, dropped: 1, filtered: 0 });
    expect(hurt?.counters[2]).toMatchObject({ in: 999, out: 999 });
    expect(hurt?.block.offsets.slice(0, 999)).toEqual(
      blockOf(blocks[1] ?? []).offsets.filter((_offset, i) => i !== 650),
    );
    expect(hurt?.failures).toHaveLength(1);
    expect(hurt?.failures[0]).toMatchObject({ step: 'obey' });
    expect(hurt?.failures[0]?.message).toMatch(
      new RegExp(`^rides.ndjson: record at byte \\d+: step "obey": ${why.replaceAll(/[()]/g, '\\$&')}`),
    );
  });

  test('several of them in one block are all found', async () => {
    const { pool } = poolOf(looping());
    await using _ = pool;
    const records = rides(0, 300, { 0: 'exit', 150: 'loop', 151: 'exit', 299: 'throw' });
    const { block, counters, failures } = await pool.run(blockOf(records));
    expect(recordsOf(block)).toEqual(records.filter((record) => !record.includes('does')));
    expect(counters[1]).toMatchObject({ in: 300, out: 296, dropped: 4 });
    expect(failures).toHaveLength(3);
  });

  test('on_error: stop ends the run at the record, with exit code 3', async () => {
    const { pool } = poolOf(looping(), stage('stop'));
    await using _ = pool;
    const records = rides(0, 40, { 30: 'loop' });
    const error = await failure(pool.run(blockOf(records)));
    expect(error).toMatchObject({
      code: 'RECORD_INVALID',
      exitCode: 3,
      place: { step: 'obey', file: 'rides.ndjson', offset: blockOf(records).offsets[30] },
    });
  });

  test('one that dies at every record ends the run instead of trying them all', async () => {
    const { pool } = poolOf(looping({ threads: 1, deadlineMs: NEVER_MS }));
    await using _ = pool;
    const harm = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [i, 'exit']));
    const error = await failure(pool.run(blockOf(rides(0, 2000, harm))));
    expect(error).toMatchObject({ code: 'THREAD_DIED', exitCode: 1 });
    expect(error.message).toMatch(/died 19 times in a row/);
  });

  test('a slow block is not a bad one: in parts it comes through', async () => {
    const { pool } = poolOf(looping({ threads: 1, deadlineMs: 500 }));
    await using _ = pool;
    const records = rides(0, 4, { 0: 'slow', 1: 'slow', 2: 'slow', 3: 'slow' });
    const { block, counters } = await pool.run(blockOf(records));
    expect(recordsOf(block)).toEqual(records);
    expect(counters[1]).toMatchObject({ in: 4, out: 4, dropped: 0 });
  });
});

describe('closing', () => {
  test('ends threads that loop, and fails what they worked on', async () => {
    const { pool } = poolOf({ threads: 2 });
    const work = [0, 1, 2].map(() => failure(pool.run(blockOf(rides(0, 1, { 0: 'loop' })))));
    await pool[Symbol.asyncDispose]();
    for (const error of await Promise.all(work)) expect(error).toMatchObject({ code: 'THREAD_DIED' });
  });

  test('goes on where a thread dies meanwhile', async () => {
    const { pool, said } = poolOf(looping({ restarts: 5 }));
    const work = failure(pool.run(blockOf(rides(0, 1, { 0: 'exit' }))));
    await pool[Symbol.asyncDispose]();
    expect(await work).toMatchObject({ code: 'THREAD_DIED' });
    expect(said).toEqual([]);
  });
});

test('memory that results came in goes back to the thread, which needs no new one for the next', async () => {
  const { pool } = poolOf({ threads: 1 });
  await using _ = pool;
  // Records with white space are written anew, and so many that their memory is worth keeping.
  const records = rides(0, 9000).map((ride) => ride.replace(':', ' : '));
  const MARK = 77;
  let marked = 0;
  for (let i = 0; i < 20; i++) {
    const { block } = await pool.run(blockOf(records));
    const memory = new Uint8Array(block.bytes.buffer);
    const last = memory.length - 1;
    // Nothing of the result stands there: whoever finds it has had this memory before.
    expect(block.bytes.byteOffset + block.bytes.byteLength).toBeLessThan(last);
    if (memory[last] === MARK) marked++;
    memory[last] = MARK;
    giveBuffer(block.bytes);
  }
  expect(marked).toBeGreaterThanOrEqual(18);
});
