/** Results of many threads in one file: each at its place, in whatever order they are done. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Block } from '../../runner/engine/contracts.ts';
import { noCounters } from '../../runner/engine/counters.ts';
import { newChannel } from '../../runner/engine/flow.ts';
import { runBatch } from '../../runner/engine/flow-batch.ts';
import { Lane, newElementLane, newLane } from '../../runner/engine/lane.ts';
import type { StageResult } from '../../runner/engine/stage-spec.ts';
import { JsonEncoder } from '../../runner/kernel/encode.ts';
import { LaneKeeper } from '../../runner/threads/lane-keeper.ts';
import { recordsOf } from '../contract/oxi-suite.ts';
import { randomOf } from '../fault/random.ts';
import { barrierOf } from './barrier.ts';

const root = mkdtempSync(join(tmpdir(), 'oxiflow-lane-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let files = 0;

function fileWith(text: string): { path: string; fd: number } {
  const path = join(root, `${++files}.txt`);
  writeFileSync(path, text);
  return { path, fd: openSync(path, 'r+') };
}

/** Records that stand with more between them than a line feed. */
function blockOf(records: readonly string[]): Block {
  const spans: number[] = [];
  let text = '';
  for (const record of records) {
    text += ' ';
    spans.push(text.length, text.length + record.length);
    text += `${record}, `;
  }
  return {
    bytes: Buffer.from(text),
    spans: Uint32Array.from(spans),
    offsets: new Float64Array(records.length),
    count: records.length,
    split: 0,
  };
}

const linesOf = (records: readonly string[]): Block => ({
  ...blockOf([]),
  bytes: Buffer.from(records.map((record) => `${record}\n`).join('')),
  count: records.length,
  areLines: true,
});

const resultOf = (block: Block): StageResult => ({
  block,
  counters: [],
  failures: [],
  letters: [],
  busyMs: 0,
  stepMs: [],
  sampled: [],
});

describe('a lane', () => {
  test('ends before a block that its sink may leave out: nobody knows the places behind that', () => {
    const { path, fd } = fileWith('');
    const lane = new Lane(newLane(fd, 0));
    const huge: Block = { ...linesOf([]), bytes: new Uint8Array(65 << 20), count: 1 };
    const blocks = [linesOf(['a']), huge, linesOf(['b'])];
    blocks.forEach((block, turn) => {
      lane.publish(block, turn);
    });
    expect(blocks.map((block, turn) => lane.put(block, turn).put !== undefined)).toEqual([true, false, false]);
    expect(blocks.map((_, turn) => lane.isClosed(turn))).toEqual([false, true, true]);
    closeSync(fd);
    expect(readFileSync(path, 'utf8')).toBe('a\n');
  });

  test('gives each turn its place when all before it are published, whatever the order; many more turns than it has slots', () => {
    const random = randomOf(11);
    const before = 'before\n';
    const { path, fd } = fileWith(before);
    const spec = newLane(fd, before.length);
    // As many as there are threads: each has a lane of its own over the same memory.
    const lanes = [new Lane(spec), new Lane(spec), new Lane(spec)];
    const turns = Array.from({ length: 4096 + 400 }, (_, turn) =>
      Array.from({ length: random.below(4) }, (_one, i) => `${turn}.${i}`),
    );
    for (let from = 0; from < turns.length; from += 8) {
      const group = random.shuffle(Array.from({ length: 8 }, (_, i) => from + i));
      const blocks = new Map<number, Block>();
      for (const turn of group) {
        const records = turns[turn] as string[];
        const block = random.below(2) === 0 ? blockOf(records) : linesOf(records);
        blocks.set(turn, block);
        lanes[turn % 3]?.publish(block, turn);
        const first = Array.from({ length: 8 }, (_, i) => from + i).find((one) => !blocks.has(one));
        const known = group.filter((one) => lanes[one % 3]?.isKnown(one));
        expect(known.length).toBe(first === undefined ? 8 : first - from + 1);
      }
      for (const turn of random.shuffle(group)) {
        const block = lanes[turn % 3]?.put(blocks.get(turn) as Block, turn);
        expect(block?.put?.bytes).toBe((turns[turn] as string[]).reduce((sum, record) => sum + record.length + 1, 0));
        expect(block?.count).toBe(turns[turn]?.length);
      }
    }
    closeSync(fd);
    const lines = turns.flat().map((record) => `${record}\n`);
    expect(readFileSync(path, 'utf8') === before + lines.join('')).toBe(true);
  });

  test('leaves a block alone that can not be written, or that is too large to go unseen', () => {
    const { path, fd } = fileWith('');
    const lane = new Lane(newLane(fd, 0));
    const large: Block = { ...linesOf(['x']), bytes: Buffer.alloc((64 << 20) + 1) };
    lane.publish(large, 0);
    expect(lane.put(large, 0)).toBe(large);
    closeSync(fd);
    const readOnly = openSync(path, 'r');
    const other = new Lane(newLane(readOnly, 0));
    const block = linesOf(['one']);
    other.publish(block, 0);
    expect(other.put(block, 0)).toBe(block);
    closeSync(readOnly);
  });
});

describe('a lane of elements', () => {
  const encoderOf = (): JsonEncoder => new JsonEncoder({ framing: 'array', pretty: false, step: 'format_json' });

  test.each([false, true])(
    'makes the array that an encoder makes, whoever lays out which block; some stand before: %j',
    (isBegun) => {
      const random = randomOf(13);
      for (let round = 0; round < 20; round++) {
        const encoder = encoderOf();
        const before = isBegun ? encoder.encode(linesOf(['"before"'])) : [];
        const { path, fd } = fileWith(Buffer.concat(before).toString());
        expect(encoder.byOthers).toMatchObject({ form: 'elements', begun: isBegun });
        let at = Buffer.concat(before).length;
        const spec = newElementLane(fd, at, isBegun);
        const lanes = [new Lane(spec), new Lane(spec)];
        const turns = Array.from({ length: 24 }, (_, turn) =>
          Array.from({ length: random.below(4) }, (_one, i) => `"${turn},${i}\\n"`),
        );
        const blocks = turns.map((records) => (random.below(2) === 0 ? blockOf(records) : linesOf(records)));
        for (const turn of random.shuffle(turns.map((_, i) => i)))
          lanes[turn % 2]?.publish(blocks[turn] as Block, turn);
        const left = new Set(turns.flatMap((_, turn) => (random.below(5) === 0 ? [turn] : [])));
        for (const turn of random.shuffle(turns.map((_, i) => i)))
          if (!left.has(turn)) blocks[turn] = (lanes[turn % 2] as Lane).put(blocks[turn] as Block, turn);
        for (const [turn, block] of blocks.entries()) {
          expect(block.put === undefined).toBe(left.has(turn));
          if (block.put !== undefined) {
            encoder.byOthers?.did(block.count);
            at += block.put.bytes;
          } else if (block.count > 0) {
            for (const piece of encoder.encode(block)) at += writeSync(fd, piece, 0, piece.length, at);
          }
        }
        for (const piece of encoder.end()) writeSync(fd, piece, 0, piece.length, at);
        closeSync(fd);
        expect(readFileSync(path, 'utf8')).toBe(`[${[...(isBegun ? ['"before"'] : []), ...turns.flat()]}]\n`);
      }
    },
  );

  test('leaves the records of a block that can not be written as they were', () => {
    const { path, fd } = fileWith('');
    closeSync(fd);
    const readOnly = openSync(path, 'r');
    const lane = new Lane(newElementLane(readOnly, 0, false));
    const block = linesOf(['{"a":1,"b":2}', '[3,4]', '5']);
    lane.publish(block, 0);
    expect(lane.put(block, 0)).toBe(block);
    expect(Buffer.from(block.bytes).toString()).toBe('{"a":1,"b":2}\n[3,4]\n5\n');
    closeSync(readOnly);
  });

  test('an array that is indented, or one document, is laid out by its encoder alone', () => {
    const of = (framing: 'array' | 'document' | 'value', pretty: boolean): JsonEncoder =>
      new JsonEncoder({ framing, pretty, step: 'format_json' });
    expect([of('array', true), of('document', false), of('value', false)].map(({ byOthers }) => byOthers)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('a lane of arrays', () => {
  const arraysOf = (records: readonly string[], size: number): string =>
    Array.from(
      { length: Math.ceil(records.length / size) },
      (_, i) => `[${records.slice(i * size, (i + 1) * size)}]\n`,
    ).join('');
  const listed = (records: readonly string[]): Block => blockOf(records);

  test('gives each turn its place among the arrays, whatever the order', () => {
    const random = randomOf(12);
    for (const size of [1, 2, 10, 1000]) {
      const { path, fd } = fileWith('');
      const spec = newLane(fd, 0, { records: size, maxBytes: 1 << 20 });
      const lanes = [new Lane(spec), new Lane(spec)];
      const turns = Array.from({ length: 96 }, (_, turn) =>
        Array.from({ length: random.below(9) }, (_one, i) => `"${turn}.${i}"`),
      );
      for (let from = 0; from < turns.length; from += 8) {
        const group = random.shuffle(Array.from({ length: 8 }, (_, i) => from + i));
        for (const turn of group) lanes[turn % 2]?.publish(listed(turns[turn] as string[]), turn);
        for (const turn of random.shuffle(group)) {
          const block = lanes[turn % 2]?.put(listed(turns[turn] as string[]), turn);
          expect(block?.put).toBeDefined();
        }
      }
      closeSync(fd);
      const all = turns.flat();
      const half = all.length % size;
      const text = readFileSync(path, 'utf8');
      expect(half === 0 ? text : `${text.slice(0, -1)}]\n`).toBe(arraysOf(all, size));
    }
  });

  test('closes with the turn in which one could become too large, for that and all behind it', async () => {
    const { path, fd } = fileWith('');
    const spec = newLane(fd, 0, { records: 100, maxBytes: 64 });
    const lane = new Lane(spec);
    const blocks = [['1', '2'], [`"${'x'.repeat(60)}"`], ['3']].map(listed);
    for (const turn of [2, 1, 0]) lane.publish(blocks[turn] as Block, turn);
    expect([0, 1, 2].map((turn) => [lane.isKnown(turn), lane.isClosed(turn)])).toEqual([
      [true, false],
      [false, true],
      [false, true],
    ]);
    const keeper = new LaneKeeper(new Lane(spec));
    const answers: StageResult[] = [];
    for (const turn of [1, 2]) keeper.take(turn, resultOf(blocks[turn] as Block), (result) => answers.push(result));
    expect(answers.map(({ block }) => block)).toEqual(blocks.slice(1));
    expect(lane.put(blocks[1] as Block, 1)).toBe(blocks[1]);
    expect(lane.put(blocks[0] as Block, 0).put).toMatchObject({ bytes: 5, open: { bytes: 5 } });
    closeSync(fd);
    expect(readFileSync(path, 'utf8')).toBe('[1,2,');
  });

  test.each([[[0]], [[1]], [[2, 3]], [[5]], [[]]])(
    'blocks %j of six are not written: the batch behind it makes the same arrays, and the same checkpoints',
    async (left) => {
      const turns = Array.from({ length: 6 }, (_, turn) =>
        Array.from({ length: 7 + turn }, (_one, i) => `{"turn":${turn},"i":[${i},"],["]}`),
      );
      const { path, fd } = fileWith('');
      const spec = newLane(fd, 0, { records: 10, maxBytes: 1 << 20 });
      const lane = new Lane(spec);
      const [input, out] = [newChannel(), newChannel()];
      const counters = noCounters();
      const done = runBatch(
        {
          stepId: 'batch',
          spec: {
            emit: 'array',
            maxRecords: 10,
            maxBytes: 1 << 20,
            maxMs: undefined,
            waiting: 0,
            preserveOrder: true,
            checkpointEvery: undefined,
          },
          counters,
          state: undefined,
          together: false,
          checkpoint: () => undefined,
          place: { step: 'batch', fd, at: 0, records: 10, begun: undefined },
        },
        input,
        out,
      );
      let text = '';
      const halves: string[][] = [];
      const taking = (async () => {
        for (let item = await out.receive(); item !== undefined; item = await out.receive()) {
          if (item.kind === 'barrier') {
            const half = item.barrier.snapshots.batch as { records: string[] } | undefined;
            halves.push(half?.records ?? []);
            continue;
          }
          const { block } = item;
          // As the sink does: what it knows of ends where the text does.
          if (block.put !== undefined) {
            const bytes = readFileSync(path);
            text += bytes.toString('utf8', text.length, text.length + block.put.bytes);
          } else if (block.count > 0)
            text += recordsOf(block)
              .map((record) => `${record}\n`)
              .join('');
        }
      })();
      for (const [turn, records] of turns.entries()) {
        const block = listed(records);
        lane.publish(block, turn);
        const given = left.includes(turn as never) ? block : lane.put(block, turn);
        await input.send({ kind: 'block', block: given, broken: [], letters: [] }, { bytes: 0, records: 0 });
        const last = turn === turns.length - 1 ? 'finished' : 'no';
        await input.send(
          { kind: 'barrier', barrier: barrierOf(turn, { grade: 'hard', last }) },
          { bytes: 0, records: 0 },
        );
      }
      input.close();
      await done;
      await taking;
      closeSync(fd);
      const all = turns.flat();
      expect(text).toBe(arraysOf(all, 10));
      const counted = turns.map((_, turn) => turns.slice(0, turn + 1).flat());
      expect(halves.slice(0, -1)).toEqual(
        counted.slice(0, -1).map((records) => records.slice(records.length - (records.length % 10))),
      );
      const bytes = all.reduce((sum, record) => sum + record.length, 0);
      const arrays = Math.ceil(all.length / 10);
      expect(counters).toMatchObject({
        in: all.length,
        collected: all.length,
        added: arrays,
        out: arrays,
        bytes_in: bytes,
        bytes_out: bytes + all.length + arrays,
      });
    },
  );
});

describe('the keeper of a thread', () => {
  test('goes on with the next block while a place is not known, and writes both then', async () => {
    const { path, fd } = fileWith('');
    const spec = newLane(fd, 0);
    const keeper = new LaneKeeper(new Lane(spec));
    const other = new Lane(spec);
    const answers: StageResult[] = [];
    for (const turn of [1, 2]) keeper.take(turn, resultOf(linesOf([`turn ${turn}`])), (result) => answers.push(result));
    expect(answers).toEqual([]);
    const first = linesOf(['turn 0']);
    other.publish(first, 0);
    other.put(first, 0);
    await expect.poll(() => answers.map(({ block }) => block.put?.bytes)).toEqual([7, 7]);
    closeSync(fd);
    expect(readFileSync(path, 'utf8')).toBe('turn 0\nturn 1\nturn 2\n');
  });

  test('answers with the bytes where a turn before it never comes', async () => {
    const { path, fd } = fileWith('');
    const keeper = new LaneKeeper(new Lane(newLane(fd, 0)));
    const answers: StageResult[] = [];
    const block = linesOf(['late']);
    keeper.take(3, resultOf(block), (result) => answers.push(result));
    await expect.poll(() => answers.map((one) => one.block)).toEqual([block]);
    closeSync(fd);
    expect(readFileSync(path, 'utf8')).toBe('');
  });
});
