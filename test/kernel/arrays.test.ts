/** Arrays that are written part by part, wherever the parts begin and end. */
import { describe, expect, test } from 'vitest';
import type { Block } from '../../runner/engine/contracts.ts';
import { arrayPart, beginningOf, bracketBytes, givePart, recordsOfPart } from '../../runner/kernel/arrays.ts';
import { closeLines, keepRecords } from '../../runner/kernel/keep.ts';
import { recordsOf } from '../contract/oxi-suite.ts';
import { randomOf } from '../fault/random.ts';
import { RandomJson } from './random-json.ts';

const random = randomOf(5);
const ODD = ['[]', '{}', '"],["', '"\\\\"', '"\\"]\\n"', '[[1,2],{"a":[3]}]', '7', 'null', '{"é":"[,"}'];
const ends = ['\n', ', ', ',', ' \n '];

/** Records a line feed apart, or with more between them. */
function blockOf(records: readonly string[], isDense: boolean): Block {
  const spans: number[] = [];
  let text = '';
  for (const record of records) {
    const start = Buffer.byteLength(text);
    spans.push(start, start + Buffer.byteLength(record));
    text += record + (isDense ? '\n' : random.pick(ends));
  }
  const offsets = Float64Array.from(records, (_, i) => 1000 + i);
  return { bytes: Buffer.from(text), spans: Uint32Array.from(spans), offsets, count: records.length, split: 0 };
}

const arraysOf = (records: readonly string[], size: number): string => {
  let text = '';
  for (let at = 0; at < records.length; at += size) text += `[${records.slice(at, at + size).join()}]\n`;
  return text;
};

describe('parts of arrays', () => {
  test.each([1, 2, 3, 7, 100, 5000])('of %i records make up the whole, and give their records back', (size) => {
    const json = new RandomJson(size);
    for (let round = 0; round < 30; round++) {
      const all = Array.from({ length: random.below(400) }, () =>
        random.below(3) === 0 ? random.pick(ODD) : JSON.stringify({ id: random.below(99), of: json.below(7) }),
      );
      let text = '';
      let before = 0;
      let openBytes = 0;
      for (let from = 0; from < all.length; ) {
        const to = Math.min(all.length, from + random.below(180));
        const records = all.slice(from, to);
        const block = blockOf(records, random.below(2) === 0);
        const part = arrayPart(block, before, size);
        const written = Buffer.concat(part.pieces);
        givePart(part, block);
        // It is what it was, but for what stands between its records.
        expect(recordsOf(block)).toEqual(records);
        const brackets = bracketBytes(before, records.length, size);
        expect(written.byteLength).toBe(records.reduce((sum, one) => sum + Buffer.byteLength(one) + 1, brackets));
        const back = recordsOfPart(written, before > 0);
        expect(recordsOf({ ...back, split: 0 })).toEqual(records);
        text += written.toString();
        const held = (before + records.length) % size;
        const whole = before + records.length - held;
        if (part.open !== undefined) {
          expect(part.open.offset).toBe(1000 + whole - before);
          openBytes = part.open.bytes;
        } else openBytes = held === 0 ? 0 : openBytes + written.byteLength;
        expect(openBytes).toBe(Buffer.byteLength(beginningOf(all.slice(to - held, to))));
        before = held;
        from = to;
      }
      if (before > 0) text = `${text.slice(0, -1)}]\n`;
      expect(text).toBe(arraysOf(all, size));
    }
  });
});

test('lines that were picked stand together again', () => {
  for (let round = 0; round < 200; round++) {
    const records = Array.from({ length: random.below(50) }, (_, i) => `{"id":${i},"n":"${'n'.repeat(i % 7)}"}`);
    const block: Block = { ...blockOf(records, true), areLines: true };
    const share = random.below(4);
    const stays = records.map(() => random.below(4) < share);
    const kept = records.filter((_, i) => stays[i]);
    const picked = keepRecords(block, (i) => stays[i] === true);
    const lines = picked.count < block.count ? closeLines(picked) : picked;
    expect(Buffer.from(lines.bytes).toString()).toBe(kept.map((record) => `${record}\n`).join(''));
    expect(recordsOf(lines)).toEqual(kept);
  }
});
