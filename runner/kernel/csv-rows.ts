/**
 * Cuts CSV into rows in two halves. The chunker runs where the source does: it learns the header and finds where the last whole
 * row ends. The cutter finds each row of such a piece, on any thread. Empty rows, and lines of comment, are nothing.
 * Both hold a row of the allowed length and one read at most.
 */
import type { Chunker, Cutter, FramedRecords, Piece } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';
import type { Json } from '../state/store.ts';
import { ChunkedFramer } from './chunked-framer.ts';
import { cellsOf, nameColumns, numberColumns } from './csv-cells.ts';
import { type CsvDialect, isBlank, ROW_START, RowScanner } from './csv-dialect.ts';
import { SpanList } from './spans.ts';

const LF = 0x0a;
const CR = 0x0d;
const NOTHING = Buffer.alloc(0);

export interface CsvRowOptions {
  dialect: CsvDialect;
  /** The first row of each file names the columns. */
  headers: boolean;
  /** Names of the columns, where no header does. */
  columns: readonly string[] | undefined;
  /** Lines before the header that are left out. */
  skipRows: number;
  maxRecordBytes: number;
  /** Looks at the columns of each file; throws OxiError where they will not do. */
  check?(columns: readonly string[], file: string): void;
}

function tooLong(maxRecordBytes: number): string {
  return `a row is longer than ${maxRecordBytes} bytes: a quote may not be closed`;
}

export class CsvChunker implements Chunker {
  readonly seesAll = true;
  readonly #o: CsvRowOptions;
  readonly #name: string;
  readonly #scanner: RowScanner;
  /** Offset in the split of the first byte that was not given out. */
  #offset: number;
  #columns: readonly string[] | undefined;
  #linesToSkip: number;
  /** The last line to skip ended with a CR: a line feed behind it belongs to it. */
  #afterCr = false;
  /** The row at hand as far as it has come; empty while an over-long one is skipped. */
  #waiting: Buffer[] = [];
  #size = 0;
  #skipping = false;
  /** Offset in the split of the last quote that opened. */
  #quoteAt = 0;
  #broken: { offset: number; reason: string }[] = [];

  constructor(options: CsvRowOptions, at: { offset: number; state: Json; name: string }) {
    this.#o = options;
    this.#name = at.name;
    this.#offset = at.offset;
    this.#scanner = new RowScanner(options.dialect);
    const state = (at.state ?? {}) as { columns?: string[]; lines_to_skip?: number; after_cr?: boolean };
    this.#linesToSkip = state.lines_to_skip ?? options.skipRows;
    this.#afterCr = state.after_cr === true;
    if (state.columns !== undefined) {
      this.#linesToSkip = 0;
      this.#columns = state.columns;
    } else if (!options.headers) this.#useColumns(options.columns);
  }

  get pending(): number {
    return this.#size;
  }

  snapshot(): Json {
    if (this.#linesToSkip > 0 || this.#afterCr) {
      if (this.#linesToSkip === this.#o.skipRows) return null;
      return { lines_to_skip: this.#linesToSkip, after_cr: this.#afterCr };
    }
    if (this.#columns !== undefined) return { columns: this.#columns as string[] };
    return this.#o.skipRows > 0 ? { lines_to_skip: 0, after_cr: false } : null;
  }

  /** The columns of a file that begins with these bytes; undefined where its header goes on behind them. */
  columnsOf(first: Uint8Array, isAll: boolean): readonly string[] | undefined {
    this.push(Uint8Array.from(first));
    if (this.#columns === undefined && isAll) this.end();
    return this.#columns;
  }

  push(bytes: Uint8Array, headroom = 0): Piece | undefined {
    let chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let room = headroom;
    if (this.#linesToSkip > 0 || this.#afterCr) {
      const skipped = this.#skipLines(chunk);
      this.#offset += skipped;
      chunk = chunk.subarray(skipped);
      room += skipped;
      if (chunk.length === 0) return undefined;
    }
    if (this.#columns === undefined) {
      const rest = this.#begin(chunk);
      if (rest === undefined) return undefined;
      room += chunk.length - rest.length;
      chunk = rest;
    }
    if (this.#skipping) {
      const end = this.#scanner.first(chunk, 0);
      if (end < 0) {
        this.#noteQuote();
        this.#size += chunk.length;
        return undefined;
      }
      this.#giveUp(end);
      chunk = chunk.subarray(end);
      room += end;
    }
    const last = this.#scanner.last(chunk);
    this.#noteQuote();
    if (last < 0) {
      this.#keep(chunk);
      return this.#piece(NOTHING);
    }
    const whole = this.#size + last;
    const block = this.#size === 0 ? chunk : this.#joined(chunk, room);
    const piece = this.#piece(block.subarray(0, whole));
    this.#offset += whole;
    this.#waiting = [];
    this.#size = 0;
    this.#keep(Buffer.from(block.subarray(whole)));
    return piece;
  }

  end(): Piece | undefined {
    if (this.#scanner.isQuoted) throw this.#unclosed();
    if (this.#skipping) {
      this.#giveUp(0);
      return this.#piece(NOTHING);
    }
    let block = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#size = 0;
    if (this.#columns === undefined && block.length > 0) {
      const isFound = this.#learn(block);
      if (!isFound || this.#o.headers) {
        this.#offset += block.length;
        block = NOTHING;
      }
    }
    const piece = this.#piece(block);
    this.#offset += block.length;
    return piece;
  }

  #piece(bytes: Buffer): Piece | undefined {
    if (bytes.length === 0 && this.#broken.length === 0) return undefined;
    const piece: Piece = { bytes, offset: this.#offset, columns: this.#columns ?? [] };
    if (this.#broken.length > 0) {
      piece.broken = this.#broken;
      this.#broken = [];
    }
    return piece;
  }

  /** The bytes that the scanner has seen stand behind those that wait. */
  #noteQuote(): void {
    if (this.#scanner.opened >= 0) this.#quoteAt = this.#offset + this.#size + this.#scanner.opened;
    this.#scanner.opened = -1;
  }

  /** Nobody knows where the rows behind such a quote begin: it is no matter of one record. */
  #unclosed(): OxiError {
    return new OxiError(
      'DOCUMENT_BROKEN',
      `${this.#name}: byte ${this.#quoteAt}: a quote opens here and is not closed to the end of the file: close it, or set "quote_char" of parse_csv (empty where quotes are text)`,
      { place: { file: this.#name, offset: this.#quoteAt } },
    );
  }

  /** The over-long row ends `more` bytes into the chunk at hand. */
  #giveUp(more: number): void {
    this.#broken.push({ offset: this.#offset, reason: tooLong(this.#o.maxRecordBytes) });
    this.#offset += this.#size + more;
    this.#size = 0;
    this.#skipping = false;
  }

  /** The beginning of a row whose end has not come. */
  #keep(part: Buffer): void {
    if (part.length === 0) return;
    this.#size += part.length;
    if (this.#size <= this.#o.maxRecordBytes) {
      this.#waiting.push(part);
      return;
    }
    this.#skipping = true;
    this.#waiting = [];
  }

  /** The beginning that waits, and the chunk behind it: in the room before the chunk, where it fits. */
  #joined(chunk: Buffer, headroom: number): Buffer {
    if (this.#size > headroom) return Buffer.concat([...this.#waiting, chunk]);
    const from = chunk.byteOffset - this.#size;
    const block = Buffer.from(chunk.buffer as ArrayBuffer, from, this.#size + chunk.length);
    let at = 0;
    for (const part of this.#waiting) at += part.copy(block, at);
    return block;
  }

  // ---------------------------------------------------------------- the beginning of a file

  /** How many bytes of the chunk belong to lines that are left out; quotes mean nothing in them. */
  #skipLines(chunk: Buffer): number {
    let p = 0;
    if (this.#afterCr && chunk.length > 0) {
      if (chunk[0] === LF) p++;
      this.#afterCr = false;
    }
    while (this.#linesToSkip > 0 && p < chunk.length) {
      while (p < chunk.length && chunk[p] !== LF && chunk[p] !== CR) p++;
      if (p === chunk.length) break;
      const isCr = chunk[p++] === CR;
      this.#linesToSkip--;
      if (isCr && p === chunk.length) this.#afterCr = true;
      else if (isCr && chunk[p] === LF) p++;
    }
    return p;
  }

  /** Looks for the row that tells the columns; returns what is left to cut into rows, or undefined where it is not whole yet. */
  #begin(chunk: Buffer): Buffer | undefined {
    let rest = chunk;
    while (rest.length > 0) {
      const before = this.#scanner.state;
      const end = this.#scanner.first(rest, 0);
      if (end < 0) {
        this.#noteQuote();
        this.#size += rest.length;
        this.#waiting.push(rest);
        if (this.#size > this.#o.maxRecordBytes) throw this.#refused(tooLong(this.#o.maxRecordBytes));
        return undefined;
      }
      const row = rest.subarray(0, end);
      const isFound = this.#learn(this.#size === 0 ? row : Buffer.concat([...this.#waiting, row]));
      if (isFound && !this.#o.headers) {
        // The row is the first of the records: it is cut with the others.
        this.#scanner.state = before;
        return rest;
      }
      this.#offset += this.#size + end;
      this.#waiting = [];
      this.#size = 0;
      rest = rest.subarray(end);
      if (isFound) return rest;
    }
    return undefined;
  }

  /** Takes a row for what tells the columns, unless it is empty. */
  #learn(row: Buffer): boolean {
    const { dialect, headers, maxRecordBytes } = this.#o;
    const stop = rowEnd(row, 0, row.length);
    if (stop > maxRecordBytes) throw this.#refused(tooLong(maxRecordBytes));
    if (isNothing(dialect, row, 0, stop)) return false;
    const cells = cellsOf(dialect, row, 0, stop);
    if (typeof cells === 'string') throw this.#refused(cells);
    this.#useColumns(headers ? nameColumns(cells) : numberColumns(cells.length));
    return true;
  }

  #useColumns(columns: readonly string[] | undefined): void {
    this.#columns = columns;
    if (columns !== undefined) this.#o.check?.(columns, this.#name);
  }

  #refused(reason: string): OxiError {
    return new OxiError('DOCUMENT_BROKEN', `${this.#name}: its first row tells no columns: ${reason}`, {
      place: { file: this.#name, offset: this.#offset },
    });
  }
}

export class CsvCutter implements Cutter {
  readonly longestRow: number;
  readonly #dialect: CsvDialect;
  readonly #scanner: RowScanner;
  readonly #spans = new SpanList();

  constructor({ dialect, maxRecordBytes }: CsvRowOptions) {
    this.#dialect = dialect;
    this.longestRow = maxRecordBytes;
    this.#scanner = new RowScanner(dialect);
  }

  cut(piece: Piece): FramedRecords {
    const { bytes, offset } = piece;
    const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const broken = [...(piece.broken ?? [])];
    const end = b.length;
    this.#scanner.state = ROW_START;
    let p = 0;
    while (p < end) {
      const next = this.#scanner.first(b, p);
      const after = next < 0 ? end : next;
      const stop = rowEnd(b, p, after);
      if (stop - p > this.longestRow) broken.push({ offset: offset + p, reason: tooLong(this.longestRow) });
      else if (!isNothing(this.#dialect, b, p, stop)) this.#spans.add(p, stop, offset + p);
      p = after;
    }
    const framed: FramedRecords = { bytes: b, ...this.#spans.take() };
    if (piece.columns !== undefined) framed.columns = piece.columns;
    if (broken.length > 0) framed.broken = broken;
    return framed;
  }
}

/** Where the row `b[p, end)` ends without its line end. */
function rowEnd(b: Buffer, p: number, end: number): number {
  let stop = end;
  if (stop > p && b[stop - 1] === LF) stop--;
  if (stop > p && b[stop - 1] === CR) stop--;
  return stop;
}

/** Nothing stands in `b[p, stop)`, or a comment. */
function isNothing(dialect: CsvDialect, b: Buffer, p: number, stop: number): boolean {
  if (dialect.comment >= 0 && p < stop && b[p] === dialect.comment) return true;
  let first = p;
  if (dialect.trim) while (first < stop && isBlank(dialect, b[first] as number)) first++;
  return first === stop;
}

/** Both halves on one thread. */
export class CsvFramer extends ChunkedFramer {
  constructor(options: CsvRowOptions, at: { offset: number; state: Json; name: string }) {
    super(new CsvChunker(options, at), new CsvCutter(options));
  }
}
