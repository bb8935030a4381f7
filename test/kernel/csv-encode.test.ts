/** Rows of CSV as one text: the columns of all blocks, laid out on any thread, in one order; and what a barrier keeps of them. */
import { parse } from 'csv-parse/sync';
import { describe, expect, test } from 'vitest';
import type { Block, Encoder, FailRecord } from '../../runner/engine/contracts.ts';
import { cutBlock, joinBlocks } from '../../runner/kernel/blocks.ts';
import type { CsvFormat } from '../../runner/kernel/csv-cell-writer.ts';
import { CsvEncoder } from '../../runner/kernel/csv-encode.ts';
import { CsvJson } from '../../runner/kernel/csv-json.ts';
import { type ColumnRule, MAX_COLUMNS, RowLayout } from '../../runner/kernel/csv-layout.ts';
import { CsvFramer } from '../../runner/kernel/csv-rows.ts';
import type { Json } from '../../runner/state/store.ts';
import { blockOf, recordsOf } from '../contract/oxi-suite.ts';
import { randomness } from './random-json.ts';

const SEED = 20_260_302;
const FORMAT: CsvFormat = {
  dialect: { delimiter: 0x2c, quote: 0x22, escape: -1, comment: -1, trim: false },
  style: 'minimal',
  lineEnd: Buffer.from('\n'),
  escapeFormulas: false,
};

interface How {
  /** Records in a block: the next one's size. */
  size: () => number;
  threads?: number;
  rewritable?: boolean;
  rule?: ColumnRule;
  /** Blocks are laid out in three parts by different threads, and joined behind them. */
  joined?: boolean;
  /** The encoder is replaced behind each block by one that goes on from its snapshot. */
  restarts?: boolean;
}

interface Written {
  text: string;
  refused: string[];
  columns: readonly string[] | undefined;
  held: number[];
}

async function write(records: readonly string[], how: How): Promise<Written> {
  const { size, threads = 1, rewritable = true, rule = 'all', restarts = false, joined = false } = how;
  const make = (): Encoder => new CsvEncoder({ format: FORMAT, headers: true, rule, columns: [], rewritable });
  let encoder = make();
  const layouts = Array.from({ length: threads }, () => new RowLayout(FORMAT, 'all'));
  const pieces: Uint8Array[] = [];
  const refused: string[] = [];
  const held: number[] = [];
  for (let at = 0, n = 0; at < records.length; n++) {
    const some = records.slice(at, at + size());
    const block: Block = blockOf(some);
    const refuse: FailRecord = (i, error) => expect.fail(`${some[i]}: ${error.message}`);
    const part = (k: number): Block => {
      const [from, to] = [k, k + 1].map((third) => Math.floor((third * some.length) / 3)) as [number, number];
      return (layouts[(n + k) % threads] as RowLayout).layOut(cutBlock(block, from, to), refuse);
    };
    const laidOut = joined
      ? joinBlocks([part(0), part(1), part(2)])
      : rule === 'first'
        ? block
        : (layouts[n % threads] as RowLayout).layOut(block, refuse);
    const start = at;
    for (const piece of encoder.encode(laidOut, (i, { message }) => refused.push(`${start + i} ${message}`)))
      pieces.push(Buffer.from(piece));
    held.push(encoder.held ?? 0);
    at += some.length;
    if (!restarts) continue;
    const state = JSON.parse(JSON.stringify(encoder.snapshot())) as Json;
    encoder = make();
    encoder.restore(state);
  }
  pieces.push(...encoder.end());
  const rewrite = encoder.rewrite?.();
  if (rewrite === undefined) return { text: Buffer.concat(pieces).toString(), refused, columns: encoder.columns, held };
  const text: Buffer[] = [];
  // The text comes back in pieces of any size.
  const all = Buffer.concat(pieces);
  const old = async function* (): AsyncGenerator<Uint8Array> {
    for (let p = 0; p < all.length; p += 13) yield Uint8Array.from(all.subarray(p, p + 13));
  };
  for await (const piece of rewrite(old())) text.push(Buffer.from(piece));
  return { text: Buffer.concat(text).toString(), refused, columns: encoder.columns, held };
}

const KEYS = ['id', 'name', 'a,b', 'say "x"', 'é', 'two\nlines', '__proto__', '10', ''];
const VALUES = [1, -2.5, '', 'x', 'a,b', '"q"', 'l\nm', null, true, [1, 'y'], { z: '"' }, '😀'];

function randomRecords(seed: number, count: number): string[] {
  const random = randomness(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  return Array.from({ length: count }, (_, i) => {
    // More and more fields as time goes on.
    const known = KEYS.slice(0, 1 + Math.floor((i / count) * KEYS.length));
    const keys = known.filter(() => random() < 0.7).sort(() => random() - 0.5);
    return `{${keys.map((key) => `${JSON.stringify(key)}:${JSON.stringify(pick(VALUES))}`).join(',')}}`;
  });
}

/** Columns and rows by a way of its own. */
function table(records: readonly string[]): string[][] {
  const columns: string[] = [];
  const rows = records.map((record) => {
    const row = new Map(Object.entries(JSON.parse(record) as object));
    for (const [, key] of record.matchAll(/(?:^\{|,)("(?:[^"\\]|\\.)*"):/g)) {
      const name = JSON.parse(key as string) as string;
      if (row.has(name) && !columns.includes(name)) columns.push(name);
    }
    return row;
  });
  const cell = (value: unknown): string =>
    value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value);
  return [columns, ...rows.map((row) => columns.map((name) => cell(row.get(name))))];
}

describe('columns that grow', () => {
  test('are those of all records, in the order in which they came, wherever blocks end and whoever laid them out', async () => {
    for (let round = 0; round < 20; round++) {
      const records = randomRecords(SEED + round, 120);
      const where = `seed ${SEED + round}`;
      const { text, columns } = await write(records, { size: () => 1000 });
      expect(parse(text, { relax_column_count: false }), where).toEqual(table(records));
      expect(columns, where).toEqual(table(records)[0]);
      const random = randomness(SEED + round);
      const size = (): number => 1 + Math.floor(random() * 20);
      for (const how of [
        { size: () => 1 },
        { size, threads: 3 },
        { size, threads: 2, restarts: true },
        { size, threads: 2, joined: true },
      ])
        expect((await write(records, how)).text, where).toBe(text);
    }
  });

  test('are all in the header of an output that can not be rewritten, as long as few records went by', async () => {
    const records = randomRecords(SEED, 120);
    const { text } = await write(records, { size: () => 1000 });
    for (const restarts of [false, true]) {
      const once = await write(records, { size: () => 7, threads: 2, rewritable: false, restarts });
      expect(once.text).toBe(text);
      expect(once.held.at(-1)).toBe(120);
    }
  });

  test('are closed behind the first 1000 records of such an output, wherever blocks end', async () => {
    const records = Array.from({ length: 1300 }, (_, i) =>
      i === 999
        ? '{"id":999,"late":1}'
        : i === 1000 || i === 1200
          ? `{"id":${i},"later":"x"}`
          : `{"id":${i},"later":null}`,
    );
    records.splice(0, 999, ...Array.from({ length: 999 }, (_, i) => `{"id":${i}}`));
    const message =
      '"later" is no column of the header, which stands since record 1000 and can\'t be changed in this output: name all columns in "columns"';
    for (const size of [1, 7, 300, 1000, 2000])
      for (const restarts of [false, true]) {
        const how = { size: () => size, rewritable: false, restarts, joined: restarts };
        const { text, refused, held } = await write(records, how);
        expect(refused).toEqual([`1000 ${message}`, `1200 ${message}`]);
        const lines = text.split('\n');
        expect(lines).toHaveLength(1 + 1298 + 1);
        expect([lines[0], lines[1], lines[1000], lines[1001]]).toEqual(['id,late', '0,', '999,1', '1001,']);
        expect(held.at(-1)).toBe(0);
        expect(Math.max(...held)).toBeLessThan(1000);
      }
  });

  test('stay those of the first record where that is asked for, over a restart too', async () => {
    const records = ['{"b":1,"a":2}', '{"c":3,"a":4}', '{"b":"x"}'];
    for (const restarts of [false, true])
      expect((await write(records, { size: () => 1, rule: 'first', restarts })).text).toBe('b,a\n1,2\n,4\nx,\n');
  });

  test('end where keys are data', () => {
    const layout = new RowLayout(FORMAT, 'all');
    const wide = (from: number, count: number): string =>
      `{${Array.from({ length: count }, (_, i) => `"k${from + i}":1`).join(',')}}`;
    const refused: string[] = [];
    const rows = layout.layOut(blockOf([wide(0, MAX_COLUMNS), wide(MAX_COLUMNS, 1), wide(5, 1)]), (i, error) =>
      refused.push(`${i} ${error.code} ${error.message}`),
    );
    expect(rows.count).toBe(2);
    expect(refused).toEqual([
      `1 TOO_LARGE the output would have more than ${MAX_COLUMNS} columns: name those to write in "columns"`,
    ]);
  });
});

test('a table of 100,000 columns comes in and leaves as it was', async () => {
  const names = Array.from({ length: 100_000 }, (_, i) => `c${i}`);
  const text = `${names.join(',')}\n${names.map((_, i) => i).join(',')}\n${names.map(() => '"a,b"').join(',')}\n`;
  const dialect = FORMAT.dialect;
  const framer = new CsvFramer(
    { dialect, headers: true, columns: undefined, skipRows: 0, maxRecordBytes: 1 << 24 },
    { offset: 0, state: null, name: 'wide.csv' },
  );
  const json = new CsvJson({ dialect, typeOf: () => 'text', emptyIsNull: false });
  const records: string[] = [];
  for (let at = 0; at < text.length; at += 65_536) {
    const framed = framer.push(Buffer.from(text.slice(at, at + 65_536)));
    records.push(...recordsOf(json.process({ ...framed, split: 0 }, (_i, error) => expect.fail(error.message))));
  }
  expect(Object.keys(JSON.parse(records[0] ?? '') as object)).toEqual(names);
  expect((await write(records, { size: () => 1 })).text).toBe(text);
});
