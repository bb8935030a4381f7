import { describe, expect, test } from 'vitest';
import { Channel } from '../../runner/engine/channel.ts';
import { Watch, type WatchedNode } from '../../runner/engine/watch.ts';

const BOUNDS = { bytes: 10, records: 3 };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Ride {
  watch: Watch;
  source: WatchedNode;
  stage: WatchedNode;
  sink: WatchedNode;
}

/** A flow of three nodes of which nobody does anything; a look stands for ten seconds. */
function flow(mayTakeMs = 0): Ride {
  const watch = new Watch({ stuckAfterMs: 300_000 });
  const source = watch.node('rides', 'read');
  const stage = watch.node('price', 'work', mayTakeMs);
  const sink = watch.node('ledger', 'write');
  return { watch, source, stage, sink };
}

/** Looks until the run counts as stuck, so many times at most; how often it looked, and what was said. */
function looks(watch: Watch, most = 1000): { looks: number; message: string } | undefined {
  for (let look = 1; look <= most; look++) {
    const error = watch.look();
    if (error !== undefined) return { looks: look, message: error.message };
  }
  return undefined;
}

describe('a run in which nothing moves', () => {
  const rows: [name: string, set: (f: Ride) => void, message: string | undefined][] = [
    [
      'a sink that hangs, with all others waiting for room',
      ({ source, stage }) => [source, stage].forEach((n) => void n.waitsForRoom(true)),
      'step "ledger" writes without an end',
    ],
    [
      'a step that hangs',
      ({ source, sink }) => {
        source.waitsForRoom(true);
        sink.waitsForInput(true);
      },
      'step "price" works without an end',
    ],
    [
      'a step whose threads hang, while it waits for more',
      ({ source, stage, sink }) => {
        source.ended();
        stage.waitsForInput(true);
        stage.atWork(1);
        sink.waitsForInput(true);
      },
      'step "price" works without an end',
    ],
    [
      'the same behind the end of its input',
      ({ source, stage, sink }) => {
        source.ended();
        stage.atWork(1);
        stage.ended();
        sink.waitsForInput(true);
      },
      'step "price" works without an end',
    ],
    [
      'a file that is never read to its end',
      ({ stage, sink }) => [stage, sink].forEach((n) => void n.waitsForInput(true)),
      'step "rides" reads without an end',
    ],
    [
      'steps that wait for one another',
      ({ source, stage, sink }) => {
        source.waitsForRoom(true);
        stage.waitsForInput(true);
        sink.waitsForInput(true);
      },
      'every step waits for another one',
    ],
    [
      'an input from outside that does not come: idle',
      ({ source, stage, sink }) => {
        source.waitsOutside(true);
        stage.waitsForInput(true);
        sink.waitsForInput(true);
      },
      undefined,
    ],
    [
      'the same, but a step hangs',
      ({ source, sink }) => {
        source.waitsOutside(true);
        sink.waitsForInput(true);
      },
      'step "price" works without an end',
    ],
    [
      'a reader that takes nothing: idle',
      ({ source, stage, sink }) => {
        source.waitsForRoom(true);
        stage.waitsForRoom(true);
        sink.waitsOutside(true);
      },
      undefined,
    ],
    [
      'a run that is over',
      ({ source, stage, sink }) => [source, stage, sink].forEach((n) => void n.ended()),
      undefined,
    ],
  ];
  test.each(rows)('%s', (_name, set, message) => {
    const f = flow();
    set(f);
    const stuck = looks(f.watch);
    if (message === undefined) expect(stuck).toBeUndefined();
    else {
      // The first look sees that something has moved.
      expect(stuck?.looks).toBe(31);
      expect(stuck?.message).toContain(`nothing has moved for 300 s: ${message}`);
    }
  });

  test('ends with a code of its own, exit code 1, and the step as its place', () => {
    const f = flow();
    f.source.waitsForRoom(true);
    f.sink.waitsForInput(true);
    for (let i = 0; i < 30; i++) f.watch.look();
    expect(f.watch.look()).toMatchObject({ code: 'STUCK', exitCode: 1, place: { step: 'price' } });
  });
});

test('anything that moves, anywhere, is progress', () => {
  const f = flow();
  f.source.waitsForRoom(true);
  for (let round = 0; round < 10; round++) {
    expect(looks(f.watch, 25)).toBeUndefined();
    f.sink.waitsForInput(round % 2 === 0);
  }
});

test('a step whose unit of work has a time of its own is not stuck before that is over', () => {
  const f = flow(600_000);
  f.source.waitsForRoom(true);
  f.sink.waitsForInput(true);
  expect(looks(f.watch)?.looks).toBe(91);
  // Others do not gain by it.
  const g = flow(600_000);
  g.source.waitsForRoom(true);
  g.stage.waitsForRoom(true);
  expect(looks(g.watch)?.looks).toBe(31);
});

test('the table says what every node does, for how long, and what waits before it', () => {
  const f = flow();
  f.source.waitsForRoom(true);
  f.stage.waitsForRoom(true);
  f.watch.queue(f.sink, { fill: { bytes: 2_097_152, records: 8000 } });
  looks(f.watch);
  expect(f.watch.describe().split('\n')).toEqual([
    'step    does            for    waiting before it',
    'rides   waits for room  300 s',
    'price   waits for room  300 s',
    'ledger  writes          300 s  8000 records, 2097152 bytes',
  ]);
});

test('channels tell what their ends wait for', async () => {
  const f = flow();
  const [first, second] = [new Channel<string>(BOUNDS), new Channel<string>(BOUNDS)];
  Object.assign(first, { sender: f.source, receiver: f.stage });
  Object.assign(second, { sender: f.stage, receiver: f.sink });
  const does = (): (string | undefined)[] =>
    f.watch
      .describe()
      .split('\n')
      .slice(1)
      .map((line) => /^\w+ +(.*?) +\d+ s/.exec(line)?.[1]);
  const weight = { bytes: 10, records: 1 };
  const taken = second.receive();
  const mine = first.receive();
  expect(does()).toEqual(['reads', 'waits for records', 'waits for records']);
  await first.send('a', weight);
  await mine;
  await first.send('b', weight);
  const blocked = first.send('c', weight);
  expect(does()).toEqual(['waits for room', 'works', 'waits for records']);
  await second.send('a', weight);
  await taken;
  expect(does()).toEqual(['waits for room', 'works', 'writes']);
  expect([await first.receive(), await blocked, await first.receive()]).toEqual(['b', undefined, 'c']);
  first.close();
  expect(await first.receive()).toBeUndefined();
  second.close();
  expect(await second.receive()).toBeUndefined();
  await turn();
  expect(does()).toEqual(['has ended', 'has ended', 'has ended']);
});

test('nobody looks where the time is 0', () => {
  const watch = new Watch({ stuckAfterMs: 0 });
  watch.start(() => expect.fail('it looked'));
  expect(watch.everyMs).toBe(Number.POSITIVE_INFINITY);
  watch[Symbol.dispose]();
});
