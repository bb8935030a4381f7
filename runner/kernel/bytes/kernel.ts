/**
 * The byte kernel: whole lines go in, and what a program makes of them comes out. Every record is checked, as the value tier checks
 * it. What the kernel is not sure of it defers: broken lines, operands of other kinds, numbers that doubles do not hold.
 */
import { roundNumber } from '../../expressions/functions.ts';
import { toJson } from '../../expressions/stringify.ts';
import { COLUMNS, COUNTS, PROGRAM } from '../wasm/memory.ts';
import { type Layout, layoutFor } from './layout.ts';
import type { Program } from './program.ts';
import type { RowImage } from './rows.ts';
import { Scripts } from './scripts.ts';
import { type Exports, growMemory, instantiate } from './wasm.ts';

/** What came of some of the lines, in order. All of it stands in the memory of the kernel until the next turn. */
export interface Turn {
  /** `spans` count from its beginning, and records stand a line feed apart. */
  bytes: Uint8Array;
  spans: Uint32Array;
  /** Of the records in their split. */
  offsets: Float64Array;
  count: number;
  /** Of each record that was deferred: its start and end in the input, and how many of this turn were kept before it. */
  deferred: Uint32Array;
  /** Nothing was done to these records, and they were not copied: spans count from the beginning of the input. */
  stays: boolean;
  /** The records of this turn, where they are all that came of the input and stand as lines: each with a line feed behind it. */
  lines: Uint8Array | undefined;
}

export interface Totals {
  /** Deferred ones too; blank lines are none. */
  records: number;
  recordBytes: number;
  /** Records that the steps have filtered, by owner. */
  filtered: Uint32Array;
}

const LF = 0x0a;
/** Pieces are about as large as the last one. */
const ROOM = 1.25;
/** Records of rows have their keys, too. */
const ROWS_GROWTH = 3;

/** Who is told of the time of steps, by their place. */
export interface Laps {
  /** What went by since the last lap was the work of that step. */
  lap(owner: number): void;
  /** The same of something that was done once for many records. */
  whole(owner: number): void;
  /** The steps that walks over records, and writing them, count as. */
  parser: number;
  writer: number;
}

export class ByteKernel {
  readonly #wasm: Exports;
  readonly #scripts = new Scripts((slot) => this.#wasm.valueNow(slot));
  #program: Program | undefined;
  #rows: RowImage | undefined;
  #laps: Laps | undefined;
  #layout: Layout | undefined;
  #memory: Buffer = Buffer.alloc(0);

  /** Throws NoKernel. */
  constructor() {
    this.#wasm = instantiate({
      parse: (at, size) => Number(this.#memory.toString('latin1', at, at + size)),
      print: (value, at) => this.#memory.write(toJson(value), at, 'latin1'),
      round: (value, places) => roundNumber(value, places) ?? Number.NaN,
      lap: (owner) => this.#laps?.lap(owner),
      script: (number, at) => this.#scripts.run(number, at),
    });
    this.#refresh();
  }

  /** Has it work with a program from now on; one that is timed tells `laps`. */
  load(program: Program, laps?: Laps): void {
    if (this.#program === program) return;
    this.#program = program;
    this.#laps = laps;
    this.#scripts.load(program.scripts);
    program.image.copy(this.#memory, PROGRAM);
    const { code, root, slots, changed, changedCount } = program;
    this.#wasm.setup(code, root, slots, changed, changedCount);
    this.#wasm.time(Number(laps !== undefined), laps?.parser ?? 0, laps?.writer ?? 0);
  }

  /** Has it take rows with these columns from now on; slots are those of the program. */
  loadRows(rows: RowImage): void {
    if (this.#rows === rows) return;
    if (this.#rows === undefined) this.#layout = undefined;
    this.#rows = rows;
    rows.bytes.copy(this.#memory, COLUMNS);
    this.#wasm.rows(rows.delimiter, rows.count, rows.keysSize, Number(rows.emptyIsNull));
  }

  /** Where `size` bytes are to be put before they are worked on. Throws NoKernel where there is no memory for so many. */
  roomFor(size: number): Buffer {
    const { input } = this.#layoutFor(size + 1);
    return this.#memory.subarray(input, input + size);
  }

  /**
   * Works on the `size` bytes in the room for them, whole lines or rows that begin at `offset` of their split; the last may lack its
   * line feed. `context`: what scripts are given. Calls `take` for each turn; the totals hold until the next run.
   */
  run(size: number, offset: number, context: unknown, take: (turn: Turn) => void): Totals {
    const owners = this.#program?.owners ?? 0;
    const layout = this.#layoutFor(size + 1);
    const memory = this.#memory;
    this.#scripts.start(memory, context);
    // The last line ends, and so does the last block of 64 bytes.
    const whole = Math.ceil((size + 1) / 64) * 64;
    memory.fill(LF, layout.input + size, layout.input + whole + 64);
    memory.fill(0, COUNTS, COUNTS + 4 * owners);
    const wasm = this.#wasm;
    const isRows = this.#rows !== undefined;
    let stays = false;
    if (isRows) wasm.startRows(layout.input, size, offset);
    else stays = wasm.start(layout.input, whole, offset) !== 0;
    const laps = this.#laps;
    laps?.whole(laps.parser);
    for (let more = true, isFirst = true; more; isFirst = false) {
      more = (isRows ? wasm.workRows() : wasm.work()) !== 0;
      const turn = this.#turn(layout, stays);
      if (isFirst && !more && wasm.deferred.value === 0) turn.lines = this.#lines(turn, layout, size);
      take(turn);
      laps?.whole(laps.writer);
    }
    return {
      records: wasm.records.value,
      recordBytes: wasm.recordBytes.value,
      filtered: new Uint32Array(memory.buffer, COUNTS, owners).slice(),
    };
  }

  #turn(layout: Layout, stays: boolean): Turn {
    const wasm = this.#wasm;
    const { buffer } = this.#memory;
    const count = wasm.kept.value;
    return {
      bytes: this.#memory.subarray(layout.out, stays ? layout.out : wasm.outEnd.value),
      spans: new Uint32Array(buffer, layout.table, 2 * count),
      offsets: new Float64Array(buffer, layout.offsets, count),
      count,
      deferred: new Uint32Array(buffer, layout.deferrals, 3 * wasm.deferred.value),
      stays,
      lines: undefined,
    };
  }

  /** Of a turn that is all. What stays is lines where nothing but a line feed stands behind each. */
  #lines({ bytes, stays, count }: Turn, { input }: Layout, size: number): Uint8Array | undefined {
    if (!stays) return bytes;
    if (count === 0) return size === 0 ? bytes : undefined;
    // The kernel puts a line feed behind the last line where it has none. An empty line is as long as that.
    const ends = this.#memory[input + size - 1] === LF ? size : size + 1;
    return this.#wasm.recordBytes.value + count === ends ? this.#memory.subarray(input, input + ends) : undefined;
  }

  #layoutFor(size: number): Layout {
    const known = this.#layout;
    if (known !== undefined && known.capacity >= size + 64) return known;
    const layout = layoutFor(Math.ceil(size * ROOM) + 64, this.#rows === undefined ? undefined : ROWS_GROWTH);
    growMemory(this.#wasm, layout.pages);
    this.#refresh();
    const { index, suspects, escapes, spaces, out, outEnd, table, offsets, tableMost, deferrals, deferredMost } =
      layout;
    this.#wasm.place(index, suspects, escapes, spaces, out, outEnd, table, offsets, tableMost, deferrals, deferredMost);
    this.#layout = layout;
    return layout;
  }

  /** Memory that has grown is another buffer. */
  #refresh(): void {
    this.#memory = Buffer.from(this.#wasm.memory.buffer);
  }
}
