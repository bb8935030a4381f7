import { describe, expect, test } from 'vitest';
import { imbalances, type StepCounters } from '../../runner/engine/counters.ts';
import type { Barrier } from '../../runner/engine/flow.ts';
import type { PoolOptions } from '../../runner/engine/pool.ts';
import { StageProgram } from '../../runner/engine/stage.ts';
import type { StageResult, StageSpec } from '../../runner/engine/stage-spec.ts';
import { makeSteps } from '../../runner/oxis/make.ts';
import { type FlowInput, type GoldenStep, runInMemory } from '../contract/golden-flow.ts';

const MB = 1024 * 1024;

function rides(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `{"ride":${from + i}}`);
}

function flow(records: readonly string[], steps: readonly GoldenStep[], more: Partial<FlowInput> = {}) {
  const bytes = Buffer.from(records.map((record) => `${record}\n`).join(''));
  return runInMemory({ name: 'rides.ndjson', bytes, piece: 64, steps, ...more });
}

const linesOf = (bytes: Buffer): string[] => bytes.toString().split('\n').slice(0, -1);

/** A pool that works here, block by block; `hold` may keep one back. */
function poolHere(hold?: (block: number) => Promise<void> | undefined) {
  const spans: { began: number; ended: number }[] = [];
  let clock = 0;
  const startPool = (spec: StageSpec, _options: PoolOptions) => {
    let blocks = 0;
    return {
      run: async (block: Parameters<StageProgram['process']>[0]): Promise<StageResult> => {
        const span = { began: clock++, ended: Number.POSITIVE_INFINITY };
        spans.push(span);
        await hold?.(blocks++);
        const result = await new StageProgram(spec, makeSteps).process(block);
        span.ended = clock++;
        return result;
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
  };
  return { startPool, spans };
}

/** Lets everything go on that can. */
async function settled(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

function balanced(counters: ReadonlyMap<string, StepCounters>, after: Record<string, string | undefined>): string[] {
  return imbalances([...counters].map(([id, one]) => ({ id, after: after[id], counters: one })));
}

describe('tee', () => {
  test('gives every record to both chains, each with its own filter, format and sink', async () => {
    for (const piece of [1, 7, 64 * 1024]) {
      const { bytes, second, counters } = await flow(
        rides(0, 30),
        [
          { oxi: 'parse_json' },
          {
            oxi: 'tee',
            steps: [{ oxi: 'filter', config: { where: 'ride % 10 == 0' } }, { oxi: 'format_csv' }, { oxi: 'second' }],
          },
          { oxi: 'map', config: { set: { ride: 'ride + 100' } } },
          { oxi: 'format_json' },
        ],
        { piece },
      );
      expect(linesOf(bytes)).toEqual(rides(100, 130));
      expect(second.toString()).toBe('ride\n0\n10\n20\n');
      expect(counters.get('tee_2')).toMatchObject({ in: 30, added: 30, out: 60 });
      expect(counters.get('filter_2_0')).toMatchObject({ in: 30, out: 3, filtered: 27 });
      expect(counters.get('second_2_2')).toMatchObject({ in: 3, out: 3 });
    }
  });

  test('within a tee, and behind a tee: everybody gets everything, in order', async () => {
    const inner: GoldenStep = { oxi: 'tee', steps: [{ oxi: 'second' }] };
    const { bytes, second, counters } = await flow(rides(0, 40), [
      { oxi: 'parse_json' },
      { oxi: 'tee', steps: [{ oxi: 'map', config: { set: { copy: 'true' } } }, inner, { oxi: 'third' }] },
      { oxi: 'format_json' },
    ]);
    expect(linesOf(bytes)).toEqual(rides(0, 40));
    const copies = rides(0, 40).map((ride) => ride.replace('}', ',"copy":true}'));
    expect(linesOf(second)).toEqual(copies);
    expect(counters.get('third_2_2')).toMatchObject({ in: 40, out: 40 });
    expect(counters.get('tee_2_1')).toMatchObject({ in: 40, added: 40, out: 80 });
  });

  test('a checkpoint waits for a tee within a tee, however slow its sink is', async () => {
    const gate = Promise.withResolvers<void>();
    const committed: Barrier[] = [];
    const ended = flow(
      rides(0, 4),
      [
        { oxi: 'parse_json' },
        { oxi: 'tee', steps: [{ oxi: 'tee', steps: [{ oxi: 'second' }] }, { oxi: 'third' }] },
        { oxi: 'format_json' },
      ],
      {
        writing: (sink) => (sink === 'second' ? gate.promise : undefined),
        commit: async (barrier) => {
          committed.push(barrier);
          expect(Object.keys(barrier.marks).sort()).toEqual(['out_4', 'second_2_0_0', 'third_2_1']);
        },
      },
    );
    await settled();
    expect(committed).toEqual([]);
    gate.resolve();
    expect(linesOf((await ended).second)).toEqual(rides(0, 4));
    expect(committed).toHaveLength(1);
  });

  test('dead letters of both chains are in one file, each whole', async () => {
    const bad = rides(0, 60);
    const { letters, bytes, second, counters } = await flow(
      bad,
      [
        { oxi: 'parse_json' },
        {
          oxi: 'tee',
          steps: [{ oxi: 'map', config: { set: { a: '1 / (ride % 3)' } }, on_error: 'dead_letter' }, { oxi: 'second' }],
        },
        { oxi: 'map', config: { set: { a: 'ride % 2 == 0 ? missing : 1' } }, on_error: 'dead_letter' },
        { oxi: 'format_json' },
      ],
      // Somebody else writes while this one does.
      { lettering: () => settled() },
    );
    const found = linesOf(letters).map((line) => JSON.parse(line) as { step: string; record: string });
    const of = (step: string): string[] => found.filter((one) => one.step === step).map(({ record }) => record);
    expect(of('map_3')).toEqual(bad.filter((_, i) => i % 2 === 0));
    expect(linesOf(bytes)).toHaveLength(30);
    expect(linesOf(second).length + of('map_2_0').length).toBe(60);
    expect(counters.get('map_2_0')?.dead_lettered).toBe(of('map_2_0').length);
  });

  test('two chains never write a dead letter at the same time', async () => {
    let writing = 0;
    const both: number[] = [];
    await flow(
      rides(0, 30),
      [
        { oxi: 'parse_json' },
        {
          oxi: 'tee',
          steps: [{ oxi: 'map', config: { set: { a: 'b' } }, on_error: 'dead_letter' }, { oxi: 'second' }],
        },
        { oxi: 'map', config: { set: { a: 'b' } }, on_error: 'dead_letter' },
        { oxi: 'format_json' },
      ],
      {
        lettering: async () => {
          both.push(++writing);
          await settled();
          writing--;
        },
      },
    );
    expect(both).toEqual(Array(60).fill(1));
  });

  test('a branch that is slow holds the other chain, within bounds', async () => {
    const gate = Promise.withResolvers<void>();
    const image = 'x'.repeat(MB / 2);
    const records = Array.from({ length: 40 }, (_, i) => JSON.stringify({ ride: i, image }));
    let read = 0;
    const ended = flow(
      records,
      [{ oxi: 'parse_json' }, { oxi: 'tee', steps: [{ oxi: 'second' }] }, { oxi: 'format_json' }],
      {
        piece: MB / 2,
        reading: async (at) => {
          read = at;
        },
        writing: (sink) => (sink === 'second' ? gate.promise : undefined),
      },
    );
    let before = -1;
    while (before !== read) {
      before = read;
      await settled();
    }
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThan(14 * MB);
    gate.resolve();
    const { bytes, second } = await ended;
    expect(linesOf(bytes)).toEqual(records);
    expect(linesOf(second)).toEqual(records);
  });

  test.each(['out', 'second'] as const)('a sink that fails ends both chains (%s)', async (failing) => {
    const run = flow(
      rides(0, 4000),
      [{ oxi: 'parse_json' }, { oxi: 'tee', steps: [{ oxi: 'second' }] }, { oxi: 'format_json' }],
      {
        writing: async (sink) => {
          if (sink === failing) throw new Error(`${sink} is full`);
        },
      },
    );
    await expect(run).rejects.toThrow(`${failing} is full`);
  });

  test('a checkpoint that fails ends a branch that waits with a dead letter', async () => {
    const run = flow(
      rides(0, 400),
      [
        { oxi: 'parse_json' },
        {
          oxi: 'tee',
          steps: [{ oxi: 'map', config: { set: { a: 'b' } }, on_error: 'dead_letter' }, { oxi: 'second' }],
        },
        { oxi: 'format_json' },
      ],
      {
        flow: { softIntervalMs: 0 },
        commit: async () => {
          // The branch has letters of later records by now.
          await settled();
          throw new Error('the store is gone');
        },
      },
    );
    await expect(run).rejects.toThrow('the store is gone');
  });

  test('has no source of its own, and bytes are not cut behind it', async () => {
    const inside = flow(
      [],
      [
        { oxi: 'parse_json' },
        { oxi: 'tee', steps: [{ oxi: 'read_file', config: { path: 'a' } }, { oxi: 'second' }] },
        { oxi: 'format_json' },
      ],
    );
    await expect(inside).rejects.toThrow('a second chain has no source of its own');
    const behind = flow([], [{ oxi: 'tee', steps: [{ oxi: 'second' }] }, { oxi: 'parse_json' }]);
    await expect(behind).rejects.toThrow('"parse_json" has to stand straight behind the source: put it before "tee_1"');
    const within = flow([], [{ oxi: 'tee', steps: [{ oxi: 'parse_json' }, { oxi: 'second' }] }]);
    await expect(within).rejects.toThrow('"parse_json" has to stand straight behind the source: put it before "tee_1"');
    const copied = flow([], [{ oxi: 'second' }, { oxi: 'parse_json' }]);
    await expect(copied).rejects.toThrow('put it before "second_1"');
  });

  test('of bytes that nobody cuts, both sinks have them as they are', async () => {
    const { bytes, second } = await flow(rides(0, 9), [{ oxi: 'tee', steps: [{ oxi: 'second' }] }], { piece: 7 });
    expect(linesOf(bytes)).toEqual(rides(0, 9));
    expect(second).toEqual(bytes);
  });

  test('behind a formatter both sinks get its text', async () => {
    const { bytes, second } = await flow(rides(0, 9), [
      { oxi: 'parse_json' },
      { oxi: 'format_json', config: { framing: 'array' } },
      { oxi: 'tee', steps: [{ oxi: 'second' }] },
    ]);
    expect(JSON.parse(bytes.toString())).toEqual(rides(0, 9).map((ride) => JSON.parse(ride)));
    expect(second).toEqual(bytes);
  });
});

describe('threads', () => {
  const steps = (ordered: boolean, on_error: GoldenStep['on_error'] = 'drop'): GoldenStep[] => [
    { oxi: 'parse_json' },
    { oxi: 'map', config: { set: { x: '1 / (ride % 7)' } }, threads: 4, ordered, on_error },
    { oxi: 'format_json' },
  ];

  test('in any order: the same records and the same counters, and every checkpoint is whole', async () => {
    const records = rides(0, 500);
    const one = await flow(
      records,
      steps(true).map((step) => ({ ...step, ...(step.threads ? { threads: 1 } : {}) })),
    );
    // Every third block takes its time.
    const { startPool } = poolHere((block) => (block % 3 === 0 ? settled() : undefined));
    const sums: boolean[] = [];
    const any = await flow(records, steps(false), {
      startPool,
      flow: { softIntervalMs: 0 },
      commit: async ({ counters }) => {
        const [source, out] = [counters.get('in_0'), counters.get('out_4')];
        const map = counters.get('map_2');
        sums.push(source?.out === map?.in && map?.out === out?.in);
      },
    });
    expect(linesOf(any.bytes)).not.toEqual(linesOf(one.bytes));
    expect(linesOf(any.bytes).sort()).toEqual(linesOf(one.bytes).sort());
    expect([...any.counters]).toEqual([...one.counters]);
    expect(sums.length).toBeGreaterThan(1);
    expect(sums).not.toContain(false);
  });

  test('in any order: a bad record ends the run, though nobody waits for its block', async () => {
    const held = Promise.withResolvers<void>();
    const { startPool } = poolHere();
    const run = flow(['{"ride":1}', '{"ride":2}', '{"ride":"?"}', '{"ride":4}', '{"ride":5}'], steps(false, 'stop'), {
      startPool,
      piece: 11,
      // The last one is long in coming.
      reading: (at) => (at >= 44 ? held.promise : undefined),
    });
    await expect(run).rejects.toMatchObject({ code: 'RECORD_INVALID' });
    held.resolve();
  });

  test('the first block does not wait for the second one, nor does a checkpoint', async () => {
    const held = Promise.withResolvers<void>();
    const written = Promise.withResolvers<string>();
    const { startPool, spans } = poolHere();
    const ended = flow(rides(1, 5), steps(true), {
      startPool,
      piece: 11,
      reading: (at) => (at === 11 ? held.promise : undefined),
      writing: async (_sink, text) => written.resolve(text),
    });
    expect(await written.promise).toBe('{"ride":1,"x":1}\n');
    held.resolve();
    await ended;
    expect(spans.length).toBeGreaterThan(0);
  });

  test('stages of other counts work side by side', async () => {
    const both = Promise.withResolvers<void>();
    const at = { map: false, filter: false };
    const pools = (spec: StageSpec, options: PoolOptions) => {
      const name = spec.steps.some(({ oxi }) => oxi === 'filter') ? 'filter' : 'map';
      const pool = poolHere(async (block) => {
        // The first ones pass, so that there is something for the stage behind.
        if (name === 'map' && block < 4) return;
        at[name] = true;
        if (at.map && at.filter) both.resolve();
        // Neither goes on before the other is at work.
        await both.promise;
      });
      return pool.startPool(spec, options);
    };
    const { bytes } = await flow(
      rides(0, 1000),
      [
        { oxi: 'parse_json', threads: 2 },
        { oxi: 'map', config: { set: { y: 'ride * 2' } }, threads: 2 },
        // With a time to keep, a batch is handed on at once.
        {
          oxi: 'batch',
          config: { strategy: 'size_or_time', batch_size: 5, flush_interval_ms: 60_000 },
          threads: 2,
        },
        { oxi: 'filter', config: { where: 'y >= 0' }, threads: 4 },
        { oxi: 'format_json' },
      ],
      { startPool: pools, piece: 400 },
    );
    expect(at).toEqual({ map: true, filter: true });
    expect(linesOf(bytes)).toHaveLength(1000);
  });

  test('a step that needs every record in order stands alone between them, with the same results', async () => {
    const records = Array.from({ length: 300 }, (_, i) => `{"ride":${i},"bike":${(i * 7) % 40}}`);
    const chain = (threads: number): GoldenStep[] => [
      { oxi: 'parse_json', threads },
      { oxi: 'map', config: { set: { far: 'ride * 2' } }, threads },
      { oxi: 'dedupe', config: { key: ['bike'], within: 100 } },
      { oxi: 'filter', config: { where: 'far % 4 == 0' } },
      { oxi: 'limit', config: { records: 11 } },
      { oxi: 'map', config: { set: { end: 'true' } } },
      { oxi: 'format_json' },
    ];
    const one = await flow(records, chain(1));
    const { startPool, spans } = poolHere((block) => (block % 2 === 0 ? settled() : undefined));
    const four = await flow(records, chain(4), { startPool });
    expect(linesOf(one.bytes)).toHaveLength(11);
    expect(four.bytes).toEqual(one.bytes);
    expect(spans.length).toBeGreaterThan(0);
  });
});

describe('limit', () => {
  const records = rides(0, 5000);
  const read = (counters: ReadonlyMap<string, StepCounters>): number => counters.get('in_0')?.out ?? 0;

  test('stops reading early, where nobody else wants the rest', async () => {
    const { bytes, counters } = await flow(
      records,
      [
        { oxi: 'parse_json' },
        { oxi: 'filter', config: { where: 'ride >= 10' } },
        { oxi: 'limit', config: { records: 3 } },
        { oxi: 'format_json' },
      ],
      { piece: 1024 },
    );
    expect(linesOf(bytes)).toEqual(rides(10, 13));
    expect(read(counters)).toBeLessThan(1500);
    expect(
      balanced(counters, {
        parse_json_1: 'in_0',
        filter_2: 'parse_json_1',
        limit_3: 'filter_2',
        format_json_4: 'limit_3',
        out_5: 'format_json_4',
      }),
    ).toEqual([]);
  });

  test.each([
    ['a tee', { oxi: 'tee', steps: [{ oxi: 'second' }] }],
    ['a sink', { oxi: 'second' }],
  ] as const)('behind %s lets the rest be read', async (_name, other) => {
    const { bytes, second, counters } = await flow(
      records,
      [{ oxi: 'parse_json' }, other, { oxi: 'limit', config: { records: 3 } }, { oxi: 'format_json' }],
      { piece: 1024 },
    );
    expect(linesOf(bytes)).toEqual(rides(0, 3));
    expect(linesOf(second)).toEqual(records);
    expect(read(counters)).toBe(5000);
  });

  test('in a second chain does not end the first', async () => {
    const { bytes, second } = await flow(records, [
      { oxi: 'parse_json' },
      { oxi: 'tee', steps: [{ oxi: 'limit', config: { records: 2 } }, { oxi: 'second' }] },
      { oxi: 'format_json' },
    ]);
    expect(linesOf(bytes)).toEqual(records);
    expect(linesOf(second)).toEqual(rides(0, 2));
  });
});
