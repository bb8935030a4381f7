/** Layout against JSON.stringify, and its work on deep records. */
import { expect, test, vi } from 'vitest';
import { layOut } from '../../runner/kernel/layout.ts';
import { ByteWriter } from '../../runner/kernel/writer.ts';
import { RandomJson } from './random-json.ts';

const work = vi.hoisted(() => ({ strings: 0 }));
vi.mock('../../runner/kernel/grammar.ts', async (original) => {
  const grammar = await original<typeof import('../../runner/kernel/grammar.ts')>();
  return {
    ...grammar,
    skipString: (b: Uint8Array, p: number, end: number): number => {
      work.strings++;
      return grammar.skipString(b, p, end);
    },
  };
});

function laidOut(text: string, indent: number, sortKeys = false): string {
  const bytes = Buffer.from(text);
  const out = new ByteWriter(16);
  layOut(bytes, 0, bytes.length, { indent, sortKeys }, 0, out);
  return out.bytes.toString('utf8', 0, out.length);
}

const SEED = 20260302;

test('what JSON.stringify wrote is laid out as JSON.stringify would', () => {
  const random = new RandomJson(SEED);
  for (let i = 0; i < 3000; i++) {
    const value: unknown = JSON.parse(random.value());
    const indent = 1 + random.below(4);
    const where = `seed ${SEED}, record ${i}`;
    expect(laidOut(JSON.stringify(value), indent), where).toBe(JSON.stringify(value, null, indent));
    expect(laidOut(JSON.stringify(value), 0), where).toBe(JSON.stringify(value));
  }
});

test('a record of a thousand levels is looked at twice, not once a level', () => {
  const text = `${'{"k":"v","a":['.repeat(500)}${']}'.repeat(500)}`;
  for (const sortKeys of [false, true]) {
    work.strings = 0;
    const result = laidOut(text, 1, sortKeys);
    expect(JSON.parse(result)).toEqual(JSON.parse(text));
    expect(work.strings).toBeLessThanOrEqual(2 * 3 * 500);
  }
});
