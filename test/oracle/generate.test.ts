import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { eventBlocks, generateEvents, ODD_KINDS } from '../fixtures/generate.ts';

const textOf = (options: Parameters<typeof eventBlocks>[0]): string =>
  Buffer.concat([...eventBlocks(options)]).toString();

describe('generated events', () => {
  test('the same seed gives the same bytes, on every machine and in every release', () => {
    const hash = createHash('sha256');
    const made = generateEvents({ seed: 7, bytes: 3_000_000, write: (block) => hash.update(block) });
    expect({ ...made, sha256: hash.digest('hex') }).toEqual({
      records: 7274,
      bytes: 3_000_354,
      sha256: '8ea65e9bc6edde0808ff8176a7a995bdfe73b258e7adc093bd22c510cc791e1c',
    });
  });

  test('odd forms are the same for the same seed too', () => {
    const sha256 = createHash('sha256')
      .update(textOf({ seed: 7, records: 2000, odd: ODD_KINDS }))
      .digest('hex');
    expect(sha256).toBe('3c4ea74126dba1caa271368367b9ff88910fbe90dab6bb765eeae9d0a4d7bb98');
  });

  test('another seed gives other records', () => {
    expect(textOf({ seed: 8, records: 3 })).not.toBe(textOf({ seed: 7, records: 3 }));
  });

  test('a longer stream begins with the shorter one', () => {
    const short = textOf({ seed: 7, records: 50 });
    expect(textOf({ seed: 7, bytes: 40_000 }).startsWith(short.slice(0, 15_000))).toBe(true);
    expect(textOf({ seed: 7, records: 60 }).startsWith(short)).toBe(true);
  });

  test('a plain record is what JSON.stringify makes of it, about 410 bytes of it', () => {
    const lines = textOf({ seed: 11, records: 4000 }).trimEnd().split('\n');
    expect(lines.map((line) => JSON.stringify(JSON.parse(line)))).toEqual(lines);
    const average = Buffer.byteLength(lines.join('\n')) / lines.length;
    expect(average).toBeGreaterThan(400);
    expect(average).toBeLessThan(425);
  });

  test('nine of ten records are ok, and every block ends with a whole line', () => {
    const blocks = [...eventBlocks({ seed: 3, bytes: 4_000_000 })];
    expect(blocks.every((block) => block.at(-1) === 0x0a)).toBe(true);
    const lines = Buffer.concat(blocks).toString().trimEnd().split('\n');
    const share = lines.filter((line) => line.includes('"ok":true')).length / lines.length;
    expect(share).toBeGreaterThan(0.88);
    expect(share).toBeLessThan(0.92);
  });

  test('the stream ends with the record that reaches the size', () => {
    const made = generateEvents({ seed: 5, bytes: 100_000, write: () => {} });
    const one = generateEvents({ seed: 5, records: made.records - 1, write: () => {} });
    expect(made.bytes).toBeGreaterThanOrEqual(100_000);
    expect(one.bytes).toBeLessThan(100_000);
  });

  test('no end given is refused', () => {
    expect(() => textOf({ seed: 1 })).toThrow('give records or bytes');
  });

  test.each(ODD_KINDS)('odd records of kind "%s" are legal JSON and differ from the plain ones', (kind) => {
    const plain = textOf({ seed: 21, records: 400 }).split('\n');
    const odd = textOf({ seed: 21, records: 400, odd: [kind] }).split('\n');
    const changed = odd.filter((line) => !plain.includes(line) || line === '').length;
    expect(changed).toBeGreaterThan(20);
    expect(changed).toBeLessThan(120);
    for (const line of odd) if (line !== '') JSON.parse(line);
  });
});
