/**
 * Puts rows together as a text of CSV: header first, all rows as wide as the columns that are known. Columns that come up later
 * are added to the end, and what was written before them is written anew at the end (`rewrite`). Where the output can't be
 * rewritten, the first records are held until their columns are known, and the list is closed behind them.
 */
import type { Block, Encoder, FailRecord, Rewrite, RowRun } from '../engine/contracts.ts';
import { RecordError } from '../engine/contracts.ts';
import type { Json } from '../state/store.ts';
import { sliceBlock } from './blocks.ts';
import { CellWriter, type CsvFormat } from './csv-cell-writer.ts';
import { ROW_START, RowScanner } from './csv-dialect.ts';
import { sameNames } from './csv-json.ts';
import { type ColumnRule, MAX_COLUMNS, RowLayout, tooWide } from './csv-layout.ts';
import { CsvChunker } from './csv-rows.ts';
import { ByteWriter } from './writer.ts';

/** Records whose columns make the header where it can't be changed later. */
const HELD_RECORDS = 1000;
/** Bytes that are held for that, at most. */
const HELD_BYTES = 4 << 20;

export interface CsvEncodeOptions {
  format: CsvFormat;
  headers: boolean;
  rule: ColumnRule;
  /** With the rule `given`. */
  columns: readonly string[];
  rewritable: boolean;
}

interface Saved {
  columns: string[];
  written: number | null;
  records: number;
  held: { text: string; records: number }[];
}

export class CsvEncoder implements Encoder {
  readonly #o: CsvEncodeOptions;
  readonly #pad: RowPad;
  /** Lays out records that no stage has laid out: the rule `first` needs the first of all. */
  #layout: RowLayout | undefined;
  #columns: string[];
  readonly #index = new Map<string, number>();
  /** How many columns the header had when it was written; undefined as long as nothing was. */
  #written: number | undefined;
  #records = 0;
  #held: { text: Buffer; records: number }[] = [];

  constructor(options: CsvEncodeOptions) {
    this.#o = options;
    this.#pad = new RowPad(options.format);
    this.#columns = [];
    for (const name of options.columns) this.#add(name);
    if (options.rule === 'first') this.#layout = new RowLayout(options.format, 'first');
  }

  get columns(): readonly string[] {
    return this.#columns;
  }

  get held(): number {
    return this.#held.reduce((sum, { records }) => sum + records, 0);
  }

  encode(block: Block, fail: FailRecord): Uint8Array[] {
    const rows = this.#layout === undefined ? block : this.#layout.layOut(block, fail);
    if (rows.runs === undefined) throw new Error('records that nobody laid out came to be written as CSV');
    const pieces: Uint8Array[] = [];
    let at = 0;
    for (const run of rows.runs) {
      const from = at;
      at += run.count;
      if (run.count > 0)
        pieces.push(...this.#run(sliceBlock(rows, from, at), run, (i, error) => fail(from + i, error)));
    }
    return pieces;
  }

  #run(rows: Block, run: RowRun, fail: FailRecord): Uint8Array[] {
    if (this.#layout !== undefined && this.#written === undefined) for (const name of run.columns) this.#add(name);
    let records = rows.count;
    const refuse: FailRecord = (i, error) => {
      records--;
      fail(i, error);
    };
    const isReady = run.ragged !== true && sameNames(run.columns, this.#columns);
    const text = isReady ? contiguous(rows, this.#o.format.lineEnd) : this.#fit(rows, run.columns, refuse);
    this.#records += records;
    if (records === 0) return [];
    if (!this.#isHolding()) return [...this.#header(), text];
    this.#held.push({ text: Buffer.from(text), records });
    const bytes = this.#held.reduce((sum, one) => sum + one.text.length, 0);
    return this.#records >= HELD_RECORDS || bytes >= HELD_BYTES ? this.#release() : [];
  }

  end(): Uint8Array[] {
    const pieces = this.#release();
    return this.#columns.length > 0 ? [...this.#header(), ...pieces] : pieces;
  }

  rewrite(): Rewrite | undefined {
    const { format, headers, rewritable } = this.#o;
    const was = this.#written;
    const isGrown = was !== undefined && was < this.#columns.length;
    if (!isGrown || !rewritable) return undefined;
    this.#written = this.#columns.length;
    const header = headers ? this.#headerText() : Buffer.alloc(0);
    return (text) => rewritten(text, { format, header, hadHeader: headers && was > 0, width: this.#columns.length });
  }

  snapshot(): Json {
    const held = this.#held.map(({ text, records }) => ({ text: text.toString('utf8'), records }));
    return { columns: [...this.#columns], written: this.#written ?? null, records: this.#records, held };
  }

  restore(state: Json): void {
    const { columns, written, records, held } = state as unknown as Saved;
    this.#columns = [];
    this.#index.clear();
    for (const name of columns) this.#add(name);
    this.#written = written ?? undefined;
    this.#records = records;
    this.#held = held.map((one) => ({ text: Buffer.from(one.text), records: one.records }));
    if (this.#o.rule === 'first') this.#layout = new RowLayout(this.#o.format, 'first', columns);
  }

  #add(name: string): void {
    if (this.#index.has(name)) return;
    this.#index.set(name, this.#columns.length);
    this.#columns.push(name);
  }

  #isHolding(): boolean {
    return this.#o.rule === 'all' && !this.#o.rewritable && this.#written === undefined;
  }

  /** Once, before the first row. */
  #header(): Uint8Array[] {
    if (this.#written !== undefined) return [];
    this.#written = this.#columns.length;
    return this.#o.headers && this.#columns.length > 0 ? [this.#headerText()] : [];
  }

  #headerText(): Buffer {
    const cells = new CellWriter(this.#o.format);
    const out = new ByteWriter(1024);
    for (const [i, name] of this.#columns.entries()) {
      if (i > 0) out.byte(this.#o.format.dialect.delimiter);
      cells.name(name, out);
    }
    out.copy(this.#o.format.lineEnd, 0, this.#o.format.lineEnd.length);
    return out.bytes.subarray(0, out.length);
  }

  #release(): Uint8Array[] {
    if (this.#held.length === 0) return [];
    const rows = this.#held.map(({ text }) => this.#pad.widen(text, this.#columns.length));
    this.#held = [];
    return [...this.#header(), ...rows];
  }

  /** Rows of other columns than those that are known: learns the new ones, and writes each row in the order of all. */
  #fit(block: Block, names: readonly string[], fail: FailRecord): Buffer {
    const b = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    const { delimiter } = this.#o.format.dialect;
    const pad = this.#pad;
    // A row that is wider than those before it is the one that brought the columns.
    const widths = new Uint32Array(block.count);
    let seen = 0;
    for (let i = 0; i < block.count; i++) {
      const width = Math.min(
        pad.split(b, block.spans[2 * i] as number, block.spans[2 * i + 1] as number),
        names.length,
      );
      widths[i] = width;
      for (; seen < width; seen++) if (this.#isOpen(i)) this.#add(names[seen] as string);
    }
    const places = names.map((name) => this.#index.get(name) ?? -1);
    const isClosed = places.includes(-1);
    const cellOf = new Int32Array(this.#columns.length).fill(-1);
    for (const [j, place] of places.entries()) if (place >= 0) cellOf[place] = j;
    const out = new ByteWriter(b.length + block.count * this.#columns.length + 64);
    for (let i = 0; i < block.count; i++) {
      const width = widths[i] as number;
      pad.split(b, block.spans[2 * i] as number, block.spans[2 * i + 1] as number);
      const { bounds } = pad;
      const isLost = (place: number, j: number): boolean =>
        place < 0 && j < width && !pad.isEmpty(b, bounds[2 * j] as number, bounds[2 * j + 1] as number);
      const lost = isClosed ? places.findIndex(isLost) : -1;
      if (lost >= 0) {
        fail(i, this.#refused(names[lost] as string));
        continue;
      }
      for (const [k, j] of cellOf.entries()) {
        if (k > 0) out.byte(delimiter);
        const isThere = j >= 0 && j < width && !pad.isEmpty(b, bounds[2 * j] as number, bounds[2 * j + 1] as number);
        if (isThere) out.copy(b, bounds[2 * j] as number, bounds[2 * j + 1] as number);
        else pad.empty(out, cellOf.length === 1);
      }
      if (cellOf.length === 0) pad.empty(out, true);
      out.copy(this.#o.format.lineEnd, 0, this.#o.format.lineEnd.length);
    }
    return out.bytes.subarray(0, out.length);
  }

  /** Row `i` of the block at hand may bring columns. */
  #isOpen(i: number): boolean {
    if (this.#o.rule !== 'all' || this.#columns.length >= MAX_COLUMNS) return false;
    return this.#o.rewritable || (this.#written === undefined && this.#records + i < HELD_RECORDS);
  }

  #refused(column: string): RecordError {
    if (this.#columns.length >= MAX_COLUMNS) return tooWide();
    return new RecordError(
      `"${column}" is no column of the header, which stands since record ${HELD_RECORDS} and can't be changed in this output: name all columns in "columns"`,
      undefined,
      'REFUSED',
    );
  }
}

/** The rows of a block as one text; what lies between them belongs to nobody, so line ends are written there where they fit. */
function contiguous({ bytes, spans, count }: Block, lineEnd: Buffer): Uint8Array {
  const size = lineEnd.length;
  const end = (spans[2 * count - 1] as number) + size;
  let isWhole = end <= bytes.length;
  for (let i = 1; i < count && isWhole; i++) isWhole = spans[2 * i] === (spans[2 * i - 1] as number) + size;
  if (isWhole) {
    for (let i = 0; i < count; i++)
      for (let k = 0, at = spans[2 * i + 1] as number; k < size; k++) bytes[at + k] = lineEnd[k] as number;
    return bytes.subarray(spans[0], end);
  }
  const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new ByteWriter(bytes.length + 64);
  for (let i = 0; i < count; i++) {
    out.copy(b, spans[2 * i] as number, spans[2 * i + 1] as number);
    out.copy(lineEnd, 0, size);
  }
  return out.bytes.subarray(0, out.length);
}

/** Looks at rows that were laid out here, and makes them wider. */
class RowPad {
  readonly #f: CsvFormat;
  readonly #cells: CellWriter;
  readonly #scanner: RowScanner;
  /** Start and end of each cell of the row that was split, quotes included. */
  bounds = new Uint32Array(128);

  constructor(format: CsvFormat) {
    this.#f = format;
    this.#cells = new CellWriter(format);
    this.#scanner = new RowScanner(format.dialect);
  }

  /** Finds the cells of a row; returns how many there are. */
  split(b: Buffer, start: number, end: number): number {
    const { delimiter, quote, escape: escaping } = this.#f.dialect;
    let count = 0;
    for (let p = start; ; p++) {
      const first = p;
      if (p < end && b[p] === quote) {
        // Behind a quote that closes comes another one, or the end of the cell.
        for (p++; p < end && !(b[p] === quote && (p + 1 === end || b[p + 1] === delimiter)); p++)
          if (b[p] === escaping || b[p] === quote) p++;
        p++;
      } else while (p < end && b[p] !== delimiter) p++;
      if (2 * count >= this.bounds.length) {
        const bounds = new Uint32Array(2 * this.bounds.length);
        bounds.set(this.bounds);
        this.bounds = bounds;
      }
      this.bounds[2 * count] = first;
      this.bounds[2 * count + 1] = p;
      count++;
      if (p >= end) return count;
    }
  }

  isEmpty(b: Buffer, start: number, end: number): boolean {
    const { quote } = this.#f.dialect;
    return start === end || (end === start + 2 && b[start] === quote && b[start + 1] === quote);
  }

  empty(out: ByteWriter, alone: boolean): void {
    out.room(4);
    out.length = this.#cells.empty(out.bytes, out.length, alone);
  }

  /** Whole rows, each with at least `width` cells. */
  widen(text: Uint8Array, width: number): Buffer {
    const b = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
    const { lineEnd, dialect } = this.#f;
    const out = new ByteWriter(b.length + (b.length >> 2) + 64);
    this.#scanner.state = ROW_START;
    for (let p = 0; p < b.length; ) {
      const next = this.#scanner.first(b, p);
      const stop = next < 0 ? b.length : next - lineEnd.length;
      const cells = this.split(b, p, stop);
      // An empty cell that was alone in its row may need no quotes any more.
      if (cells < width && cells === 1 && this.isEmpty(b, p, stop)) this.empty(out, false);
      else out.copy(b, p, stop);
      for (let k = cells; k < width; k++) {
        out.byte(dialect.delimiter);
        this.empty(out, false);
      }
      out.copy(lineEnd, 0, lineEnd.length);
      p = next < 0 ? b.length : next;
    }
    return out.bytes.subarray(0, out.length);
  }

  /** Behind the first row of a text. */
  firstEnd(text: Uint8Array): number {
    this.#scanner.state = ROW_START;
    const b = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
    const end = this.#scanner.first(b, 0);
    return end < 0 ? b.length : end;
  }
}

/** The new header, then the rows of the old text at their new width. */
async function* rewritten(
  text: AsyncIterable<Uint8Array>,
  { format, header, hadHeader, width }: { format: CsvFormat; header: Buffer; hadHeader: boolean; width: number },
): AsyncGenerator<Uint8Array> {
  const pad = new RowPad(format);
  const chunker = new CsvChunker(
    { dialect: format.dialect, headers: false, columns: [], skipRows: 0, maxRecordBytes: Number.POSITIVE_INFINITY },
    { offset: 0, state: null, name: '' },
  );
  let isFirst = hadHeader;
  const wide = (bytes: Uint8Array): Buffer => {
    const from = isFirst ? pad.firstEnd(bytes) : 0;
    isFirst = false;
    return pad.widen(bytes.subarray(from), width);
  };
  if (header.length > 0) yield header;
  for await (const part of text) {
    const piece = chunker.push(part);
    if (piece !== undefined) yield wide(piece.bytes);
  }
  const rest = chunker.end();
  if (rest !== undefined) yield wide(rest.bytes);
}
