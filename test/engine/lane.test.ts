/** Results of many threads in one file: each at its place, in whatever order they are done. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Block } from '../../runner/engine/contracts.ts';
import { Lane, newLane } from '../../runner/engine/lane.ts';
import type { StageResult } from '../../runner/engine/stage-spec.ts';
import { LaneKeeper } from '../../runner/threads/lane-keeper.ts';
import { randomOf } from '../fault/random.ts';

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
