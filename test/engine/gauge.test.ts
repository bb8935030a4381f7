import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Channel } from '../../runner/engine/channel.ts';
import { between, type FlowFigures, momentOf, newNode, noteUsage } from '../../runner/engine/flow-reading.ts';
import { PassClock, ThreadClock, WaitClock } from '../../runner/engine/gauge.ts';
import { StageProgram } from '../../runner/engine/stage.ts';
import { makeSteps } from '../../runner/oxis/make.ts';
import { blockOf, stageOf } from '../contract/oxi-suite.ts';

let now = 0;
beforeEach(() => {
  now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

describe('a wait', () => {
  test('counts from its begin to its end, and one that goes on counts too', () => {
    const clock = new WaitClock();
    clock.begin();
    now += 30;
    expect(clock.total(now)).toBe(30);
    clock.end();
    now += 500;
    expect(clock.total(now)).toBe(30);
    clock.begin();
    now += 5;
    expect(clock.total(now)).toBe(35);
  });

  test('that begins twice or ends without a begin counts once or not at all', () => {
    const clock = new WaitClock();
    clock.end();
    clock.begin();
    now += 10;
    clock.begin();
    now += 10;
    clock.end();
    clock.end();
    expect(clock.total(now)).toBe(20);
  });
});

test('a thread tells each microsecond of processor time once', () => {
  const clock = new ThreadClock();
  const before = process.cpuUsage();
  let sum = 0;
  for (let i = 0; i < 300_000; i++) sum += Math.sqrt(i);
  expect(sum).toBeGreaterThan(0);
  const taken = clock.take();
  const { user, system } = process.cpuUsage(before);
  expect(taken).toBeGreaterThan(0);
  expect(taken).toBeLessThanOrEqual(user + system + 10_000);
});

describe('a channel', () => {
  const bounds = { bytes: 100, records: 10 };

  test('that has room makes nobody wait', async () => {
    const channel = new Channel<string>(bounds);
    await channel.send('ride', { bytes: 50, records: 4 });
    expect(channel.share).toBe(0.5);
    now += 100;
    await channel.receive();
    expect([channel.waits.room.total(now), channel.waits.input.total(now), channel.share]).toEqual([0, 0, 0]);
  });

  test('that is full counts as full, and the time that its sender waits', async () => {
    const channel = new Channel<string>(bounds);
    await channel.send('ride', { bytes: 80, records: 1 });
    const second = channel.send('long ride', { bytes: 60, records: 1 });
    expect(channel.share).toBe(1);
    now += 70;
    expect(channel.waits.room.total(now)).toBe(70);
    await channel.receive();
    await second;
    now += 1000;
    expect(channel.waits.room.total(now)).toBe(70);
    expect(channel.share).toBe(0.6);
  });

  test('that is empty counts the time that its receiver waits, and when it ended', async () => {
    const channel = new Channel<string>(bounds);
    const first = channel.receive();
    now += 40;
    await channel.send('ride', { bytes: 1, records: 1 });
    await first;
    now += 60;
    expect(channel.waits.input.total(now)).toBe(40);
    channel.close();
    expect([channel.closedAt, channel.endedAt]).toEqual([1100, undefined]);
    now += 1;
    await channel.receive();
    expect(channel.endedAt).toBe(1101);
  });
});

describe('the time of a pass', () => {
  const timed = (laps: [owner: number, ms: number][]): PassClock => {
    const clock = new PassClock([0, 1, 2]);
    clock.start();
    for (const [owner, ms] of laps) {
      now += ms;
      clock.lap(owner);
    }
    return clock;
  };
  const shares = (clock: PassClock): number[] => {
    const into = [0, 0, 0];
    clock.share(100, into);
    return into;
  };

  test('is shared out as the samples say', () => {
    expect(
      shares(
        timed([
          [0, 1],
          [1, 2],
          [2, 1],
          [1, 4],
        ]),
      ),
    ).toEqual([12.5, 75, 12.5]);
  });

  test('is shared out equally before there is a sample', () => {
    expect(shares(new PassClock([0, 1, 2])).map(Math.round)).toEqual([33, 33, 33]);
  });

  test('is not that of a step that was interrupted once', () => {
    const laps = Array.from({ length: 100 }, (_, i): [number, number][] => [
      [0, 1],
      [1, i === 60 ? 5000 : 1],
    ]).flat();
    const [parse = 0, filter = 0] = shares(timed(laps));
    expect(filter).toBeGreaterThan(parse);
    expect(filter).toBeLessThan(1.3 * parse);
  });

  test('follows a step that gets dearer', () => {
    const clock = timed([
      [0, 10],
      [1, 10],
    ]);
    for (let i = 0; i < 5; i++) {
      clock.start();
      now += 10;
      clock.lap(0);
      now += 90;
      clock.lap(1);
    }
    expect(shares(clock)[1]).toBeGreaterThan(80);
  });

  test('of one step alone is never sampled', () => {
    const clock = new PassClock([3, 3]);
    expect([clock.shared, clock.due(1), clock.due(1)]).toEqual([false, false, false]);
  });

  test('is sampled in a small first block, in the fifth, and in every thirty-second behind it', () => {
    const clock = new PassClock([0, 1]);
    const due = Array.from({ length: 40 }, (_, block) => (clock.due(100) ? block : -1)).filter((block) => block >= 0);
    expect(due).toEqual([0, 4, 36]);
    expect(new PassClock([0, 1]).due(5000)).toBe(false);
  });
});

test('a stage tells the time of each step, and which of them share a pass', async () => {
  vi.restoreAllMocks();
  const spec = stageOf([
    { oxi: 'filter', config: { where: 'n > 1' } },
    { oxi: 'map', config: { set: { twice: 'n * 2' } } },
  ]);
  const program = new StageProgram(spec, makeSteps);
  const { busyMs, stepMs, sampled } = await program.process(blockOf(['{"n":1}', '{"n":2}', '{"n":3}']));
  expect(sampled).toEqual(spec.steps.map(() => true));
  expect(stepMs.every((ms) => ms > 0)).toBe(true);
  expect(stepMs.reduce((sum, ms) => sum + ms, 0)).toBeLessThanOrEqual(busyMs + 0.001);
});

test('a timed block leaves as it would untimed', async () => {
  vi.restoreAllMocks();
  const spec = stageOf([
    { oxi: 'filter', config: { where: 'n % 3 != 0' }, onError: 'drop' },
    { oxi: 'map', config: { set: { twice: 'n * 2' } }, onError: 'drop' },
  ]);
  const records = Array.from({ length: 50 }, (_, n) => (n % 7 === 3 ? '{"m":1}' : `{"n":${n}}`));
  const program = new StageProgram(spec, makeSteps);
  const results = [];
  for (let block = 0; block < 6; block++) results.push(await program.process(blockOf(records)));
  const told = results.map(({ block, counters, failures }) => ({
    text: Buffer.from(block.bytes).toString(),
    spans: [...block.spans.subarray(0, 2 * block.count)],
    counters,
    failures,
  }));
  // The first and the fifth are timed.
  for (const one of told) expect(one).toEqual(told[1]);
});

test('a reading tells the shares of the time between two moments, and of those who have ended only until then', async () => {
  const [toMap, toWrite] = [1, 2].map(() => new Channel<string>({ bytes: 10, records: 10 }));
  if (toMap === undefined || toWrite === undefined) throw new Error('two channels');
  const busy = [0, 0, 0];
  const kinds = ['source', 'stage', 'sink'] as const;
  const nodes = kinds.map((kind, i) =>
    newNode({
      kind,
      steps: [
        {
          id: kind,
          get busyMs() {
            return busy[i] ?? 0;
          },
        },
      ],
    }),
  );
  const [source, stage, sink] = nodes;
  if (source === undefined || stage === undefined || sink === undefined) throw new Error('three nodes');
  stage.pool = 2;
  const figures: FlowFigures = {
    nodes: [source, stage],
    queues: [
      { from: source, to: stage, gauge: toMap },
      { from: stage, to: sink, gauge: toWrite },
    ],
  };
  const before = momentOf(figures);
  // One that joined behind the first moment, as those of a later segment do.
  figures.nodes.push(sink);
  void toWrite.receive();
  await toMap.send('a', { bytes: 10, records: 1 });
  const full = toMap.send('b', { bytes: 10, records: 1 });
  now += 40;
  await toMap.receive();
  await full;
  toMap.close();
  busy[1] = 120;
  noteUsage(stage, { thread: 1, cpuMicros: 50_000, memoryBytes: 3000 });
  noteUsage(stage, { thread: 2, cpuMicros: 50_000, memoryBytes: 4000 });
  noteUsage(stage, { thread: 1, cpuMicros: 10_000, memoryBytes: 2000 });
  now += 60;
  const { elapsedMs, nodes: read } = between(figures, before, momentOf(figures));
  expect(elapsedMs).toBe(100);
  expect(read[0]).toMatchObject({ kind: 'source', waitRoom: 0.4, alive: 0.4, from: [] });
  expect(read[1]).toMatchObject({
    kind: 'stage',
    waitInput: 0,
    alive: 1,
    busy: 0.6,
    cpuMicros: 110_000,
    memoryBytes: 6000,
    from: [0],
  });
  expect(read[2]).toMatchObject({ kind: 'sink', waitInput: 1, waitRoom: 0, from: [1] });
});
