/**
 * The lane to a file that many threads write to, each its own results, as if one wrote them in order. Whoever has worked on the block
 * of a turn publishes how many bytes came of it; as soon as that is known of all turns before, the place of a turn is, and it is
 * written there, whoever is still at work on another. What a thread can't put there the main thread does, in order.
 */
import { writeSync } from 'node:fs';
import { bytesOf } from '../kernel/blocks.ts';
import { giveBuffer } from '../kernel/buffers.ts';
import { terminated } from '../kernel/encode.ts';
import type { Block } from './contracts.ts';

/** As it crosses to a thread: the open file, and the memory that all of them share. */
export interface LaneSpec {
  fd: number;
  shared: SharedArrayBuffer;
}

/** Turns that are told apart: more than can be at work, or wait for their place. */
const TURNS = 4096;
const SLOT_BYTES = 24;
/** A block that is written without a look at its records. */
export const MOST_BYTES = 64 << 20;

const NOTHING: Pick<Block, 'bytes' | 'spans' | 'offsets'> = {
  bytes: new Uint8Array(),
  spans: new Uint32Array(),
  offsets: new Float64Array(),
};

/** Turn 0 begins at byte `at` of the file. */
export function newLane(fd: number, at: number): LaneSpec {
  const shared = new SharedArrayBuffer(TURNS * SLOT_BYTES);
  new Lane({ fd, shared }).begin(at);
  return { fd, shared };
}

/** What stands in a slot belongs to the turn whose number, and one, stands in its mark. Each turn's numbers are always the same. */
export class Lane {
  readonly #fd: number;
  readonly #places: Float64Array;
  readonly #sizes: Float64Array;
  readonly #placeMarks: Int32Array;
  readonly #sizeMarks: Int32Array;

  constructor({ fd, shared }: LaneSpec) {
    this.#fd = fd;
    this.#places = new Float64Array(shared, 0, TURNS);
    this.#sizes = new Float64Array(shared, 8 * TURNS, TURNS);
    this.#placeMarks = new Int32Array(shared, 16 * TURNS, TURNS);
    this.#sizeMarks = new Int32Array(shared, 20 * TURNS, TURNS);
  }

  begin(at: number): void {
    this.#places[0] = at;
    Atomics.store(this.#placeMarks, 0, 1);
  }

  /** The block of this turn is done: what is written of it has as many bytes as its records, and a line feed behind each. */
  publish(block: Block, turn: number): void {
    const slot = turn % TURNS;
    if (Atomics.load(this.#sizeMarks, slot) !== turn + 1) {
      this.#sizes[slot] = block.put?.bytes ?? bytesOf(block) + block.count;
      Atomics.store(this.#sizeMarks, slot, turn + 1);
    }
    // Of two that publish at the same time, one at least sees what the other has.
    for (let next = turn; this.#hasPlace(next) && this.#hasSize(next); next++) {
      const at = (this.#places[next % TURNS] as number) + (this.#sizes[next % TURNS] as number);
      const behind = (next + 1) % TURNS;
      if (this.#hasPlace(next + 1)) continue;
      this.#places[behind] = at;
      Atomics.store(this.#placeMarks, behind, next + 2);
      Atomics.notify(this.#placeMarks, behind);
    }
  }

  /** Whether the place of a turn is known, or becomes so within `ms`. */
  isKnown(turn: number, ms = 0): boolean {
    if (this.#hasPlace(turn)) return true;
    const slot = turn % TURNS;
    const now = Atomics.load(this.#placeMarks, slot);
    if (ms > 0 && now !== turn + 1) Atomics.wait(this.#placeMarks, slot, now, ms);
    return this.#hasPlace(turn);
  }

  /**
   * Writes the records of a block, a line each, at the place of its turn, which is known. The block without its bytes; the same block
   * where the system takes no more, or where the sink has to look at what is so large.
   */
  put(block: Block, turn: number): Block {
    if (block.put !== undefined || block.bytes.byteLength > MOST_BYTES) return block;
    const started = performance.now();
    const { count, split } = block;
    const pieces = count === 0 ? [] : terminated(block);
    const from = this.#places[turn % TURNS] as number;
    let at = from;
    try {
      for (const piece of pieces)
        for (let p = 0; p < piece.byteLength; ) {
          const written = writeSync(this.#fd, piece, p, piece.byteLength - p, at);
          p += written;
          at += written;
        }
    } catch {
      // The sink tries again, and tells what is wrong.
      return block;
    }
    giveBuffer(block.bytes);
    return { ...NOTHING, count, split, put: { bytes: at - from, ms: performance.now() - started } };
  }

  #hasPlace(turn: number): boolean {
    return Atomics.load(this.#placeMarks, turn % TURNS) === turn + 1;
  }

  #hasSize(turn: number): boolean {
    return Atomics.load(this.#sizeMarks, turn % TURNS) === turn + 1;
  }
}
