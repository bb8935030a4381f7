import { describe, expect, test } from 'vitest';
import { bottleneckOf, type Processors } from '../../runner/engine/bottleneck.ts';
import type { FlowReading, NodeReading } from '../../runner/engine/flow-reading.ts';

/** A second in the life of a flow that nothing happens in. */
function node(kind: NodeReading['kind'], steps: Record<string, number>, some: Partial<NodeReading> = {}): NodeReading {
  return {
    kind,
    ordered: false,
    beside: false,
    steps: Object.entries(steps).map(([step, busyMs]) => ({ step, busyMs })),
    pool: 0,
    alive: 1,
    waitInput: 0,
    waitRoom: 0,
    outside: 0,
    busy: Object.values(steps).reduce((sum, ms) => sum + ms, 0) / 1000 / Math.max(1, some.pool ?? 1),
    cpuMicros: 0,
    memoryBytes: 0,
    from: kind === 'source' ? [] : [0],
    ...some,
  };
}

function flow(main: number, nodes: NodeReading[], elapsedMs = 1000): FlowReading {
  return { elapsedMs, main, mainCpuMicros: 0, cpuMicros: 0, nodes };
}

const EIGHT: Processors = { count: 8, used: 3 };
const FULL: Processors = { count: 2, used: 1.9 };
const read = (some?: Partial<NodeReading>) => node('source', { read: 50 }, some);
const write = (some?: Partial<NodeReading>) => node('sink', { write: 40 }, { from: [1], ...some });
const waiting = write({ waitInput: 0.9 });
const pool = (busyMs: number, some?: Partial<NodeReading>) =>
  node('stage', { parse: busyMs / 4, map: (3 * busyMs) / 4 }, { pool: 2, ...some });

describe('the bottleneck', () => {
  const rows: [story: string, FlowReading, Processors, step: string | undefined, reason: RegExp][] = [
    [
      'a stage whose threads never rest is named with the step that takes the most, and who waits for it',
      flow(0.2, [read({ waitRoom: 0.9 }), pool(1940), waiting]),
      EIGHT,
      'map',
      /^step "map" \(75 % of its stage\) is busy 97 % of the time on 2 threads, and "read" waits for room; give it more threads$/,
    ],
    [
      'where all processors are at work, more threads are no help and not advised',
      flow(0.2, [read({ waitRoom: 0.9 }), pool(1940), waiting]),
      FULL,
      'map',
      /; all 2 processors are at work$/,
    ],
    [
      'a stage of one step and one thread of its own is told without shares',
      flow(0.1, [read(), node('stage', { map: 990 }, { pool: 1 }), waiting]),
      EIGHT,
      'map',
      /^step "map" is busy 99 % of the time on 1 thread; give it more threads$/,
    ],
    [
      'threads that are busy but starve are held up by the main thread that feeds them',
      flow(0.99, [node('source', { read: 900 }), pool(1800, { waitInput: 0.4 }), waiting]),
      EIGHT,
      'read',
      /^the main thread is busy 99 % of the time, most of all with step "read" \(96 % of its work\), which cuts records$/,
    ],
    [
      'threads that are busy and have enough come before a busy main thread',
      flow(0.99, [node('source', { read: 900 }), pool(1900), waiting]),
      EIGHT,
      'map',
      /^step "map"/,
    ],
    [
      'without threads the main thread does all, and its heaviest step gets the advice',
      flow(1, [read(), node('stage', { parse: 200, map: 600 }, { waitInput: 0.1 }), write({ outside: 0 })]),
      EIGHT,
      'map',
      /^the main thread is busy 100 % of the time, most of all with step "map" \(67 % of its work\); give it threads$/,
    ],
    [
      'a step that needs its blocks in order is not advised to take threads',
      flow(1, [read(), node('stage', { dedupe: 800 }, { ordered: true }), write()]),
      EIGHT,
      'dedupe',
      /"dedupe" \(90 % of its work\)$/,
    ],
    [
      'a sink that lays records out on a busy main thread',
      flow(0.95, [read(), pool(400, { waitInput: 0.8 }), node('sink', { write: 880 }, { from: [1] })]),
      EIGHT,
      'write',
      /most of all with step "write" .*, which lays records out$/,
    ],
    [
      'a sink that waits for a slow reader while the steps before it wait for room',
      flow(0.05, [read({ waitRoom: 0.9 }), node('stage', { map: 20 }, { waitRoom: 0.95 }), write({ outside: 0.94 })]),
      EIGHT,
      'write',
      /^the sink "write" waits 94 % of the time for what it writes to, and "map" waits for room$/,
    ],
    [
      'a slow sink in the middle, though the one behind it waits for input',
      flow(0.05, [
        read({ waitRoom: 0.9 }),
        node('sink', { copy: 20 }, { outside: 0.9 }),
        node('sink', { write: 20 }, { waitInput: 0.9, from: [1] }),
      ]),
      EIGHT,
      'copy',
      /^the sink "copy" waits 90 %/,
    ],
    [
      'an input that comes slowly',
      flow(0.1, [read(), node('stage', { map: 50 }, { waitInput: 0.9 }), write({ waitInput: 0.95 })]),
      EIGHT,
      'read',
      /^the input: every step waits for "read", 90 % of the time$/,
    ],
    [
      'where the main thread is full, one that only waits beside it is not blamed',
      flow(1, [read(), node('stage', { exec: 900 }, { beside: true }), node('stage', { map: 600 }), waiting]),
      EIGHT,
      'map',
      /most of all with step "map"/,
    ],
    [
      'a step that asks somebody outside and waits for the answer',
      flow(0.1, [read({ waitRoom: 0.9 }), node('stage', { exec: 900 }), waiting]),
      EIGHT,
      'exec',
      /^step "exec" waits 90 % of the time for something outside$/,
    ],
    [
      'of an input that has ended nobody waits for: the sink still writes',
      flow(0.1, [read({ alive: 0.2 }), node('stage', { map: 20 }, { alive: 0.3 }), write({ outside: 0.8 })]),
      EIGHT,
      'write',
      /^the sink "write" waits 80 %/,
    ],
    [
      'where nothing stands out nothing is named',
      flow(0.4, [read({ waitRoom: 0.4 }), pool(800, { waitInput: 0.4 }), write({ waitInput: 0.4, outside: 0.3 })]),
      EIGHT,
      undefined,
      /^$/,
    ],
    ['a moment tells nothing', flow(1, [read(), pool(2000), waiting], 2), EIGHT, undefined, /^$/],
    ['a flow without nodes has none', flow(1, []), EIGHT, undefined, /^$/],
  ];
  test.each(rows)('%s', (_story, reading, processors, step, reason) => {
    const found = bottleneckOf(reading, processors);
    expect(found?.step).toBe(step);
    expect(found?.reason ?? '').toMatch(reason);
  });
});
