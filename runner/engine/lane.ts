/**
 * The lane to a file that many threads write to, each its own results, as if one wrote them in order. Whoever has worked on the block
 * of a turn publishes how many bytes came of it; as soon as that is known of all turns before, the place of a turn is, and it is
 * written there, whoever is still at work on another. What a thread can't put there the main thread does, in order.
 *
 * Where records are written as arrays of so many each, how many there are is published too: then it is known which of them begin and
 * end one. That holds as long as no array can come to more bytes than it may have; from the turn on with which one could, the lane is
 * closed, and whoever stands behind it makes the arrays.
 */
import { writeSync } from 'node:fs';
import { type ArrayPart, arrayPart, bracketBytes, givePart } from '../kernel/arrays.ts';
import { bytesOf } from '../kernel/blocks.ts';
import { giveBuffer } from '../kernel/buffers.ts';
import { elements, type Laid, terminated } from '../kernel/encode.ts';
import type { Block } from './contracts.ts';

/** As it crosses to a thread: the open file, and the memory that all of them share. */
export interface LaneSpec {
  fd: number;
  shared: SharedArrayBuffer;
  arrays?: Arrays | undefined;
  /** What is written are elements of one array, which begins where the first of them is put; at -1 where it has begun before. */
  elements?: { first: number } | undefined;
}

export interface Arrays {
  /** Of one array. */
  records: number;
  /** Of one array, its brackets and commas too. */
  maxBytes: number;
}

/** Turns that are told apart: more than can be at work, or wait for their place. */
const TURNS = 4096;
const SLOT_BYTES = 40;
/** A block that is written without a look at its records. */
export const MOST_BYTES = 64 << 20;

const NOTHING: Pick<Block, 'bytes' | 'spans' | 'offsets'> = {
  bytes: new Uint8Array(),
  spans: new Uint32Array(),
  offsets: new Float64Array(),
};

/** An array that has begun before the lane: its records, and its bytes. */
export interface Begun {
  records: number;
  bytes: number;
}

/** Turn 0 begins at byte `at` of the file. */
export function newLane(fd: number, at: number, arrays?: Arrays, begun: Begun = { records: 0, bytes: 0 }): LaneSpec {
  return begunLane({ fd, shared: memory(), arrays }, at, begun);
}

/** The same of elements of one array; `isBegun`: some of them stand before. */
export function newElementLane(fd: number, at: number, isBegun: boolean): LaneSpec {
  const first = isBegun ? -1 : at;
  return begunLane({ fd, shared: memory(), elements: { first } }, at, { records: 0, bytes: 0 });
}

const memory = (): SharedArrayBuffer => new SharedArrayBuffer(TURNS * SLOT_BYTES + 8);

function begunLane(spec: LaneSpec, at: number, begun: Begun): LaneSpec {
  new Lane(spec).begin(at, begun);
  return spec;
}

/** What stands in a slot belongs to the turn whose number, and one, stands in its mark. Each turn's numbers are always the same. */
export class Lane {
  readonly #fd: number;
  /** What is written by it are arrays. */
  readonly arrays: Arrays | undefined;
  readonly #elements: LaneSpec['elements'];
  readonly #places: Float64Array;
  readonly #sizes: Float64Array;
  /** Of the array that has begun before a turn: its bytes at most, and its records. */
  readonly #begunBytes: Float64Array;
  readonly #begun: Int32Array;
  readonly #counts: Int32Array;
  readonly #placeMarks: Int32Array;
  readonly #sizeMarks: Int32Array;
  /** The turn from which on it is closed, and one. */
  readonly #closed: Int32Array;

  constructor({ fd, shared, arrays, elements }: LaneSpec) {
    this.#fd = fd;
    this.arrays = arrays;
    this.#elements = elements;
    this.#places = new Float64Array(shared, 0, TURNS);
    this.#sizes = new Float64Array(shared, 8 * TURNS, TURNS);
    this.#begunBytes = new Float64Array(shared, 16 * TURNS, TURNS);
    this.#begun = new Int32Array(shared, 24 * TURNS, TURNS);
    this.#counts = new Int32Array(shared, 28 * TURNS, TURNS);
    this.#placeMarks = new Int32Array(shared, 32 * TURNS, TURNS);
    this.#sizeMarks = new Int32Array(shared, 36 * TURNS, TURNS);
    this.#closed = new Int32Array(shared, SLOT_BYTES * TURNS, 1);
  }

  begin(at: number, { records, bytes }: Begun): void {
    this.#places[0] = at;
    this.#begun[0] = records;
    this.#begunBytes[0] = bytes;
    Atomics.store(this.#placeMarks, 0, 1);
  }

  /** The block of this turn is done: what is written of it has as many bytes as its records, and one for each. */
  publish(block: Block, turn: number): void {
    const slot = turn % TURNS;
    if (Atomics.load(this.#sizeMarks, slot) !== turn + 1) {
      this.#sizes[slot] = bytesOf(block) + block.count;
      this.#counts[slot] = block.count;
      Atomics.store(this.#sizeMarks, slot, turn + 1);
    }
    // Of two that publish at the same time, one at least sees what the other has.
    for (let next = turn; this.#hasPlace(next) && this.#hasSize(next); next++) {
      if (!this.#fits(next)) {
        Atomics.store(this.#closed, 0, next + 1);
        return;
      }
      if (this.#hasPlace(next + 1)) continue;
      this.#place(next, (next + 1) % TURNS);
      Atomics.store(this.#placeMarks, (next + 1) % TURNS, next + 2);
      Atomics.notify(this.#placeMarks, (next + 1) % TURNS);
    }
  }

  /** What is known of the slot behind a turn whose place and size are. */
  #place(turn: number, behind: number): void {
    const slot = turn % TURNS;
    const at = this.#places[slot] as number;
    const size = this.#sizes[slot] as number;
    const { arrays } = this;
    if (arrays === undefined) {
      this.#places[behind] = at + size;
      return;
    }
    const begun = this.#begun[slot] as number;
    const count = this.#counts[slot] as number;
    const all = begun + count;
    this.#places[behind] = at + size + bracketBytes(begun, count, arrays.records);
    this.#begun[behind] = all % arrays.records;
    if (all % arrays.records === 0) this.#begunBytes[behind] = 0;
    else this.#begunBytes[behind] = size + 1 + (all < arrays.records ? (this.#begunBytes[slot] as number) : 0);
  }

  /** Of a turn whose place and size are known: it is not too large, and no array that ends in it or behind it has to end early. */
  #fits(turn: number): boolean {
    const slot = turn % TURNS;
    const { arrays } = this;
    const size = this.#sizes[slot] as number;
    // What is so large the sink looks at, and may leave out: nobody knows the places behind it.
    if (arrays === undefined) return size <= MOST_BYTES;
    return (this.#begunBytes[slot] as number) + size + 2 <= arrays.maxBytes;
  }

  /** Nobody will ever know the place of a turn: the arrays of its records are made elsewhere. */
  isClosed(turn: number): boolean {
    const from = Atomics.load(this.#closed, 0);
    return from > 0 && turn + 1 >= from;
  }

  /** Whether the place of a turn that is published is known, or becomes so within `ms`. */
  isKnown(turn: number, ms = 0): boolean {
    if (this.#hasPlace(turn)) return this.#fits(turn);
    if (this.isClosed(turn)) return false;
    const slot = turn % TURNS;
    const now = Atomics.load(this.#placeMarks, slot);
    if (ms > 0 && now !== turn + 1) Atomics.wait(this.#placeMarks, slot, now, ms);
    return this.#hasPlace(turn) && this.#fits(turn);
  }

  /**
   * Writes the records of a block, a line each, as arrays or as elements of one, at the place of its turn. The block without its
   * bytes; the same block where the lane is closed, the system takes no more, or the sink has to look at what is so large.
   */
  put(block: Block, turn: number): Block {
    const { arrays } = this;
    if (block.put !== undefined || !this.isKnown(turn)) return block;
    const started = performance.now();
    const { count, split } = block;
    const slot = turn % TURNS;
    const from = this.#places[slot] as number;
    const part: Partial<ArrayPart & Laid> & Pick<ArrayPart, 'pieces'> =
      count === 0
        ? { pieces: [] }
        : this.#elements !== undefined
          ? elements(block, from === this.#elements.first)
          : arrays === undefined
            ? { pieces: terminated(block) }
            : arrayPart(block, this.#begun[slot] as number, arrays.records);
    let at = from;
    try {
      for (const piece of part.pieces) at = writeAll(this.#fd, piece, at);
    } catch {
      // The sink tries again, and tells what is wrong.
      part.undo?.();
      return block;
    } finally {
      if (arrays !== undefined) givePart(part, block);
    }
    giveBuffer(block.bytes);
    const { open } = part;
    return { ...NOTHING, count, split, put: { bytes: at - from, ms: performance.now() - started, open } };
  }

  #hasPlace(turn: number): boolean {
    return Atomics.load(this.#placeMarks, turn % TURNS) === turn + 1;
  }

  #hasSize(turn: number): boolean {
    return Atomics.load(this.#sizeMarks, turn % TURNS) === turn + 1;
  }
}

/** Writes all of it at a place of a file; returns the place behind it. */
export function writeAll(fd: number, bytes: Uint8Array, at: number): number {
  let p = 0;
  while (p < bytes.byteLength) p += writeSync(fd, bytes, p, bytes.byteLength - p, at + p);
  return at + p;
}
