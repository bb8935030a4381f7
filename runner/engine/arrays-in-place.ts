/**
 * Arrays that the threads of a stage write part by part, as whoever counts them behind it sees them: what is whole goes on, and of the
 * one that is not the bytes stand in the file, behind all that the sink knows of. From there they come back where they are needed: for
 * a checkpoint, or to be gathered here after all.
 */
import { readSync } from 'node:fs';
import { ARRAY_END, bracketBytes, recordsOfPart } from '../kernel/arrays.ts';
import { bytesOf } from '../kernel/blocks.ts';
import type { Block } from './contracts.ts';
import { ioError, OxiError } from './errors.ts';
import { writeAll } from './lane.ts';

/** Where they stand: `at` is the byte behind the array that has begun. */
export interface ArrayPlace {
  step: string;
  fd: number;
  at: number;
  /** Records of each. */
  records: number;
  begun: OpenArray | undefined;
}

/** An array that has not ended: so many records, in so many bytes that end with a comma. */
export interface OpenArray {
  records: number;
  bytes: number;
  /** Of its first record. */
  offset: number;
  split: number;
}

/** What came of a block that is written. */
export interface Written {
  /** Of its records alone. */
  recordBytes: number;
  /** Arrays that are whole now, and their bytes, a line feed behind each. */
  arrays: number;
  bytes: number;
}

export class ArraysInPlace {
  readonly #place: ArrayPlace;
  #at: number;
  #open: OpenArray | undefined;
  /** Records of the array that has begun at `#at`, where they have come back. */
  #held = 0;
  #isLeft = false;

  constructor(place: ArrayPlace) {
    this.#place = place;
    this.#at = place.at;
    this.#open = place.begun;
  }

  /** The array that has not ended, in the file. */
  get open(): OpenArray | undefined {
    return this.#open;
  }

  /** Nothing of it counts any more: arrays are gathered elsewhere. */
  get isLeft(): boolean {
    return this.#isLeft;
  }

  /** Counts the next block, which the threads have written. */
  count({ count, split }: Block, put: NonNullable<Block['put']>): Written {
    const { records } = this.#place;
    const before = this.#open;
    const all = (before?.records ?? 0) + count;
    const arrays = Math.floor(all / records);
    const held = all % records;
    if (held === 0) this.#open = undefined;
    else if (put.open !== undefined) this.#open = { records: held, ...put.open, split };
    else if (before !== undefined) this.#open = { ...before, records: held, bytes: before.bytes + put.bytes, split };
    this.#at += put.bytes;
    const recordBytes = put.bytes - count - bracketBytes(before?.records ?? 0, count, records);
    const bytes = (before?.bytes ?? 0) + put.bytes - (this.#open?.bytes ?? 0);
    return { recordBytes, arrays, bytes };
  }

  /** Ends the array that has not ended; its bytes, or undefined where the system takes no more. */
  end({ bytes }: OpenArray): number | undefined {
    try {
      this.#at = writeAll(this.#place.fd, ARRAY_END, this.#at - 1);
    } catch {
      // The sink tries again, and tells what is wrong.
      return undefined;
    }
    this.#open = undefined;
    return bytes + 1;
  }

  /** The records of the array that has not ended. */
  records(): Block | undefined {
    const { open } = this;
    if (open === undefined) return undefined;
    const { bytes, split, offset } = open;
    const block: Block = { ...this.#recordsAt(this.#at - bytes, bytes, false, open.records), split };
    block.offsets[0] = offset;
    return block;
  }

  /** From here on arrays are gathered elsewhere, beginning with these records. */
  leave(): Block | undefined {
    const records = this.records();
    this.#held = records?.count ?? 0;
    this.#open = undefined;
    this.#isLeft = true;
    return records;
  }

  /** Once it is left: the records of the next block, wherever they are. */
  fetched(block: Block): Block {
    const { count, split, put } = block;
    const size = put?.bytes ?? bytesOf(block) + count + bracketBytes(this.#held, count, this.#place.records);
    const own = put === undefined ? block : { ...this.#recordsAt(this.#at, size, this.#held > 0, count), split };
    this.#at += size;
    this.#held = (this.#held + count) % this.#place.records;
    return own;
  }

  /** Throws OxiError IO_FAILED where there are not so many. */
  #recordsAt(at: number, size: number, isInside: boolean, count: number): ReturnType<typeof recordsOfPart> {
    const records = recordsOfPart(this.#read(at, size), isInside);
    if (records.count !== count) throw this.#gone();
    return records;
  }

  #gone(): OxiError {
    const { step } = this.#place;
    return new OxiError('IO_FAILED', `${this.#what} are not there any more: start over with --fresh`, {
      place: { step },
    });
  }

  get #what(): string {
    return `step "${this.#place.step}": records that were written already`;
  }

  #read(at: number, size: number): Buffer {
    const { fd, step } = this.#place;
    const bytes = Buffer.allocUnsafeSlow(size);
    for (let p = 0; p < size; ) {
      let read: number;
      try {
        read = readSync(fd, bytes, p, size - p, at + p);
      } catch (error) {
        throw ioError(error, this.#what, { step });
      }
      if (read === 0) throw this.#gone();
      p += read;
    }
    return bytes;
  }
}
