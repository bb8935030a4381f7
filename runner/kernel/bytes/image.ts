/** The memory of a program, as it will be copied into the kernel: addresses are those that it has there. */
import { PROGRAM, PROGRAM_END } from '../wasm/memory.ts';
import { Unfit } from './unfit.ts';

const ALIGN = 16;

export class Image {
  readonly base = PROGRAM;
  readonly bytes = Buffer.alloc(PROGRAM_END - PROGRAM);
  #at = PROGRAM;

  get used(): Buffer {
    return this.bytes.subarray(0, this.#at - this.base);
  }

  /** Room for so many bytes, and for reads beyond them. Throws Unfit. */
  reserve(size: number): number {
    const at = this.#at;
    this.#at += Math.ceil((size + ALIGN) / ALIGN) * ALIGN;
    if (this.#at > PROGRAM_END) throw new Unfit('its steps are too many, or their constants too long');
    return at;
  }

  put(bytes: Uint8Array): number {
    const at = this.reserve(bytes.byteLength);
    this.bytes.set(bytes, at - this.base);
    return at;
  }

  word(at: number, value: number): void {
    this.bytes.writeUInt32LE(value >>> 0, at - this.base);
  }

  wordAt(at: number): number {
    return this.bytes.readUInt32LE(at - this.base);
  }

  long(at: number, value: bigint): void {
    this.bytes.writeBigUInt64LE(value, at - this.base);
  }
}
