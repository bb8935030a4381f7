/** Where a zstd frame ends (RFC 8878), without unpacking it. */

export const ZSTD_MAGIC = 0xfd2fb528;
/** The shortest beginning that tells how long the header is: the magic number and the descriptor behind it. */
export const ZSTD_START_BYTES = 5;

/** Frames that hold no content, for programs that know them. */
export function isSkippable(magic: number): boolean {
  return magic >>> 4 === 0x184d2a5;
}

/** Bytes of the header, with the magic number, by its first five. */
export function headerBytes(start: Buffer): number {
  const descriptor = start[4] as number;
  const isSingle = (descriptor & 0x20) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3] as number;
  const size = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] as number;
  return ZSTD_START_BYTES + (isSingle ? 0 : 1) + dictionary + size;
}

export interface FrameHeader {
  hasChecksum: boolean;
  hasDictionary: boolean;
  /** Bytes that whoever unpacks has to keep. */
  window: number;
}

/** `header`: all of it, as `headerBytes` says. */
export function readHeader(header: Buffer): FrameHeader {
  const descriptor = header[4] as number;
  const isSingle = (descriptor & 0x20) !== 0;
  const sizeBytes = [1, 2, 4, 8][descriptor >> 6] as number;
  let window: number;
  if (isSingle) {
    const at = header.length - sizeBytes;
    window = sizeBytes === 8 ? Number(header.readBigUInt64LE(at)) : header.readUIntLE(at, sizeBytes);
    if (sizeBytes === 2) window += 256;
  } else {
    const b = header[5] as number;
    const base = 2 ** (10 + (b >> 3));
    window = base + (base / 8) * (b & 7);
  }
  return { hasChecksum: (descriptor & 4) !== 0, hasDictionary: (descriptor & 3) !== 0, window };
}

/** Walks over the blocks behind a header, in whatever pieces they come. */
export class BlockWalk {
  readonly #hasChecksum: boolean;
  #head = 0;
  #headBytes = 0;
  /** Bytes of the block, or of the checksum, that are still to come. */
  #left = 0;
  #last = false;
  done = false;

  constructor(hasChecksum: boolean) {
    this.#hasChecksum = hasChecksum;
  }

  /** How many bytes from `bytes[at]` on belong to the frame. */
  take(bytes: Uint8Array, at: number): number {
    let p = at;
    while (p < bytes.length && !this.done) {
      if (this.#left > 0) {
        const n = Math.min(this.#left, bytes.length - p);
        this.#left -= n;
        p += n;
        this.done = this.#left === 0 && this.#last;
        continue;
      }
      this.#head |= (bytes[p++] as number) << (8 * this.#headBytes++);
      if (this.#headBytes === 3) this.#block();
    }
    return p - at;
  }

  #block(): void {
    this.#last = (this.#head & 1) !== 0;
    // One byte stands for a run of equal ones.
    const isRun = ((this.#head >> 1) & 3) === 1;
    this.#left = (isRun ? 1 : this.#head >>> 3) + (this.#last && this.#hasChecksum ? 4 : 0);
    this.#head = 0;
    this.#headBytes = 0;
    this.done = this.#last && this.#left === 0;
  }
}
