/** Flatten: against a plain model that works on a tree of tokens; and what hostile records can't do to it. */
import { describe, expect, test } from 'vitest';
import { Flattener, type FlattenOptions } from '../../runner/kernel/flatten.ts';
import { ByteWriter } from '../../runner/kernel/writer.ts';
import { RandomJson } from './random-json.ts';

const SEED = Number(process.env.OXIFLOW_FUZZ_SEED ?? 20_260_301);

function flatten(text: string, options: Partial<FlattenOptions> = {}): string | undefined {
  const out = new ByteWriter(16);
  const whole: FlattenOptions = {
    objects: true,
    arrays: 'explode',
    delimiter: '_',
    index: { before: '_', after: '' },
    maxDepth: Number.POSITIVE_INFINITY,
    ...options,
  };
  const bytes = Buffer.from(text);
  return new Flattener(whole, out).write(bytes, 0, bytes.length)
    ? out.bytes.toString('utf8', 0, out.length)
    : undefined;
}

/** A tree of the tokens of a JSON text: scalars keep their source. */
type Tree = { scalar: string } | { items: Tree[]; text: string } | { members: [string, Tree][]; text: string };

function treeOf(text: string): Tree {
  const token = /\s*("(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+)\s*/gy;
  const next = (): string => token.exec(text)?.[1] ?? '';
  const value = (first: string): Tree => {
    if (first === '[') {
      const items: Tree[] = [];
      for (let t = next(); t !== ']'; t = next()) if (t !== ',') items.push(value(t));
      return { items, text: `[${items.map(textOf).join(',')}]` };
    }
    if (first !== '{') return { scalar: first };
    const members: [string, Tree][] = [];
    const texts: string[] = [];
    for (let t = next(); t !== '}'; t = next()) {
      if (t === ',') continue;
      next();
      const member = value(next());
      members.push([JSON.parse(t) as string, member]);
      texts.push(`${t}:${textOf(member)}`);
    }
    return { members, text: `{${texts.join(',')}}` };
  };
  return value(next());
}

function textOf(tree: Tree): string {
  return 'scalar' in tree ? tree.scalar : tree.text;
}

/** Decoded keys to values, a text as what it says and everything else as it is written. */
function model(tree: Tree, options: FlattenOptions): Map<string, string> {
  const out = new Map<string, string>();
  const leaf = (text: string): string => (text.startsWith('"') ? `text ${JSON.parse(text) as string}` : text);
  const walk = (key: string, value: Tree, depth: number): void => {
    const opens = depth < options.maxDepth;
    if ('members' in value && value.members.length > 0 && opens)
      for (const [name, member] of value.members) walk(key + options.delimiter + name, member, depth + 1);
    else if ('items' in value && options.arrays === 'drop') return;
    else if ('items' in value && options.arrays === 'explode') {
      const parts = value.items.map((item) =>
        'scalar' in item && item.scalar.startsWith('"') ? (JSON.parse(item.scalar) as string) : textOf(item),
      );
      out.set(key, `text ${parts.join(',')}`);
    } else if ('items' in value && options.arrays === 'index' && value.items.length > 0 && opens)
      value.items.forEach((item, i) => {
        walk(key + options.index.before + i + options.index.after, item, depth + 1);
      });
    else out.set(key, leaf(textOf(value)));
  };
  if ('members' in tree) for (const [name, member] of tree.members) walk(name, member, 0);
  return out;
}

test(`flat records are those of a plain model, in every mode (seed ${SEED})`, () => {
  const random = new RandomJson(SEED);
  for (let round = 0; round < 4000; round++) {
    const options: FlattenOptions = {
      objects: true,
      arrays: random.pick(['explode', 'index', 'drop', 'keep']),
      delimiter: random.pick(['_', '.', '', '"', '\\', 'é', '\n']),
      index: random.pick([
        { before: '_', after: '' },
        { before: '[', after: ']' },
        { before: '"', after: '' },
      ]),
      maxDepth: random.pick([1, 2, 3, Number.POSITIVE_INFINITY]),
    };
    const tree = treeOf(random.object(0));
    const text = textOf(tree);
    const flat = flatten(text, options) ?? '';
    expect(() => JSON.parse(flat), `seed ${SEED}, round ${round}: ${text}`).not.toThrow();
    const found = treeOf(flat);
    const entries = ('members' in found ? found.members : []).map(([key, value]) => {
      const raw = textOf(value);
      return [key, raw.startsWith('"') ? `text ${JSON.parse(raw) as string}` : raw];
    });
    expect(entries, `seed ${SEED}, round ${round}: ${text} ${JSON.stringify(options)}`).toEqual([
      ...model(tree, options),
    ]);
  }
});

describe('hostile records', () => {
  test('thousands of keys that become equal leave the last one, in linear time', () => {
    const members = Array.from({ length: 20_000 }, (_, i) => `"a":{"b${i % 5000}":${i}}`);
    const flat = JSON.parse(flatten(`{${members.join(',')}}`) ?? '') as Record<string, number>;
    expect(Object.keys(flat)).toHaveLength(5000);
    expect(flat.a_b0).toBe(15_000);
    expect(flat.a_b4999).toBe(19_999);
  });

  test('deep nesting makes one long key', () => {
    const text = `${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`;
    expect(flatten(text)).toBe(`{"${Array(1000).fill('a').join('_')}":1}`);
  });

  test('keys that would fill the memory are refused before they do', () => {
    const key = 'k'.repeat(64 << 10);
    const deep = `${`{"${key}":`.repeat(40)}[${Array(2000).fill(1).join(',')}]${'}'.repeat(40)}`;
    expect(flatten(deep, { arrays: 'index' })).toBeUndefined();
  });

  test('a text of megabytes is copied as it stands', () => {
    const long = 'é\\n'.repeat(1 << 20);
    expect(flatten(`{"a":{"b":"${long}"}}`)).toBe(`{"a_b":"${long}"}`);
  });

  test('one record leaves nothing behind for the next', () => {
    const out = new ByteWriter(16);
    const flattener = new Flattener(
      { objects: true, arrays: 'keep', delimiter: '_', index: { before: '_', after: '' }, maxDepth: 9 },
      out,
    );
    for (let i = 0; i < 500; i++) {
      const bytes = Buffer.from(`{${Array.from({ length: i * 5 }, (_, k) => `"k${k}":${k}`).join(',')}}`);
      const at = out.length;
      flattener.write(bytes, 0, bytes.length);
      expect(out.bytes.subarray(at, out.length).equals(bytes)).toBe(true);
    }
  });
});
