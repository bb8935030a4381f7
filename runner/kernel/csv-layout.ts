/**
 * JSON objects become rows of CSV, from bytes to bytes: each record's members are found by their keys and written in the order of
 * the columns. Strings are text, null and what is missing are empty, anything else is its own JSON text.
 */
import type { Block, FailRecord, RowRun } from '../engine/contracts.ts';
import { RecordError } from '../engine/contracts.ts';
import type { CsvDialect } from './csv-dialect.ts';
import { decodeString } from './decode.ts';
import { skipString, skipValue } from './grammar.ts';
import { SpanList } from './spans.ts';
import { ByteWriter } from './writer.ts';

/** Columns of one output, at most: more of them are keys that are data. */
export const MAX_COLUMNS = 1 << 17;

export const QUOTE_STYLES = ['minimal', 'all', 'non_numeric', 'none'] as const;

export interface CsvFormat {
  dialect: CsvDialect;
  style: (typeof QUOTE_STYLES)[number];
  lineEnd: Buffer;
  /** Text that a spreadsheet would take for a formula gets an apostrophe in front. */
  escapeFormulas: boolean;
}

/** Which columns there are: those that are given, those of the first record, or all that come up. */
export type ColumnRule = 'given' | 'first' | 'all';

const QUOTE = 0x22;
/** What a byte means in a cell: it is copied, makes quotes needed, or is one of JSON's escapes. */
const COPY = 0;
const QUOTED = 1;
const ESCAPE = 2;
/** Records that differ much have no habits: after so many surprises nothing more is learnt of them. */
const MAX_SURPRISES = 1000;

/** Writes cells; whoever calls makes room for twice the bytes of the cell and four more. */
export class CellWriter {
  readonly #f: CsvFormat;
  readonly #meaning = new Uint8Array(256);

  constructor(format: CsvFormat) {
    this.#f = format;
    const { delimiter, quote, escape: escaping } = format.dialect;
    this.#meaning[0x5c] = ESCAPE;
    for (const c of [0x0a, 0x0d, delimiter, quote, escaping]) if (c >= 0) this.#meaning[c] = QUOTED;
  }

  /** A cell with nothing in it; `alone`: without quotes its row would be an empty line, which is no row. */
  empty(out: Buffer, o: number, alone: boolean): number {
    const { style, dialect } = this.#f;
    if (style === 'none' || (style === 'minimal' && !alone)) return o;
    out[o++] = dialect.quote;
    out[o++] = dialect.quote;
    return o;
  }

  /** The JSON value `b[start, end)`, which is not null; returns the offset behind what was written, or -1 where quotes are needed and not allowed. */
  value(b: Buffer, start: number, end: number, out: Buffer, o: number, alone: boolean): number {
    const { style, escapeFormulas } = this.#f;
    const c = b[start] as number;
    if (c !== QUOTE) {
      const isNumber = c === 0x2d || (c >= 0x30 && c <= 0x39);
      return this.#raw(b, start, end, out, o, style === 'all' || (style === 'non_numeric' && !isNumber));
    }
    if (end === start + 2)
      return style === 'non_numeric' ? this.#raw(b, 0, 0, out, o, true) : this.empty(out, o, alone);
    if (!escapeFormulas && (style === 'minimal' || style === 'none')) {
      // Most text is plain: it is copied while it is looked at.
      const meaning = this.#meaning;
      let q = o;
      let p = start + 1;
      for (; p < end - 1; p++) {
        const t = b[p] as number;
        if (meaning[t] !== COPY) break;
        out[q++] = t;
      }
      if (p === end - 1) return q;
    }
    const text = textOf(b, start, end, escapeFormulas);
    return this.#raw(text, 0, text.length, out, o, style === 'all' || style === 'non_numeric');
  }

  /** A name in the header. */
  name(name: string, out: ByteWriter): void {
    const text = Buffer.from(name);
    out.room(2 * text.length + 4);
    const { style } = this.#f;
    if (text.length === 0) out.length = this.empty(out.bytes, out.length, true);
    else
      out.length = this.#raw(text, 0, text.length, out.bytes, out.length, style === 'all' || style === 'non_numeric');
  }

  /** It can stand in a row. */
  takes(name: string): boolean {
    if (this.#f.style !== 'none') return true;
    return Buffer.from(name).every((c) => this.#meaning[c] !== QUOTED);
  }

  #raw(b: Buffer, start: number, end: number, out: Buffer, o: number, mustQuote: boolean): number {
    const meaning = this.#meaning;
    const { quote, escape: escaping } = this.#f.dialect;
    if (!mustQuote) {
      let p = start;
      let q = o;
      for (; p < end && meaning[b[p] as number] !== QUOTED; p++) out[q++] = b[p] as number;
      if (p === end) return q;
      if (this.#f.style === 'none') return -1;
    }
    out[o++] = quote;
    for (let p = start; p < end; p++) {
      const c = b[p] as number;
      if (c === quote || c === escaping) out[o++] = escaping < 0 ? quote : escaping;
      out[o++] = c;
    }
    out[o++] = quote;
    return o;
  }
}

function textOf(b: Buffer, start: number, end: number, escapeFormulas: boolean): Buffer {
  const text = decodeString(b, start, end);
  return Buffer.from(escapeFormulas && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
}

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

  constructor(format: CsvFormat, rule: ColumnRule, columns: readonly string[] = []) {
    this.#f = format;
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
    for (let i = 0; i < block.count; i++) {
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

function unquotable(column: string): RecordError {
  return new RecordError(`"${column}" needs quotes, and "quote_style" is none`, undefined, 'REFUSED');
}

function startsWith(b: Buffer, p: number, end: number, key: Buffer): boolean {
  const length = key.length;
  if (p + length > end) return false;
  for (let i = 0; i < length; i++) if (b[p + i] !== key[i]) return false;
  return true;
}
