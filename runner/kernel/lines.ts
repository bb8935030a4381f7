/** Cuts lines into records: one JSON text a line, LF or CRLF, blank lines are nothing. State between two lines: none. */
import type { FramedRecords, Framer } from '../engine/contracts.ts';
import type { Json } from '../state/store.ts';
import { SpanList } from './spans.ts';

const LF = 0x0a;

/** Room that a source leaves in front of what it reads: the beginning of a line that was cut off goes there, without a copy of the rest. */
export const READ_HEADROOM = 64 << 10;

export class LineFramer implements Framer {
  readonly #maxRecordBytes: number;
  /** Offset in the split of the first byte of the line at hand. */
  #lineAt: number;
  /** The line at hand as far as it has come; empty while an over-long one is skipped. */
  #waiting: Buffer[] = [];
  #size = 0;
  #skipping = false;
  #broken: { offset: number; reason: string }[] = [];
  readonly #spans = new SpanList();

  constructor(offset: number, maxRecordBytes: number) {
    this.#lineAt = offset;
    this.#maxRecordBytes = maxRecordBytes;
  }

  get pending(): number {
    return this.#size;
  }

  snapshot(): Json {
    return null;
  }

  push(bytes: Uint8Array, headroom = 0): FramedRecords {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const last = chunk.lastIndexOf(LF);
    if (last < 0) {
      this.#keep(chunk);
      return this.#take(Buffer.alloc(0));
    }
    let block = chunk;
    let whole = last + 1;
    if (this.#skipping || this.#size > 0) {
      const first = chunk.indexOf(LF) + 1;
      if (this.#skipping || this.#size + first - 1 > this.#maxRecordBytes) {
        this.#tooLong(this.#lineAt);
        block = chunk.subarray(first);
        whole -= first;
        this.#lineAt += this.#size + first;
      } else {
        block = this.#joined(chunk, headroom);
        whole += this.#size;
      }
    }
    this.#waiting = [];
    this.#size = 0;
    this.#skipping = false;
    this.#cut(block, whole);
    this.#keep(Buffer.from(block.subarray(whole)));
    return this.#take(block);
  }

  end(): FramedRecords {
    if (this.#skipping) {
      this.#tooLong(this.#lineAt);
      this.#lineAt += this.#size;
      this.#size = 0;
      return this.#take(Buffer.alloc(0));
    }
    const block = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#size = 0;
    this.#cut(block, block.length);
    return this.#take(block);
  }

  /** The beginning that waits, and the chunk behind it: in the room before the chunk, where it fits. */
  #joined(chunk: Buffer, headroom: number): Buffer {
    if (this.#size > headroom) return Buffer.concat([...this.#waiting, chunk]);
    const from = chunk.byteOffset - this.#size;
    const block = Buffer.from(chunk.buffer as ArrayBuffer, from, this.#size + chunk.length);
    let at = 0;
    for (const part of this.#waiting) at += part.copy(block, at);
    return block;
  }

  #take(bytes: Buffer): FramedRecords {
    const framed: FramedRecords = { bytes, ...this.#spans.take() };
    if (this.#broken.length > 0) {
      framed.broken = this.#broken;
      this.#broken = [];
    }
    return framed;
  }

  #tooLong(offset: number): void {
    this.#broken.push({ offset, reason: `a line is longer than ${this.#maxRecordBytes} bytes` });
  }

  /** The beginning of a line whose end has not come. */
  #keep(part: Buffer): void {
    if (part.length === 0) return;
    this.#size += part.length;
    if (this.#size > this.#maxRecordBytes) {
      this.#skipping = true;
      this.#waiting = [];
    } else if (!this.#skipping) this.#waiting.push(part);
  }

  /** `b[0, end)` holds whole lines and begins where the line at hand does. */
  #cut(b: Buffer, end: number): void {
    const base = this.#lineAt;
    let p = 0;
    while (p < end) {
      let e = b.indexOf(LF, p);
      if (e < 0 || e >= end) e = end;
      let start = p;
      let stop = e;
      while (start < stop && (b[start] as number) <= 0x20 && isSpace(b[start] as number)) start++;
      while (stop > start && isSpace(b[stop - 1] as number)) stop--;
      if (e - p > this.#maxRecordBytes) this.#tooLong(base + p);
      else if (stop > start) this.#spans.add(start, stop, base + start);
      p = e + 1;
    }
    this.#lineAt = base + end;
  }
}

function isSpace(c: number): boolean {
  return c === 0x20 || c === 0x0d || c === 0x09;
}
