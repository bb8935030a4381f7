/** Rows of CSV by the byte kernel: compact objects go in, and rows come out, but for those that are left to whoever calls. */
import type { Block } from '../../engine/contracts.ts';
import type { CsvFormat } from '../csv-cell-writer.ts';
import { sameNames } from '../csv-json.ts';
import { DYNAMIC } from '../wasm/memory.ts';
import { type Exports, growMemory, instantiate } from './wasm.ts';

const PAGE = 65536;
/** Bytes that the kernel reads or writes beyond an end. */
const SLACK = 128;
/** Rows are about as large as their records, or smaller. */
const GROWTH = 1.25;
/** Room for any one row of a record of this size beside that. */
const ONE_ROW = 1 << 16;
/** What JSON writes with an escape: a column of such a name is not looked for here. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const ESCAPED = /["\\\u0000-\u001f]/;
/** What the kernel works with; beyond that a record is no quick work anyway. Columns, their names in bytes, and a block's bytes. */
const MOST_COLUMNS = 2048;
const MOST_NAMES = 1 << 17;
const MOST_BYTES = 16 << 20;
const PLACES = DYNAMIC + 16 * MOST_COLUMNS;
const NAMES = PLACES + 4 * 2 * MOST_COLUMNS;
const BLOCK = NAMES + MOST_NAMES + SLACK;

export interface Rows {
  /** Behind the last record that was laid out. */
  to: number;
  /** They stand in the memory of the kernel until the next turn, a line end behind each. */
  bytes: Buffer;
  /** Start and end of each in `bytes`. */
  spans: Uint32Array;
  /** There was no room for more: there is in the next turn. */
  isFull: boolean;
}

export class RowKernel {
  readonly #wasm: Exports;
  #memory: Buffer = Buffer.alloc(0);
  #out = 0;
  #outEnd = 0;
  #count = 0;
  #columns: readonly string[] | undefined;

  /** Such cells are quoted where they need it, and text stays as it is. */
  static takes({ style, escapeFormulas }: CsvFormat): boolean {
    return style === 'minimal' && !escapeFormulas;
  }

  /** Throws NoKernel. */
  constructor({ dialect, lineEnd }: CsvFormat) {
    const none = (): number => 0;
    this.#wasm = instantiate({ parse: none, print: none, round: none, lap: () => undefined, script: none });
    const ends = lineEnd.length === 1 ? (lineEnd[0] as number) : lineEnd.readUInt16LE();
    this.#wasm.layoutFormat(dialect.delimiter, dialect.quote, dialect.escape, ends, lineEnd.length);
  }

  /** `learns`: a record that brings a column is left to whoever calls. False where there are too many of them. Throws NoKernel. */
  set(columns: readonly string[], learns: boolean): boolean {
    this.#columns = undefined;
    if (columns.length === 0 || columns.length > MOST_COLUMNS) return false;
    const names = columns.map((name) => (ESCAPED.test(name) ? undefined : Buffer.from(name)));
    if (names.reduce((sum, name) => sum + (name?.length ?? 0), 0) > MOST_NAMES) return false;
    this.#grow(BLOCK);
    let at = NAMES;
    const words = new Uint32Array(this.#memory.buffer);
    for (const [k, name] of names.entries()) {
      const word = (DYNAMIC >> 2) + 4 * k;
      words[word] = name === undefined ? 0 : at;
      words[word + 1] = name?.length ?? 0;
      if (name !== undefined) at += name.copy(this.#memory, at);
    }
    const mask = 2 ** Math.ceil(Math.log2(columns.length + 1)) - 1;
    this.#wasm.layoutColumns(DYNAMIC, columns.length, PLACES, mask, Number(learns));
    this.#columns = columns;
    return true;
  }

  /** They are what was set last. */
  has(columns: readonly string[]): boolean {
    return this.#columns !== undefined && sameNames(this.#columns, columns);
  }

  /** The records of a block come next. False where it is too large. Throws NoKernel. */
  start({ bytes, spans, count }: Block): boolean {
    const from = count === 0 ? 0 : (spans[0] as number);
    const size = count === 0 ? 0 : (spans[2 * count - 1] as number) - from;
    if (size > MOST_BYTES) return false;
    const up = (address: number): number => Math.ceil((address + SLACK) / 64) * 64;
    this.#count = count;
    const input = up(BLOCK + 8 * count);
    this.#out = up(input + size);
    this.#outEnd = this.#out + Math.ceil(size * GROWTH) + ONE_ROW;
    this.#grow(this.#outEnd + SLACK);
    this.#memory.set(bytes.subarray(from, from + size), input);
    const words = new Uint32Array(this.#memory.buffer, BLOCK, 2 * count);
    const shift = input - from;
    for (let i = 0; i < 2 * count; i++) words[i] = (spans[i] as number) + shift;
    this.#wasm.startLayout();
    return true;
  }

  /** Rows of records from `from` on, as many as there is room for, up to one that is left to whoever calls. */
  next(from: number): Rows {
    const to = this.#wasm.layOut(BLOCK, from, this.#count, this.#out, this.#outEnd) >>> 0;
    return {
      to,
      bytes: this.#memory.subarray(this.#out, this.#wasm.laidEnd.value >>> 0),
      spans: new Uint32Array(this.#memory.buffer, BLOCK + 8 * from, 2 * (to - from)),
      isFull: this.#wasm.isFull.value !== 0 && to > from,
    };
  }

  /** Memory that has grown is another buffer. */
  #grow(end: number): void {
    growMemory(this.#wasm, Math.ceil(end / PAGE));
    if (this.#memory.buffer !== this.#wasm.memory.buffer) this.#memory = Buffer.from(this.#wasm.memory.buffer);
  }
}
