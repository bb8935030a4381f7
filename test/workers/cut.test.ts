/** The records of all groups, in order, are those of the input: cut anywhere, framed in any way. */
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { Split } from '../../runner/engine/contracts.ts';
import { openShare } from '../../runner/engine/shared-input.ts';
import { SMALLEST_BYTES, taperedSizes } from '../../runner/workers/group-sizes.ts';
import { Chance, csvRows, jsonLines } from './inputs.ts';
import { Scene } from './scene.ts';

const SEED = 20_261_130;
const JSON_LINES = `
  - name: read_file
    config: { path: "in/*" }
  - name: parse_json
  - name: write_file
    config: { path: out/orders.ndjson }
`;

/** Every byte of each file belongs to one group, in order. */
function coverage(groups: readonly Split[][]): Map<string, number> {
  const covered = new Map<string, number>();
  for (const group of groups)
    for (const [i, split] of group.entries()) {
      expect(split.index).toBe(i);
      const { name, range = { from: 0, to: split.size ?? 0 } } = split;
      expect(range.from).toBe(covered.get(name) ?? 0);
      expect(range.to).toBeGreaterThanOrEqual(range.from);
      covered.set(name, range.to);
    }
  return covered;
}

const partsOf = (scene: Scene): Buffer =>
  Buffer.concat(
    scene
      .list('out')
      .filter((name) => name.includes('-of-'))
      .map((name) => scene.read(`out/${name}`)),
  );

describe('cutting lines of JSON', () => {
  test('parts of any number of groups joined are what one worker writes', async () => {
    const chance = new Chance(SEED);
    for (let round = 0; round < 6; round++) {
      const files = Object.fromEntries(
        Array.from({ length: 1 + chance.below(4) }, (_, i) => [`in/${i}.ndjson`, jsonLines(chance, chance.below(300))]),
      );
      using scene = new Scene(JSON_LINES, files);
      scene.threads(chance.pick([1, 3]));
      const summary = await scene.whole();
      const wish = { groups: 1 + chance.below(9), exactly: chance.oneIn(2), minBytes: 1 + chance.below(3000) };
      const groups = await scene.cut(wish);
      expect(groups.length).toBeLessThanOrEqual(wish.groups);
      if (wish.exactly) expect(groups.length).toBe(wish.groups);
      expect(await scene.cut(wish)).toEqual(groups);
      for (const [name, end] of coverage(groups)) expect(end).toBe(scene.read(name).length);
      const parts = await scene.shared(groups);
      const sum = (of: (one: typeof summary) => number): number => parts.reduce((all, one) => all + of(one), 0);
      expect(parts.map(({ error }) => error)).toEqual(groups.map(() => undefined));
      expect(partsOf(scene).equals(scene.read('out/orders.ndjson'))).toBe(true);
      expect(sum(({ counters }) => counters.total.in)).toBe(summary.counters.total.in);
      expect(sum(({ outputs }) => outputs[0]?.rows ?? 0)).toBe(summary.outputs[0]?.rows);
      const read = (one: typeof summary): number => one.counters.steps[0]?.counters.bytes_in ?? 0;
      expect(sum(read)).toBe(read(summary));
    }
  }, 60_000);

  test('looks only around the wanted cuts of a large file', async () => {
    const line = `{"order":1,"name":"${'x'.repeat(100)}"}\n`;
    using scene = new Scene(JSON_LINES, { 'in/large.ndjson': line.repeat(100_000) });
    const { segment, input } = await scene.input();
    const { source } = input.source;
    const open = source.open.bind(source);
    let read = 0;
    source.open = async function* (...args) {
      for await (const block of open(...args)) {
        read += block.bytes.length;
        yield block;
      }
    };
    const { cutInput } = await import('../../runner/workers/cut.ts');
    const groups = await cutInput(
      { ...input, parser: segment.parser, select: segment.select },
      { groups: 4, minBytes: 1 << 20 },
    );
    expect(groups.length).toBe(4);
    expect(read).toBeLessThan(1 << 20);
    const sizes = groups.map(([only]) => (only?.range?.to ?? 0) - (only?.range?.from ?? 0));
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(2 * line.length);
  });

  test('small files go together, and no group is smaller than what is wanted', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [`in/${String(i).padStart(2, '0')}.ndjson`, '{"order":1}\n'.repeat(100)]),
    );
    using scene = new Scene(JSON_LINES, files);
    const groups = await scene.cut({ groups: 4, minBytes: 1 });
    expect(groups.map((group) => group.length)).toEqual([10, 10, 10, 10]);
    expect(groups.flat().some(({ range }) => range !== undefined)).toBe(false);
    expect((await scene.cut({ groups: 4, minBytes: 20_000 })).length).toBe(2);
    expect((await scene.cut({ groups: 4, minBytes: 1 << 20 })).length).toBe(1);
  });

  test('groups of wanted sizes: every byte once, cut near to where it was wanted', async () => {
    const line = '{"order":1}\n';
    const small = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`in/${i}.ndjson`, line.repeat(100)]));
    using scene = new Scene(JSON_LINES, { ...small, 'in/9.ndjson': line.repeat(5000) });
    const sizes = [24_000, 12_000, 12_000, 12_000, 6000, 4800];
    const groups = await scene.cut({ groups: sizes.length, minBytes: 1, sizes });
    expect(groups.length).toBe(sizes.length);
    for (const [name, end] of coverage(groups)) expect(end).toBe(scene.read(name).length);
    const bytes = groups.map((group) =>
      group.reduce((sum, { size = 0, range = { from: 0, to: size } }) => sum + range.to - range.from, 0),
    );
    for (const [i, size] of sizes.entries()) expect(Math.abs((bytes[i] ?? 0) - size)).toBeLessThanOrEqual(size / 8);
  });

  test('the sizes of groups become smaller towards the end, and add up', () => {
    const sum = (sizes: readonly number[]): number => sizes.reduce((all, size) => all + size, 0);
    for (const workers of [1, 2, 7, 64])
      for (const bytes of [1, SMALLEST_BYTES, 3 * SMALLEST_BYTES, 8e8, 3e12]) {
        const sizes = taperedSizes(bytes, workers);
        expect(sum(sizes) / bytes).toBeCloseTo(1, 9);
        expect(sizes.length).toBeLessThan(2000);
        // What is left at the very end is not worth a group of its own.
        const tapered = sizes.slice(0, -1);
        expect(tapered).toEqual(tapered.toSorted((a, b) => b - a));
        expect(sizes.at(-1)).toBeLessThan(2 * SMALLEST_BYTES);
        for (const size of tapered) expect(size).toBeGreaterThanOrEqual(SMALLEST_BYTES);
        // Nobody is given more than its share.
        if (bytes > SMALLEST_BYTES * workers) expect(sizes[0]).toBeLessThanOrEqual(bytes / workers);
      }
    expect(taperedSizes(0, 2)).toEqual([0]);
  });

  test('a line longer than the distance of two cuts is in one group', async () => {
    const long = `{"name":"${'x'.repeat(500_000)}"}\n`;
    using scene = new Scene(JSON_LINES, { 'in/0.ndjson': `{"a":1}\n${long}{"b":2}\n${long}` });
    await scene.whole();
    const groups = await scene.cut({ groups: 8, minBytes: 1 });
    expect(groups.length).toBeLessThan(8);
    await scene.shared(groups);
    expect(partsOf(scene).equals(scene.read('out/orders.ndjson'))).toBe(true);
  });

  test('more groups than there is to read: the rest are empty, and make empty parts', async () => {
    using scene = new Scene(JSON_LINES, { 'in/0.ndjson': '{"a":1}\n{"b":2}\n' });
    const groups = await scene.cut({ groups: 5, exactly: true, minBytes: 1 });
    expect(groups.length).toBe(5);
    await scene.shared(groups);
    expect(scene.list('out').length).toBe(5);
    expect(partsOf(scene).toString()).toBe('{"a":1}\n{"b":2}\n');
  });
});

/** Records of a group, framed as the engine does, by the text of each. */
async function recordsOf(scene: Scene, groups: readonly Split[][]): Promise<string[]> {
  const records: string[] = [];
  for (const split of groups.flat()) {
    const { segment, input } = await scene.input();
    const { parser, select } = segment;
    if (parser === undefined) throw new Error('the pipeline has no parser');
    const from = split.range?.from ?? 0;
    const mark = from === 0 && (await input.source.source.peek(split, 3))[0] === 0xef ? 3 : from;
    const at = { offset: mark, state: split.range?.framer ?? null, name: split.name };
    const framer = parser.oxi.frame(parser.step.config as never, input.stream, select, at);
    const take = ({ bytes, spans, offsets, count, columns }: ReturnType<typeof framer.push>): void => {
      for (let i = 0; i < count; i++) {
        const text = Buffer.from(bytes.subarray(spans[2 * i], spans[2 * i + 1])).toString();
        records.push(JSON.stringify([split.name, offsets[i], columns ?? [], text]));
      }
    };
    for await (const { bytes } of input.source.source.open(split, mark, new AbortController().signal))
      take(framer.push(bytes));
    if (framer.pending > 0 || split.range === undefined || split.range.to === split.size) take(framer.end());
  }
  return records;
}

/** The records, their places and columns are the same, whatever the cut. */
async function sameRecords(steps: string, files: Record<string, string>, chance: Chance): Promise<number> {
  using scene = new Scene(steps, files);
  const whole = (await scene.input()).input.splits;
  const groups = await scene.cut({ groups: 2 + chance.below(12), minBytes: 1 });
  for (const [name, end] of coverage(groups)) expect(end).toBe(scene.read(name).length);
  expect(await recordsOf(scene, groups)).toEqual(await recordsOf(scene, [[...whole]]));
  return groups.flat().filter(({ range }) => range !== undefined).length;
}

const reading = (parser: string): string => `
  - name: read_file
    config: { path: "in/*" }
  - ${parser}
  - name: write_file
    config: { path: out/orders.ndjson }
`;

describe('cutting in the middle of files', () => {
  const rounds = 24;

  test('JSON lines', async () => {
    const chance = new Chance(SEED + 1);
    let ranges = 0;
    for (let i = 0; i < rounds; i++) {
      const files = { 'in/0.ndjson': jsonLines(chance, chance.below(400)), 'in/1.ndjson': jsonLines(chance, 30) };
      ranges += await sameRecords(reading('name: parse_json'), files, chance);
    }
    expect(ranges).toBeGreaterThan(rounds);
  });

  const dialects = ['{}', '{ headers: false }', '{ skip_rows: 2 }', '{ trim_whitespace: true, comment_char: "#" }'];
  test.each(dialects)('CSV %s', async (config) => {
    const chance = new Chance(SEED + 2);
    let ranges = 0;
    for (let i = 0; i < rounds / 2; i++) {
      const above = config.includes('skip_rows') ? 'till 4, "open\r\nof today\r' : '';
      const files = {
        'in/0.csv': above + csvRows(chance, 10 + chance.below(300)).replace('\ufeff', ''),
        'in/1.csv':
          above +
          csvRows(chance, 10 + chance.below(100), ['order', 'city'])
            .replace('\ufeff', '')
            .replaceAll('\n', '\r'),
      };
      ranges += await sameRecords(reading(`name: parse_csv\n    config: ${config}`), files, chance);
    }
    expect(ranges).toBeGreaterThan(rounds / 2);
  });

  test.each(['{}', '{ select: data.orders }'])('an array, taken from a document or not: %s', async (config) => {
    const chance = new Chance(SEED + 3);
    const isSelected = config !== '{}';
    const select = isSelected ? '\n  - name: json_select\n    config: { path: data.orders }' : '';
    let ranges = 0;
    for (let i = 0; i < rounds; i++) {
      const lines = jsonLines(chance, 10 + chance.below(300))
        .replace('\ufeff', '')
        .split(/\s*\n\s*/)
        .filter((line) => line !== '');
      const array = `[${lines.join(chance.pick([',', ' ,\n', '\n, ']))}]\n`;
      const text = isSelected ? `{ "data": { "of": [1, 2], "orders": ${array}, "end": [] } }` : array;
      ranges += await sameRecords(reading(`name: parse_json${select}`), { 'in/0.json': text }, chance);
    }
    expect(ranges).toBeGreaterThan(rounds);
  });

  test('an array of numbers, whose ends only show behind them, stays whole', async () => {
    const chance = new Chance(SEED + 4);
    const numbers = `[${Array.from({ length: 1000 }, () => chance.below(1e6)).join(',')}]`;
    expect(await sameRecords(reading('name: parse_json'), { 'in/0.json': numbers }, chance)).toBe(0);
  });

  test('a file whose records can not be found without reading it stays whole', async () => {
    const lines = '{"order":1}\n'.repeat(1000);
    const whole: [string, Record<string, string | Uint8Array>, string][] = [
      ['name: parse_json', { 'in/0.ndjson.gz': gzipSync(lines) }, ''],
      ['name: parse_json', { 'in/0.ndjson': Buffer.from(lines, 'utf16le') }, ', encoding: utf-16le'],
      ['name: parse_json\n    config: { strict: false }', { 'in/0.ndjson': lines }, ''],
      ['name: parse_json', { 'in/0.json': `{ "orders": [${lines.trim().replaceAll('\n', ',')}]\n}` }, ''],
    ];
    for (const [parser, files, more] of whole) {
      using scene = new Scene(reading(parser).replace('"in/*"', `"in/*"${more}`), files);
      const { input } = await scene.input();
      expect(await scene.cut({ groups: 4, minBytes: 1 })).toEqual([
        input.splits.map((split) => ({ ...split, place: split.index })),
      ]);
    }
  });

  test('a file that has other bytes in front of a range by now is refused', async () => {
    using scene = new Scene(JSON_LINES, { 'in/0.ndjson': '{"order":1}\n'.repeat(1000) });
    const groups = await scene.cut({ groups: 2, minBytes: 1 });
    scene.write({ 'in/0.ndjson': `{"order":12}\n${'{"order":1}\n'.repeat(998)}{"order": }` });
    const { segment, input } = await scene.input();
    const share = { source: 0, splits: groups[1] ?? [], stream: input.stream };
    await expect(openShare(share, segment, scene.folder)).rejects.toMatchObject({ code: 'INPUT_CHANGED' });
  });
});
