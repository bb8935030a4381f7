/**
 * Pieces of a file of lines for those who read them by themselves: only where each ends is looked for here, in the last bytes of it.
 * Whole lines alone make up a piece, and the next one begins behind it, so no line has to be put together of two.
 */
import { readSync } from 'node:fs';
import { takeBuffer } from '../kernel/buffers.ts';
import type { Block, DirectInput } from './contracts.ts';
import { ioError, OxiError } from './errors.ts';

/** A piece: so large that what is said about each costs nothing beside the work on it, and a thread holds no more than one. */
const PIECE_BYTES = 896 << 10;
/** What is looked at first for the end of a line, and as much more each time as was looked at before. */
const LOOK_BYTES = 4 << 10;
/** Behind what is read, so that the memory can serve for an output a little longer than its input. */
const ROOM_BYTES = 96 << 10;
const LF = 0x0a;

export interface DirectPiece {
  at: number;
  size: number;
  /** Nothing stands behind it. */
  isLast: boolean;
}

/** The piece that begins at `at`; reading ends at `to`. Undefined where a line has more than `longest` bytes, and at the end. */
export async function nextPiece(
  input: DirectInput,
  at: number,
  to: number,
  longest: number,
): Promise<DirectPiece | undefined> {
  let end = Math.min(at + PIECE_BYTES, to);
  let size = LOOK_BYTES;
  for (;;) {
    const from = Math.max(at, end - size);
    const bytes = input.read(from, end - from);
    const isEnd = bytes.length < end - from || end === to;
    if (isEnd) {
      if (bytes.length < end - from) await input.check();
      // Of a file that became shorter, the end may lie further in front.
      if (bytes.length === 0 && from > at) {
        end = from;
        continue;
      }
      const all = from + bytes.length - at;
      return all === 0 ? undefined : { at, size: all, isLast: true };
    }
    const last = bytes.lastIndexOf(LF);
    if (last >= 0) return { at, size: from + last + 1 - at, isLast: false };
    if (from > at) size *= 2;
    else {
      if (end - at > longest) return undefined;
      end = Math.min(at + 2 * (end - at), to);
      size = end - at;
    }
  }
}

/** On any thread: such a piece, on memory of its own. Throws as `readStored` does. */
export function takeStored(stored: NonNullable<Block['stored']>, name: string): Uint8Array {
  const memory = takeBuffer(stored.size + ROOM_BYTES).subarray(0, stored.size);
  readStored(stored, memory, name);
  return memory;
}

/** Puts the bytes of such a piece into `room`. Throws OxiError INPUT_REWRITTEN where they are not there any more. */
export function readStored({ fd, at, size }: NonNullable<Block['stored']>, room: Uint8Array, name: string): void {
  for (let p = 0; p < size; ) {
    let read: number;
    try {
      read = readSync(fd, room, p, size - p, at + p);
    } catch (error) {
      throw ioError(error, name, { file: name, offset: at });
    }
    if (read === 0)
      throw new OxiError(
        'INPUT_REWRITTEN',
        `${name}: it ended at byte ${at + p} while it was read: another program wrote it anew or cut it off. Nothing of it is published; start again when it is whole`,
        { place: { file: name, offset: at + p } },
      );
    p += read;
  }
}

/** An open split and those who still have pieces of it to read: it is closed when it has ended and all of them have. */
export class DirectSplit {
  readonly input: DirectInput;
  readonly #closed: () => void;
  #readers = 0;
  #isEnded = false;

  /** `closed`: told when it is. */
  constructor(input: DirectInput, closed: () => void) {
    this.input = input;
    this.#closed = closed;
  }

  /**
   * One more has a piece of it; to be called when that one has read it. The last of them finds out whether all of them have read what
   * the file was: throws OxiError INPUT_REWRITTEN.
   */
  hold(): () => Promise<void> | undefined {
    this.#readers++;
    return () => (--this.#readers === 0 && this.#isEnded ? this.#leave() : undefined);
  }

  async #leave(): Promise<void> {
    try {
      await this.input.check();
    } finally {
      await this.close();
    }
  }

  /** No further pieces. */
  end(): void {
    this.#isEnded = true;
    if (this.#readers === 0) void this.close();
  }

  /** Nothing was written by it, so nobody needs to know how that went. */
  async close(): Promise<void> {
    await this.input.close().catch(() => undefined);
    this.#closed();
  }
}
