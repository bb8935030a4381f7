/**
 * Rows of CSV become JSON objects, from bytes to bytes: the text of a key is made once for all rows, a cell that needs no escape
 * is copied as it is. Nothing is kept between two rows.
 */
import { isUtf8 } from 'node:buffer';
import type { Block, FailRecord } from '../engine/contracts.ts';
import { RecordError } from '../engine/contracts.ts';
import { CellReader, countCells } from './csv-cells.ts';
import type { CsvDialect } from './csv-dialect.ts';
import { skipValue } from './grammar.ts';
import { SpanList } from './spans.ts';
import { firstBadUtf8 } from './utf8.ts';
import { ByteWriter } from './writer.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Gives the JSON text of a cell as a type; throws RecordError where it is no such thing. */
type Cast = (text: string, column: string) => string;

/** What becomes of the cells of a column. `text`: strings. `infer`: each by its looks. */
export type CellType = 'text' | 'infer' | { numbers: 'all' | 'whole' | 'none'; cast: Cast };

export interface CsvJsonOptions {
  dialect: CsvDialect;
  typeOf(column: string): CellType;
  /** Empty cells of text are null. */
  emptyIsNull: boolean;
}

/** What is the same for every row with these columns. */
interface Layout {
  columns: readonly string[];
  types: readonly CellType[];
  /** TEXT where cells are text as they stand, NUMBER or WHOLE where they must be numbers, else OTHER. */
  kinds: Uint8Array;
  /** JSON text before the value of each column, with the quote that opens text: words of eight bytes, padded. */
  words: DataView;
  /** Where those of a column begin in `words`; one more entry than columns. */
  from: Uint32Array;
  /** Their lengths in bytes. */
  sizes: Uint32Array;
  /** Bytes of all of them, and of what stands around empty cells. */
  size: number;
}

/*
 * Text is copied in words of eight bytes read and written as doubles: the fastest that there is, and exact, since no eight bytes
 * of UTF-8 are one of the many forms of NaN (they would end in 0xff, or in 0x7f behind a byte that begins a character of four).
 */

/** So many bytes of a key, and of a cell, are copied without a look at their length: most have no more, and branches are dear. */
const KEY_BYTES = 24;
const CELL_BYTES = 16;

const OTHER = 0;
const TEXT = 1;
const WHOLE = 2;
const NUMBER = 3;

/** What a byte means in a cell: it is copied, ends the cell, or needs a closer look. */
const COPY = 0;
const DELIMITER = 1;
const LOOK = 2;

/** The second byte of a short escape, by the byte that is escaped. */
const SHORT = new Uint8Array(256);
for (const [c, e] of Object.entries({ '\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r', '"': '"', '\\': '\\' }))
  SHORT[c.charCodeAt(0)] = e.charCodeAt(0);

/** 1 for a byte that JSON writes as an escape. */
const ESCAPED = new Uint8Array(256);
for (let c = 0; c < 0x20; c++) ESCAPED[c] = 1;
ESCAPED[QUOTE] = 1;
ESCAPED[BACKSLASH] = 1;

const HEX = Buffer.from('0123456789abcdef');
/** An escape is so many times as long as its byte, at most. */
const LONGEST_ESCAPE = 6;
/** A block may need so much more than those before it; one of fewer rows tells nothing of others. */
const SPARE = 1.03;
const TELLING = 100;
/** For shorter rows room is made for the worst case, without a look at them. */
const SHORT_ROW = 64 << 10;

export class CsvJson {
  readonly #o: CsvJsonOptions;
  readonly #unquoted = new Uint8Array(256);
  readonly #inQuotes = new Uint8Array(256);
  readonly #reader: CellReader;
  readonly #spans = new SpanList();
  #layout: Layout | undefined;
  #behind = 0;
  #out = new ByteWriter(0);
  /** The largest part of what was estimated that a block has needed. */
  #share: number | undefined;
  #view = new DataView(this.#out.bytes.buffer);
  #source = this.#view;

  constructor(options: CsvJsonOptions) {
    this.#o = options;
    this.#reader = new CellReader(options.dialect);
    const { delimiter, quote, escape: escaping } = options.dialect;
    for (let c = 0; c < 256; c++) this.#unquoted[c] = this.#inQuotes[c] = ESCAPED[c] === 1 ? LOOK : COPY;
    this.#unquoted[delimiter] = DELIMITER;
    for (const c of [quote, escaping]) if (c >= 0) this.#inQuotes[c] = LOOK;
  }

  process(block: Block, fail: FailRecord): Block {
    const b = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    const layout = this.#layoutFor(block.columns ?? []);
    const allUtf8 = isUtf8(b);
    this.#source = new DataView(b.buffer, b.byteOffset, b.byteLength);
    const { spans, offsets, count } = block;
    // Rows and keys, and some room to spare: growing means copying. Blocks before it tell how much of that is needed.
    const estimate = b.length + (b.length >> 3) + layout.size * (count + 1) + 1024;
    const oneMore = (LONGEST_ESCAPE * b.length) / Math.max(1, count) + layout.size;
    const needed = this.#share === undefined ? estimate : Math.ceil(estimate * this.#share * SPARE + oneMore);
    const out = new ByteWriter(needed);
    this.#out = out;
    this.#view = new DataView(out.bytes.buffer, out.bytes.byteOffset, out.bytes.byteLength);
    for (let i = 0; i < count; i++) {
      const start = spans[2 * i] as number;
      const end = spans[2 * i + 1] as number;
      const at = out.length;
      const bad = allUtf8 ? -1 : firstBadUtf8(b, start, end);
      // A row at the very end is read beyond: from a copy that has more behind it.
      const isLast = end + CELL_BYTES > b.length;
      const error =
        bad >= 0
          ? new RecordError('invalid UTF-8', bad - start, 'ENCODING')
          : isLast
            ? this.#lastRow(b, start, end, layout)
            : this.#row(b, start, end, layout);
      if (error !== undefined) {
        out.length = at;
        fail(i, error);
        continue;
      }
      this.#spans.add(at, out.length, offsets[i] as number);
      out.byte(0x0a);
    }
    if (count >= TELLING) this.#share = Math.max(this.#share ?? 0, out.length / estimate);
    const { columns: _, ...rest } = block;
    return { ...rest, bytes: out.bytes.subarray(0, out.length), ...this.#spans.take() };
  }

  #layoutFor(columns: readonly string[]): Layout {
    const known = this.#layout;
    if (known !== undefined && sameNames(known.columns, columns)) return known;
    const types = columns.map((column) => this.#o.typeOf(column));
    const kinds = Uint8Array.from(types, (type) => this.#kindOf(type));
    const from = new Uint32Array(columns.length + 1);
    const sizes = new Uint32Array(columns.length);
    const parts = columns.map((column, i) => {
      const text = Buffer.from(`${i === 0 ? '{' : ','}${JSON.stringify(column)}:${kinds[i] === TEXT ? '"' : ''}`);
      sizes[i] = text.length;
      from[i + 1] = (from[i] as number) + Math.max(KEY_BYTES, 8 * Math.ceil(text.length / 8));
      return text;
    });
    const bytes = Buffer.alloc(from[columns.length] as number);
    for (const [i, part] of parts.entries()) part.copy(bytes, from[i]);
    const size = parts.reduce((sum, part) => sum + part.length + 8, 2 * KEY_BYTES + 16);
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#layout = { columns, types, kinds, words, from, sizes, size };
    return this.#layout;
  }

  #kindOf(type: CellType): number {
    const { delimiter, quote, trim } = this.#o.dialect;
    if (type === 'text') return this.#o.emptyIsNull ? OTHER : TEXT;
    // What could stand in a number is read with a closer look.
    if (type === 'infer' || type.numbers === 'none' || trim || inNumber(delimiter) || inNumber(quote)) return OTHER;
    return type.numbers === 'whole' ? WHOLE : NUMBER;
  }

  /** Room for `size` bytes more, behind what is written. */
  #room(size: number): void {
    this.#out.room(size);
    const { bytes } = this.#out;
    if (bytes.buffer !== this.#view.buffer) this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #roomForRow(b: Buffer, start: number, end: number, layout: Layout): void {
    const size = end - start;
    this.#room(layout.size + (size <= SHORT_ROW ? LONGEST_ESCAPE * size : escapedSize(b, start, end)));
  }

  #lastRow(b: Buffer, start: number, end: number, layout: Layout): RecordError | undefined {
    const copy = Buffer.alloc(end - start + CELL_BYTES, 0x0a);
    b.copy(copy, 0, start, end);
    this.#source = new DataView(copy.buffer, copy.byteOffset, copy.byteLength);
    const error = this.#row(copy, 0, end - start, layout);
    this.#source = new DataView(b.buffer, b.byteOffset, b.byteLength);
    return error;
  }

  /** Writes the row `b[start, end)` as an object; or tells why it can't be. */
  #row(b: Buffer, start: number, end: number, layout: Layout): RecordError | undefined {
    this.#roomForRow(b, start, end, layout);
    return this.#cells(b, start, end, layout);
  }

  /**
   * Text is copied in words of eight bytes, which may reach behind its end on both sides: there is room behind what is written, and
   * the row does not end within the last bytes of `b`.
   */
  #cells(b: Buffer, start: number, end: number, layout: Layout): RecordError | undefined {
    const { words, from, sizes, kinds } = layout;
    const n = sizes.length;
    const { quote, escape: escaping, delimiter, trim } = this.#o.dialect;
    const unquoted = this.#unquoted;
    const inQuotes = this.#inQuotes;
    const source = this.#source;
    let out = this.#out.bytes;
    let view = this.#view;
    let o = this.#out.length;
    let p = start;
    let k = 0;
    for (; k < n; k++) {
      const w = from[k] as number;
      view.setFloat64(o, words.getFloat64(w, true), true);
      view.setFloat64(o + 8, words.getFloat64(w + 8, true), true);
      view.setFloat64(o + 16, words.getFloat64(w + 16, true), true);
      const size = sizes[k] as number;
      for (let i = KEY_BYTES; i < size; i += 8) view.setFloat64(o + i, words.getFloat64(w + i, true), true);
      o += size;
      const kind = kinds[k] as number;
      if (kind >= WHOLE) {
        const after = numberEnd(b, p, end, kind);
        const size = after - p;
        if (size > 0 && size <= CELL_BYTES && (after >= end || b[after] === delimiter)) {
          view.setFloat64(o, source.getFloat64(p, true), true);
          view.setFloat64(o + 8, source.getFloat64(p + 8, true), true);
          o += size;
          p = after;
          if (p >= end) break;
          p++;
          continue;
        }
      }
      if (trim || kind !== TEXT) {
        this.#out.length = o;
        const error = this.#typed(b, p, start, end, layout, k);
        if (error !== undefined) return error;
        out = this.#out.bytes;
        view = this.#view;
        o = this.#out.length;
        p = this.#behind;
        if (p >= end) break;
        p++;
        continue;
      }
      if (p < end && b[p] === quote) {
        const open = p++;
        for (;;) {
          const first = p;
          while (inQuotes[b[p] as number] === COPY) p++;
          if (p >= end) return new RecordError('a quote is not closed', open - start, 'GRAMMAR');
          view.setFloat64(o, source.getFloat64(first, true), true);
          view.setFloat64(o + 8, source.getFloat64(first + 8, true), true);
          const size = p - first;
          for (let i = CELL_BYTES; i < size; i += 8) view.setFloat64(o + i, source.getFloat64(first + i, true), true);
          o += size;
          let c = b[p++] as number;
          if (c === escaping) {
            if (p >= end) return new RecordError('a quote is not closed', open - start, 'GRAMMAR');
            c = b[p++] as number;
          } else if (c === quote) {
            if (p >= end || b[p] !== quote) break;
            p++;
          }
          if (ESCAPED[c] === 0) out[o++] = c;
          else o = writeEscape(out, o, c);
        }
        if (p < end && b[p] !== delimiter)
          return new RecordError('text stands behind a closing quote', p - start, 'GRAMMAR');
      } else
        for (;;) {
          const first = p;
          while (unquoted[b[p] as number] === COPY) p++;
          view.setFloat64(o, source.getFloat64(first, true), true);
          view.setFloat64(o + 8, source.getFloat64(first + 8, true), true);
          const size = p - first;
          for (let i = CELL_BYTES; i < size; i += 8) view.setFloat64(o + i, source.getFloat64(first + i, true), true);
          o += size;
          if (p >= end || b[p] === delimiter) break;
          o = writeEscape(out, o, b[p++] as number);
        }
      out[o++] = QUOTE;
      if (p >= end) break;
      p++;
    }
    if (k !== n - 1) return this.#ragged(b, start, end, n);
    out[o++] = 0x7d;
    this.#out.length = o;
    return undefined;
  }

  /** Writes the cell at `p`, of column `k`, as its type; `#behind` is then the offset behind it. */
  #typed(b: Buffer, p: number, start: number, end: number, layout: Layout, k: number): RecordError | undefined {
    const reader = this.#reader;
    const type = layout.types[k] as CellType;
    const after = reader.read(b, p, end);
    if (after < 0) return new RecordError(reader.reason, reader.at - start, 'GRAMMAR');
    this.#behind = after;
    const { source, start: first, end: last, quoted } = reader;
    const out = this.#out;
    if (layout.kinds[k] === TEXT) this.#string(source, first, last, 1);
    else if (first === last && (this.#o.emptyIsNull || type !== 'infer' || !quoted)) out.text('null');
    else if (type === 'text' || (type === 'infer' && quoted)) this.#string(source, first, last, 0);
    else if (type === 'infer') {
      if (isNumber(source, first, last, false) || isLiteral(source, first, last)) out.copy(source, first, last);
      else this.#string(source, first, last, 0);
    } else if (type.numbers !== 'none' && isNumber(source, first, last, type.numbers === 'whole'))
      out.copy(source, first, last);
    else {
      try {
        out.text(type.cast(source.toString('utf8', first, last), layout.columns[k] as string));
      } catch (error) {
        if (error instanceof RecordError) return error;
        throw error;
      }
      // How long that would be was not foreseen.
      this.#roomForRow(b, after, end, layout);
    }
    return undefined;
  }

  /** There is room for it; `opened`: its first quote stands there already. */
  #string(source: Buffer, start: number, end: number, opened: 0 | 1): void {
    const out = this.#out.bytes;
    let o = this.#out.length;
    if (opened === 0) out[o++] = QUOTE;
    for (let i = start; i < end; i++) {
      const c = source[i] as number;
      if (ESCAPED[c] === 0) out[o++] = c;
      else o = writeEscape(out, o, c);
    }
    out[o++] = QUOTE;
    this.#out.length = o;
  }

  #ragged(b: Buffer, start: number, end: number, columns: number): RecordError {
    const cells = countCells(this.#reader, b, start, end);
    if (cells === 0) return new RecordError(this.#reader.reason, this.#reader.at - start, 'GRAMMAR');
    return new RecordError(
      `the row has ${cells} ${cells === 1 ? 'cell' : 'cells'} and there ${columns === 1 ? 'is 1 column' : `are ${columns} columns`}`,
      undefined,
      'GRAMMAR',
    );
  }
}

export function sameNames(a: readonly string[], b: readonly string[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

/** A digit, the point or the sign. */
function inNumber(c: number): boolean {
  return isDigit(c) || c === 0x2e || c === 0x2d;
}

/** Where a number without an exponent that begins at `p` ends; `p` where none begins. */
function numberEnd(b: Buffer, p: number, end: number, kind: number): number {
  let q = p;
  if (q < end && b[q] === 0x2d) q++;
  const first = q;
  while (q < end && isDigit(b[q] as number)) q++;
  if (q === first || (b[first] === 0x30 && q > first + 1)) return p;
  if (kind === WHOLE || q >= end || b[q] !== 0x2e) return q;
  const point = q++;
  while (q < end && isDigit(b[q] as number)) q++;
  return q > point + 1 ? q : p;
}

function writeEscape(out: Buffer, o: number, c: number): number {
  out[o++] = BACKSLASH;
  const short = SHORT[c] as number;
  if (short !== 0) {
    out[o++] = short;
    return o;
  }
  out[o++] = 0x75;
  out[o++] = 0x30;
  out[o++] = 0x30;
  out[o++] = HEX[c >> 4] as number;
  out[o++] = HEX[c & 15] as number;
  return o;
}

function escapedSize(b: Buffer, start: number, end: number): number {
  let size = end - start;
  for (let i = start; i < end; i++) if (ESCAPED[b[i] as number] === 1) size += LONGEST_ESCAPE - 1;
  return size;
}

/** A number of JSON that a double can hold; `isWhole`: without a point or an exponent. */
function isNumber(b: Buffer, start: number, end: number, isWhole: boolean): boolean {
  let p = start;
  let c = p < end ? (b[p] as number) : 0;
  if (c === 0x2d) c = ++p < end ? (b[p] as number) : 0;
  if (c < 0x30 || c > 0x39) return false;
  if (c === 0x30) p++;
  else while (p < end && (b[p] as number) >= 0x30 && (b[p] as number) <= 0x39) p++;
  // Without an exponent a double holds whatever has fewer digits than its largest number.
  if (p === end && end - start < 300) return true;
  if (isWhole) return false;
  if (b[p] === 0x2e && end - start < 300) {
    const point = p++;
    while (p < end && (b[p] as number) >= 0x30 && (b[p] as number) <= 0x39) p++;
    if (p === end) return p > point + 1;
  }
  return skipValue(b, start, end, 0) === end && Number.isFinite(Number(b.toString('latin1', start, end)));
}

function isLiteral(b: Buffer, start: number, end: number): boolean {
  const c = b[start];
  return start < end && (c === 0x74 || c === 0x66) && skipValue(b, start, end, 0) === end;
}
