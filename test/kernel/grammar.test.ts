/** The byte engine against TextDecoder and JSON.parse, on seeded random texts, valid and broken. */
import { expect, test } from 'vitest';
import type { Block, RecordStep, StepContext } from '../../runner/engine/contracts.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import { Pass } from '../../runner/engine/fuse.ts';
import { JsonStream } from '../../runner/kernel/json-stream.ts';
import { keep, made, type Node, parse, print, put, rename, touch } from '../oracle/tokens.ts';
import { RandomJson } from './random-json.ts';

const SEED = 20260301;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text, where it is strict JSON in UTF-8 without lone surrogates; by means that share nothing with the kernel. */
function accepted(bytes: Buffer): string | undefined {
  try {
    const text = decoder.decode(bytes);
    JSON.parse(text);
    // JSON.parse lets half a surrogate pair pass; strings are what it could stand in.
    if (!/\\u[dD][89a-fA-F]/.test(text)) return text;
    const strings = text.match(/"(?:[^"\\]|\\.)*"/g) ?? [];
    return strings.every((string) => (JSON.parse(string) as string).isWellFormed()) ? text : undefined;
  } catch {
    return undefined;
  }
}

function compacted(text: string): string {
  return text.replaceAll(/("(?:[^"\\]|\\.)*")|[ \t\r\n]+/g, '$1');
}

const context: StepContext = {
  now: 0,
  params: new Map(),
  env: new Map(),
  stream: { framing: 'lines', selected: false },
  splitName: 'random',
  offset: 0,
};

function blockOf(bytes: Buffer): Block {
  return {
    bytes,
    spans: new Uint32Array([0, bytes.length]),
    offsets: new Float64Array([0]),
    count: 1,
    split: 0,
  };
}

/** The record as it leaves a pass, or where it is broken. */
function through(pass: Pass, block: Block): string | { at: number } {
  let at = -1;
  const out = pass.run(block, context, {
    filtered: () => undefined,
    failed: (_owner, _index, error) => {
      at = error.at ?? -1;
      return false;
    },
  });
  if (out.count === 0) return { at };
  return Buffer.from(out.bytes).toString('utf8', out.spans[0], out.spans[1]);
}

const passOf = (...steps: RecordStep[]): Pass =>
  new Pass(
    steps.map((step) => ({ owner: 0, step })),
    { parser: 0, checked: false },
  );
const step = (touches: string[][], apply: RecordStep['apply']): RecordStep => ({
  form: 'record',
  cardinality: 'one',
  touches,
  apply,
});

test('whatever bytes come, a record is accepted or refused as by JSON.parse, and its bytes are those of a compaction', () => {
  const random = new RandomJson(SEED);
  const copying = passOf(step([], () => 'keep'));
  let good = 0;
  let bad = 0;
  for (let i = 0; i < 110_000; i++) {
    const valid = Buffer.from(`${random.space()}${random.value()}${random.space()}`);
    const bytes = i % 3 === 0 ? valid : random.mutated(valid);
    const text = accepted(bytes);
    const result = through(copying, blockOf(bytes));
    const where = `seed ${SEED}, record ${i}: ${bytes.toString('latin1')}`;
    if (text === undefined) {
      bad++;
      if (typeof result === 'string') expect.fail(`accepted: ${where}`);
      if (!(result.at >= 0 && result.at <= bytes.length)) expect.fail(`refused at ${result.at}: ${where}`);
    } else {
      good++;
      if (result !== compacted(text)) expect.fail(`became ${JSON.stringify(result)}: ${where}`);
    }
  }
  expect(Math.min(good, bad)).toBeGreaterThan(30_000);
}, 120_000);

test('a document in pieces is accepted or refused as by JSON.parse', () => {
  const random = new RandomJson(SEED + 1);
  const copying = passOf(step([], () => 'keep'));
  let good = 0;
  for (let i = 0; i < 15_000; i++) {
    const valid = Buffer.from(`${random.space()}${random.value()}${random.space()}`);
    const bytes = i % 2 === 0 ? valid : random.mutated(valid);
    const text = accepted(bytes);
    const where = `seed ${SEED + 1}, document ${i}: ${bytes.toString('latin1')}`;
    const stream = new JsonStream(
      { name: 'random', select: { segments: [], strict: true }, spread: 'no', maxRecordBytes: 1 << 20 },
      { offset: 0, state: null },
    );
    const cut = random.below(bytes.length + 1);
    const results: (string | { at: number })[] = [];
    try {
      for (const framed of [
        stream.push(Uint8Array.from(bytes.subarray(0, cut))),
        stream.push(Uint8Array.from(bytes.subarray(cut))),
        stream.end(),
      ])
        if (framed.count > 0) results.push(through(copying, { ...framed, split: 0 }));
    } catch (error) {
      if (!(error instanceof OxiError) || error.code !== 'DOCUMENT_BROKEN') throw error;
      results.push({ at: error.place.offset ?? -1 });
    }
    if (text === undefined) {
      const broken = results.at(-1);
      if (typeof broken !== 'object' || broken.at < 0) expect.fail(`accepted: ${where}`);
    } else {
      good++;
      if (results.length !== 1 || results[0] !== compacted(text))
        expect.fail(`became ${JSON.stringify(results)}: ${where}`);
    }
  }
  expect(good).toBeGreaterThan(7000);
});

test('touching, setting, renaming, dropping and selecting random records gives what an oracle of tokens gives', () => {
  const random = new RandomJson(SEED + 2);
  const edit = passOf(
    step([['t'], ['a'], ['b'], ['c'], ['é'], ['']], (record) => {
      record.set(['t'], '"set"');
      record.rename([{ from: ['a'], to: ['b'] }]);
      record.drop(['c']);
      return 'keep';
    }),
  );
  const nested = passOf(
    step([['a', 'b'], ['a', 'c', 'a'], ['b'], ['t']], (record) => {
      record.drop(['a', 'b']);
      record.drop(['a', 'c', 'a']);
      return 'keep';
    }),
  );
  const only = passOf(
    step([['a'], ['b', 'c'], ['__proto__']], (record) => {
      record.select([['a'], ['b', 'c'], ['__proto__']]);
      return 'keep';
    }),
  );
  const touchAll = (node: Node, keys: readonly string[]): void => {
    for (const key of keys) touch(node, key);
  };
  const drop = (node: Node | undefined, key: string): void => {
    if (node?.kind === 'object') keep(node, (name) => name !== key);
  };
  const rows: [name: string, pass: Pass, oracle: (node: Node) => void][] = [
    [
      'edit',
      edit,
      (node) => {
        touchAll(node, ['t', 'a', 'b', 'c', 'é', '']);
        put(node, 't', made('set'));
        rename(node, 'a', 'b');
        drop(node, 'c');
      },
    ],
    [
      'nested',
      nested,
      (node) => {
        touchAll(node, ['a', 'b', 't']);
        const a = touch(node, 'a');
        if (a?.kind !== 'object') return;
        touchAll(a, ['b', 'c']);
        const c = touch(a, 'c');
        if (c?.kind === 'object') touch(c, 'a');
        drop(a, 'b');
        drop(c, 'a');
      },
    ],
    [
      'select',
      only,
      (node) => {
        touchAll(node, ['a', 'b', '__proto__']);
        const b = touch(node, 'b');
        if (b?.kind === 'object') {
          touch(b, 'c');
          keep(b, (key) => key === 'c');
          keep(node, (key) => ['a', 'b', '__proto__'].includes(key));
        } else keep(node, (key) => ['a', '__proto__'].includes(key));
      },
    ],
  ];
  for (let i = 0; i < 12_000; i++) {
    const text = `${random.space()}${random.object(0)}${random.space()}`;
    for (const [name, pass, oracle] of rows) {
      const node = parse(text);
      oracle(node);
      const result = through(pass, blockOf(Buffer.from(text)));
      if (result !== print(node))
        expect.fail(
          `seed ${SEED + 2}, record ${i}, ${name}: ${text}\n became ${JSON.stringify(result)}\n in place of ${print(node)}`,
        );
    }
  }
});

const rows: [text: string, at: number | undefined][] = [
  ['"\\ud83d\\ude00"', undefined],
  ['"\\uDBFF\\uDFFF"', undefined],
  ['"\\ud83d"', 1],
  ['"\\ud83dx"', 1],
  ['"\\ud83d\\n"', 1],
  ['"\\ud83d\\ud83d\\ude00"', 1],
  ['"\\ude00"', 1],
  ['"a\\ud83d\\u0041"', 2],
  ['"\\ud83d\\u00"', 1],
  ['"\\u12g4"', 1],
  ['"\\x"', 1],
  ['"\\', 1],
  ['"\t"', 1],
  ['"\u007f"', undefined],
  ['"a', 2],
  ['\u000b1', 0],
  ['\u00a01', 0],
  ['\ufeff1', 0],
  ['1\f', 1],
  ['01', 0],
  ['-01', 1],
  ['+1', 0],
  ['.5', 0],
  ['1.', 2],
  ['1.e5', 2],
  ['1e', 2],
  ['1e+', 3],
  ['--1', 1],
  ['-', 1],
  ['1 2', 2],
  ['NaN', 0],
  ['tru', 0],
  ['True', 0],
  ['truex', 4],
  ['{"a":1,}', 7],
  ['{"a" 1}', 5],
  ['{a:1}', 1],
  ["{'a':1}", 1],
  ['{"a":}', 5],
  ['{,}', 1],
  ['{"a":1 "b":2}', 7],
  ['{"a":1]', 6],
  ['[1}', 2],
  ['[1,]', 3],
  ['[,1]', 1],
  ['[', 1],
  ['[1', 2],
  ['{"a"', 4],
  ['{"a":1', 6],
  ['[1]]', 3],
  ['/* */ 1', 0],
  ['', 0],
];

test.each(rows)('%j: accepted, or refused at its first wrong byte', (text, at) => {
  const bytes = Buffer.from(text);
  expect(accepted(bytes) === undefined).toBe(at !== undefined);
  for (const pass of [passOf(step([], () => 'keep')), passOf(step([['a'], ['b', 'c']], () => 'keep'))])
    expect(through(pass, blockOf(bytes))).toEqual(at === undefined ? text : { at });
});

test('1024 levels are the limit, in records and in documents alike', () => {
  const nested = (n: number): Buffer => Buffer.from('['.repeat(n) + ']'.repeat(n));
  const pass = passOf(step([], () => 'keep'));
  expect(through(pass, blockOf(nested(1024)))).toBe(nested(1024).toString());
  expect(through(pass, blockOf(nested(1025)))).toEqual({ at: 1024 });
  const inObject = Buffer.from(`{"a":${nested(1024)}}`);
  for (const touches of [[], [['a']], [['a', 'b']]])
    expect(through(passOf(step(touches, () => 'keep')), blockOf(inObject))).toEqual({ at: 5 + 1023 });
  const document = (bytes: Buffer): void => {
    const stream = new JsonStream(
      { name: 'deep', select: { segments: [], strict: true }, spread: 'no', maxRecordBytes: 1 << 20 },
      { offset: 0, state: null },
    );
    stream.push(Uint8Array.from(bytes));
    stream.end();
  };
  document(nested(1024));
  expect(() => document(nested(1025))).toThrow('byte 1024: more than 1024 levels');
});
