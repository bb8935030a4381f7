/**
 * JSON objects become rows of CSV, from bytes to bytes: each record's members are found by their keys and written in the order of
 * the columns. Strings are text, null and what is missing are empty, anything else is its own JSON text.
 */
import type { Block, FailRecord, RowRun } from '../engine/contracts.ts';
import { RecordError } from '../engine/contracts.ts';
import { RowKernel } from './bytes/row-kernel.ts';
import { NoKernel } from './bytes/wasm.ts';
import { CellWriter, type CsvFormat } from './csv-cell-writer.ts';
import { decodeString } from './decode.ts';
import { skipString, skipValue } from './grammar.ts';
import { SpanList } from './spans.ts';
import { ByteWriter } from './writer.ts';

/** Columns of one output, at most: more of them are keys that are data. */
export const MAX_COLUMNS = 1 << 17;

/** Which columns there are: those that are given, those of the first record, or all that come up. */
export type ColumnRule = 'given' | 'first' | 'all';

const QUOTE = 0x22;
/** Of a block of which the kernel leaves more records than that, and every second one, it does no more. */
const MOST_LEFT = 64;
/** Records that differ much have no habits: after so many surprises nothing more is learnt of them. */
const MAX_SURPRISES = 1000;

interface Habit {
  /** The key with its quotes and the colon. */
  key: Buffer;
  /** -1: none that is written. */
  column: number;
}

export class RowLayout {
  readonly #f: CsvFormat;
  readonly #cells: CellWriter;
  readonly #spans = new SpanList();
  readonly #index = new Map<string, number>();
  #columns: string[] = [];
  #rule: ColumnRule;
  /** By the place of a member in its record. */
  #habits: Habit[] = [];
  #surprises = 0;
  /** Where the value of each column stands in the record at hand; -1 where there is none. */
  #starts = new Int32Array(64);
  #ends = new Int32Array(64);

  /** What lays out most records, where the kernel can; undefined where JavaScript does it all. */
  #kernel: RowKernel | undefined;

  /** `onKernel`: by the byte kernel, as far as it can. */
  constructor(format: CsvFormat, rule: ColumnRule, columns: readonly string[] = [], onKernel = false) {
    this.#f = format;
    if (onKernel) this.#kernel = rowKernel(format);
    this.#cells = new CellWriter(format);
    this.#rule = rule;
    for (const name of columns) this.#add(name);
    if (rule === 'first' && columns.length > 0) this.#rule = 'given';
  }

  get columns(): readonly string[] {
    return this.#columns;
  }

  /**
   * The rows of a block, a line end behind each. With the rule `all` each block finds its columns anew, so that rows do not depend
   * on which thread laid out what before; rows are then as wide as the columns that were known at them.
   */
  layOut(block: Block, fail: FailRecord): Block {
    if (this.#rule === 'all') {
      this.#columns = [];
      this.#index.clear();
      this.#habits = [];
      this.#surprises = 0;
    }
    const b = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    const { lineEnd } = this.#f;
    const out = new ByteWriter(b.length + 256);
    let narrowest = Number.POSITIVE_INFINITY;
    let kernel = this.#kernelFor(block);
    let left = 0;
    for (let i = 0; i < block.count; i++) {
      if (kernel !== undefined) {
        const to = this.#byKernel(kernel, i, block, out);
        if (to > i) narrowest = Math.min(narrowest, this.#columns.length);
        i = to;
        if (i >= block.count) break;
        if (++left > MOST_LEFT && left > i >> 1) kernel = undefined;
      }
      const at = out.length;
      const before = this.#columns.length;
      const error = this.#row(b, block.spans[2 * i] as number, block.spans[2 * i + 1] as number, out);
      if (error !== undefined) {
        out.length = at;
        this.#forget(before);
        fail(i, error);
        continue;
      }
      if (this.#rule === 'first') this.#rule = 'given';
      narrowest = Math.min(narrowest, this.#columns.length);
      this.#spans.add(at, out.length, block.offsets[i] as number);
      out.copy(lineEnd, 0, lineEnd.length);
    }
    const rows = this.#spans.take();
    const run: RowRun = { count: rows.count, columns: this.#columns };
    if (narrowest < this.#columns.length) run.ragged = true;
    return { ...block, bytes: out.bytes.subarray(0, out.length), ...rows, runs: [run] };
  }

  #kernelFor(block: Block): RowKernel | undefined {
    const kernel = this.#kernel;
    if (kernel === undefined || this.#rule === 'first') return undefined;
    try {
      return kernel.start(block) ? kernel : undefined;
    } catch (error) {
      if (!(error instanceof NoKernel)) throw error;
      this.#kernel = undefined;
      return undefined;
    }
  }

  /** Rows of the records from `from` on; returns the one that it stops before. */
  #byKernel(kernel: RowKernel, from: number, { offsets }: Block, out: ByteWriter): number {
    const columns = this.#columns;
    if (!kernel.has(columns) && !kernel.set([...columns], this.#rule === 'all')) return from;
    for (let at = from; ; ) {
      const { to, bytes, spans, isFull } = kernel.next(at);
      const shift = out.length;
      out.copy(bytes, 0, bytes.length);
      for (let i = 0; i < to - at; i++)
        this.#spans.add(
          (spans[2 * i] as number) + shift,
          (spans[2 * i + 1] as number) + shift,
          offsets[at + i] as number,
        );
      at = to;
      if (!isFull) return at;
    }
  }

  #row(b: Buffer, start: number, end: number, out: ByteWriter): RecordError | undefined {
    if (b[start] !== 0x7b) return new RecordError('it is not an object, and a row of CSV needs one');
    const found = this.#find(b, start, end);
    if (found !== undefined) return found;
    const n = this.#columns.length;
    out.room(2 * (end - start) + 4 * n + 16);
    const { bytes } = out;
    const starts = this.#starts;
    const ends = this.#ends;
    const { delimiter } = this.#f.dialect;
    let o = out.length;
    if (n === 0) o = this.#cells.empty(bytes, o, true);
    for (let k = 0; k < n; k++) {
      if (k > 0) bytes[o++] = delimiter;
      const first = starts[k] as number;
      if (first < 0 || b[first] === 0x6e) o = this.#cells.empty(bytes, o, n === 1);
      else {
        o = this.#cells.value(b, first, ends[k] as number, bytes, o, n === 1);
        if (o < 0) return unquotable(this.#columns[k] as string);
      }
    }
    out.length = o;
    return undefined;
  }

  /** Finds the values of the columns in the compact object `b[start, end)`; of a key that stands twice, the last one. */
  #find(b: Buffer, start: number, end: number): RecordError | undefined {
    this.#starts.fill(-1, 0, this.#columns.length);
    let p = start + 1;
    for (let place = 0; p < end - 1; place++) {
      const habit = this.#habits[place];
      let column: number;
      if (habit !== undefined && startsWith(b, p, end, habit.key)) {
        p += habit.key.length;
        column = habit.column;
      } else {
        const keyEnd = skipString(b, p + 1, end);
        const name = decodeString(b, p, keyEnd);
        const index = this.#index.get(name) ?? this.#new(name);
        if (typeof index !== 'number') return index;
        column = index;
        if (this.#surprises < MAX_SURPRISES && place <= this.#habits.length) {
          this.#surprises++;
          this.#habits[place] = { key: Buffer.from(b.subarray(p, keyEnd + 1)), column };
        }
        p = keyEnd + 1;
      }
      const first = p;
      const c = b[p] as number;
      if (c === QUOTE) p = skipString(b, p + 1, end);
      else if (c === 0x7b || c === 0x5b) p = skipValue(b, p, end, 0);
      else while (b[p] !== 0x2c && p < end - 1) p++;
      if (column >= 0) {
        this.#starts[column] = first;
        this.#ends[column] = p;
      }
      p++;
    }
    return undefined;
  }

  #new(name: string): number | RecordError {
    if (this.#rule === 'given') return -1;
    if (this.#columns.length >= MAX_COLUMNS) return tooWide();
    if (!this.#cells.takes(name)) return unquotable(name);
    return this.#add(name);
  }

  #add(name: string): number {
    const index = this.#columns.length;
    this.#columns.push(name);
    this.#index.set(name, index);
    if (index >= this.#starts.length) {
      const ends = new Int32Array(2 * index);
      ends.set(this.#ends);
      this.#ends = ends;
      const starts = new Int32Array(2 * index).fill(-1);
      starts.set(this.#starts);
      this.#starts = starts;
    }
    this.#starts[index] = -1;
    return index;
  }

  /** A record that is refused brings no columns. */
  #forget(before: number): void {
    if (this.#columns.length === before) return;
    for (const name of this.#columns.splice(before)) this.#index.delete(name);
    this.#habits = [];
  }
}

export function tooWide(): RecordError {
  return new RecordError(
    `the output would have more than ${MAX_COLUMNS} columns: name those to write in "columns"`,
    undefined,
    'TOO_LARGE',
  );
}

function rowKernel(format: CsvFormat): RowKernel | undefined {
  if (!RowKernel.takes(format)) return undefined;
  try {
    return new RowKernel(format);
  } catch (error) {
    if (!(error instanceof NoKernel)) throw error;
    return undefined;
  }
}

function unquotable(column: string): RecordError {
  return new RecordError(`"${column}" needs quotes, and "quote_style" is none`, undefined, 'REFUSED');
}

function startsWith(b: Buffer, p: number, end: number, key: Buffer): boolean {
  const length = key.length;
  if (p + length > end) return false;
  for (let i = 0; i < length; i++) if (b[p + i] !== key[i]) return false;
  return true;
}
