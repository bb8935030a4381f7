/** The records of all groups, in order, are those of the input: cut anywhere, framed in any way. */
import { describe, expect, test } from 'vitest';
import type { Split } from '../../runner/engine/contracts.ts';
import { Chance, jsonLines } from './inputs.ts';
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
    for (let round = 0; round < 10; round++) {
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
