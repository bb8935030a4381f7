/** A sink at the end of a lane: blocks that the threads could not write come to it as they left the kernel. */
import { expect, test } from 'vitest';
import type { Block, Sink } from '../../runner/engine/contracts.ts';
import { noCounters } from '../../runner/engine/counters.ts';
import { newChannel } from '../../runner/engine/flow.ts';
import { runSink, type SinkNode } from '../../runner/engine/flow-sink.ts';
import { WaitClock } from '../../runner/engine/gauge.ts';
import { JsonEncoder } from '../../runner/kernel/encode.ts';
import { barrierOf } from './barrier.ts';

const linesOf = (records: readonly string[]): Block => ({
  bytes: Buffer.from(records.map((record) => `${record}\n`).join('')),
  spans: new Uint32Array(),
  offsets: new Float64Array(),
  count: records.length,
  split: 0,
  areLines: true,
});

test.each([
  ['lines', '1\n2\n3\n'],
  ['array', '[1,2,3]\n'],
] as const)('lines that come to be written as %s; of a block nothing may be left', async (framing, text) => {
  let written = '';
  const sink: Partial<Sink> = {
    write: async (bytes) => {
      written += Buffer.from(bytes).toString();
    },
    prepare: async (n) => ({ n, records: 0, bytes: written.length, data: {} }),
  };
  const counters = noCounters();
  const node: SinkNode = {
    step: { id: 'write_file', limits: {} } as SinkNode['step'],
    sink: sink as Sink,
    encoder: new JsonEncoder({ framing, pretty: false, step: 'write_file' }),
    layOut: undefined,
    counters,
    splitNames: [''],
    skip: 0,
    unit: (work) => work(),
    busy: () => undefined,
    outside: new WaitClock(),
    failed: () => expect.unreachable(),
    lettersSent: () => expect.unreachable(),
  };
  const input = newChannel();
  const barriers: number[] = [];
  const running = runSink(node, input, {
    letters: async () => expect.unreachable(),
    barrier: async ({ n }) => void barriers.push(n),
  });
  for (const records of [[], ['1', '2'], [], ['3']])
    await input.send({ kind: 'block', block: linesOf(records), letters: [], broken: [] }, { bytes: 1, records: 1 });
  await input.send({ kind: 'barrier', barrier: barrierOf(1, { last: 'finished' }) }, { bytes: 0, records: 0 });
  input.close();
  await running;
  expect(written).toBe(text);
  expect(barriers).toEqual([1]);
  expect(counters).toMatchObject({ in: 3, out: 3, bytes_out: text.length });
});
