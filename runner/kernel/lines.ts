/** Cuts lines into records: one JSON text a line, LF or CRLF, blank lines are nothing. State between two lines: none. */
import type { Chunker, Cutter, FramedRecords, Piece } from '../engine/contracts.ts';
import type { Json } from '../state/store.ts';
import { giveBuffer } from './buffers.ts';
import { ChunkedFramer } from './chunked-framer.ts';
import { SpanList } from './spans.ts';

const LF = 0x0a;

/** Room that a source leaves in front of what it reads: the beginning of a line that was cut off goes there, without a copy of the rest. */
export const READ_HEADROOM = 64 << 10;

/** The cheap half: finds where the last whole line ends. */
export class LineChunker implements Chunker {
  readonly longestLine: number;
  /** Offset in the split of the first byte of the line at hand. */
  #lineAt: number;
  /** The line at hand as far as it has come; empty while an over-long one is skipped. */
  #waiting: Buffer[] = [];
  #size = 0;
  #skipping = false;
  #broken: { offset: number; reason: string }[] = [];

  constructor(offset: number, maxRecordBytes: number) {
    this.#lineAt = offset;
    this.longestLine = maxRecordBytes;
  }

  get pending(): number {
    return this.#size;
  }

  snapshot(): Json {
    return null;
  }

  push(bytes: Uint8Array, headroom = 0): Piece | undefined {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const last = chunk.lastIndexOf(LF);
    if (last < 0) {
      this.#keep(chunk);
      return undefined;
    }
    let block = chunk;
    let whole = last + 1;
    if (this.#skipping || this.#size > 0) {
      const first = chunk.indexOf(LF) + 1;
      if (this.#skipping || this.#size + first - 1 > this.longestLine) {
        this.#tooLong();
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
    const rest = Buffer.from(block.subarray(whole));
    const piece = this.#piece(block.subarray(0, whole));
    this.#keep(rest);
    return piece;
  }

  end(): Piece | undefined {
    if (this.#skipping) {
      this.#tooLong();
      this.#lineAt += this.#size;
      this.#size = 0;
      return this.#piece(Buffer.alloc(0));
    }
    const block = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#size = 0;
    return this.#piece(block);
  }

  #piece(bytes: Buffer): Piece {
    const piece: Piece = { bytes, offset: this.#lineAt };
    this.#lineAt += bytes.length;
    if (this.#broken.length > 0) {
      piece.broken = this.#broken;
      this.#broken = [];
    }
    return piece;
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

  #tooLong(): void {
    this.#broken.push({ offset: this.#lineAt, reason: tooLong(this.longestLine) });
  }

  /** The beginning of a line whose end has not come. */
  #keep(part: Buffer): void {
    if (part.length === 0) return;
    this.#size += part.length;
    if (this.#size > this.longestLine) {
      this.#skipping = true;
      this.#waiting = [];
      giveBuffer(part);
    } else if (!this.#skipping) this.#waiting.push(part);
  }
}

/** The other half: every line that is not blank is a record. */
export class LineCutter implements Cutter {
  readonly longestLine: number;
  readonly #spans = new SpanList();

  constructor(maxRecordBytes: number) {
    this.longestLine = maxRecordBytes;
  }

  cut({ bytes, offset, broken: before }: Piece): FramedRecords {
    const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const end = b.length;
    const broken = [...(before ?? [])];
    let p = 0;
    while (p < end) {
      let e = b.indexOf(LF, p);
      if (e < 0) e = end;
      let start = p;
      let stop = e;
      while (start < stop && (b[start] as number) <= 0x20 && isSpace(b[start] as number)) start++;
      while (stop > start && isSpace(b[stop - 1] as number)) stop--;
      if (e - p > this.longestLine) broken.push({ offset: offset + p, reason: tooLong(this.longestLine) });
      else if (stop > start) this.#spans.add(start, stop, offset + start);
      p = e + 1;
    }
    const framed: FramedRecords = { bytes, ...this.#spans.take() };
    if (broken.length > 0) framed.broken = broken;
    return framed;
  }
}

/** Both halves in one place. */
export class LineFramer extends ChunkedFramer {
  constructor(offset: number, maxRecordBytes: number) {
    super(new LineChunker(offset, maxRecordBytes), new LineCutter(maxRecordBytes));
  }
}

function tooLong(bytes: number): string {
  return `a line is longer than ${bytes} bytes`;
}

function isSpace(c: number): boolean {
  return c === 0x20 || c === 0x0d || c === 0x09;
}
