/**
 * Packs an output in members (gzip) or frames (zstd) of a fixed number of bytes each, so that where they are cut depends on the
 * text alone: a resumed file is byte for byte that of an undisturbed run. What is not a whole member yet is held here, and kept
 * in the mark as the member that would end the output.
 */
import { promisify } from 'node:util';
import { constants, gunzip, gzip, zstdCompress, zstdDecompress } from 'node:zlib';
import { giveBuffer, takeBuffer } from '../../kernel/buffers.ts';
import type { Codec } from '../../kernel/unpack.ts';

/** Plain bytes of a member: large enough to cost nothing in size, small enough to stand in a checkpoint. */
export const MEMBER_BYTES = 1 << 20;
/** Members that are packed at the same time, on threads of libuv. */
const AT_ONCE = 2;

const LEVEL = { gzip: 6, zstd: 3 } as const;
// Made at each use: Node's packers load when something is packed.
const unpack = {
  gzip: (bytes: Buffer, o: { maxOutputLength: number }) => promisify(gunzip)(bytes, o),
  zstd: (bytes: Buffer, o: { maxOutputLength: number }) => promisify(zstdDecompress)(bytes, o),
};

export class Members {
  readonly #codec: Codec;
  readonly #level: number;
  readonly #put: (bytes: Uint8Array) => Promise<void>;
  #open = takeBuffer(MEMBER_BYTES).subarray(0, MEMBER_BYTES);
  #size = 0;
  #packing: Promise<Buffer>[] = [];
  /** The end as it was packed last, and for how many bytes of the open member. */
  #end: { size: number; bytes: Buffer } | undefined;

  /** `put` takes whole members in order. */
  constructor(codec: Codec, level: number | undefined, put: (bytes: Uint8Array) => Promise<void>) {
    this.#codec = codec;
    this.#level = level ?? LEVEL[codec];
    this.#put = put;
  }

  /** Bytes of the open member. */
  get size(): number {
    return this.#size;
  }

  /** Goes on with a member that was open; `end`: as it was packed. */
  async restore(end: Buffer): Promise<void> {
    const plain = await unpack[this.#codec](end, { maxOutputLength: MEMBER_BYTES });
    this.#size = plain.copy(this.#open);
    this.#end = { size: this.#size, bytes: end };
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const n = Math.min(bytes.length - at, MEMBER_BYTES - this.#size);
      this.#open.set(bytes.subarray(at, at + n), this.#size);
      this.#size += n;
      at += n;
      if (this.#size < MEMBER_BYTES) continue;
      const full = this.#open;
      const packing = this.#pack(full).finally(() => giveBuffer(full));
      // Whoever waits for it sees the error; nobody may be waiting yet.
      packing.catch(() => undefined);
      this.#packing.push(packing);
      this.#open = takeBuffer(MEMBER_BYTES).subarray(0, MEMBER_BYTES);
      this.#size = 0;
      this.#end = undefined;
      if (this.#packing.length >= AT_ONCE) await this.#putNext();
    }
  }

  /** All whole members are put. */
  async settle(): Promise<void> {
    while (this.#packing.length > 0) await this.#putNext();
  }

  /** The open member as it would end the output. */
  async end(): Promise<Buffer> {
    if (this.#end?.size !== this.#size)
      this.#end = { size: this.#size, bytes: await this.#pack(this.#open.subarray(0, this.#size)) };
    return this.#end.bytes;
  }

  async #putNext(): Promise<void> {
    const packing = this.#packing.shift();
    if (packing !== undefined) await this.#put(await packing);
  }

  async #pack(bytes: Uint8Array): Promise<Buffer> {
    if (this.#codec === 'gzip') {
      const member = await promisify(gzip)(bytes, { level: this.#level });
      // The system that packed it is nobody's business, and differs between those that might go on with the file.
      member[9] = 0xff;
      return member;
    }
    const params = {
      [constants.ZSTD_c_compressionLevel]: this.#level,
      [constants.ZSTD_c_checksumFlag]: 1,
    };
    return promisify(zstdCompress)(bytes, { params, pledgedSrcSize: bytes.length });
  }
}
