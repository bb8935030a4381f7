/** A growing buffer that records are written to; positions are numbers, growth is checked before each write. */

import { giveBuffer, takeBuffer } from './buffers.ts';

/** Below this many bytes a loop is faster than a call into the runtime. */
const LOOP_LIMIT = 40;
/** From so many on it pays to make a view: the platform copies into shared memory four times as fast that way. */
const SET_FROM = 16 << 10;

export class ByteWriter {
  bytes: Buffer;
  length = 0;

  constructor(capacity: number) {
    this.bytes = takeBuffer(capacity);
  }

  /** Makes room for so many bytes behind what is written; `bytes` may be others afterwards. */
  room(extra: number): void {
    const needed = this.length + extra;
    if (needed <= this.bytes.length) return;
    const bigger = takeBuffer(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(bigger, 0, 0, this.length);
    giveBuffer(this.bytes);
    this.bytes = bigger;
  }

  byte(value: number): void {
    if (this.length >= this.bytes.length) this.room(1);
    this.bytes[this.length++] = value;
  }

  copy(from: Buffer, start: number, end: number): void {
    const size = end - start;
    if (this.length + size > this.bytes.length) this.room(size);
    const out = this.bytes;
    let o = this.length;
    if (size < LOOP_LIMIT) for (let i = start; i < end; i++) out[o++] = from[i] as number;
    else if (size < SET_FROM) from.copy(out, o, start, end);
    else out.set(from.subarray(start, end), o);
    this.length += size;
  }

  /** Writes text as UTF-8. */
  text(text: string): void {
    const size = text.length;
    if (this.length + size * 3 > this.bytes.length) this.room(size * 3);
    const out = this.bytes;
    let o = this.length;
    if (size < LOOP_LIMIT) {
      let i = 0;
      for (; i < size; i++) {
        const c = text.charCodeAt(i);
        if (c > 0x7f) break;
        out[o++] = c;
      }
      if (i === size) {
        this.length = o;
        return;
      }
    }
    this.length += out.write(text, this.length, 'utf8');
  }
}
