/**
 * A JSON document that arrives in pieces: validated as it comes and cut into records, the elements of an array or the value at
 * a path, while no more than one record is held. The framings array and document stand on it.
 * Invariant: behind a record all that matters is `snapshot()`; the containers around it follow from the path.
 */
import { isUtf8 } from 'node:buffer';
import type { FramedRecords, Framer, SelectPath } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';
import type { Json } from '../state/store.ts';
import { giveBuffer, takeBuffer } from './buffers.ts';
import { decodeString } from './decode.ts';
import { lastFailure, MAX_DEPTH, skipSpace, skipString, skipValue } from './grammar.ts';
import { SpanList } from './spans.ts';
import { firstBadUtf8 } from './utf8.ts';

/** What the machine waits for. */
const VALUE = 0;
const FIRST_VALUE = 1; // a value, or `]`
const FIRST_KEY = 2; // a key, or `}`
const KEY = 3;
const COLON = 4;
const AFTER = 5; // behind a value: a comma, a closing bracket, or the end of the document

const NONE = -1;
/** Bytes of an escaped surrogate pair: what may be missing of a text that is cut off. */
const LONGEST_ESCAPE = 12;
const EMPTY = Buffer.alloc(0);

export interface StreamOptions {
  /** What the document is called in messages. */
  name: string;
  /** What becomes the stream; an empty path is the document itself. */
  select: SelectPath;
  /** An array there is a stream of its elements; `must`: anything else is an error. */
  spread: 'no' | 'yes' | 'must';
  maxRecordBytes: number;
  /** Nothing but white space is no records, and no broken document. */
  mayBeBlank?: boolean;
}

/** The state behind a record: the containers around it are those that the path names. `inside`: it is an element of an array. */
interface State {
  inside: boolean;
}

export class JsonStream implements Framer {
  readonly #o: StreamOptions;
  readonly #path: readonly (string | number)[];
  #state = VALUE;
  /** The open containers, a character each. */
  #open: string[];
  /** How many of them, from the outside, lie on the path. */
  #chain: number;
  /** Index of the element at hand, for each open array on the path, by depth. */
  #indices: number[];
  #found: boolean;
  /** Inside the selected array: its elements are the records. */
  #inside: boolean;
  /** The member at hand is the one the path names. */
  #hit = false;

  #b: Buffer = Buffer.alloc(0);
  /** Offset in the split of `#b[0]`. */
  #base: number;
  #p = 0;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #recordAt = NONE;
  #recordDepth = 0;
  /** Inside a text that is no part of a record: it is checked and forgotten as it comes. */
  #inText = false;
  /** What is wrong behind the records that were cut before it: thrown once those are given out. */
  #failure: { error: unknown } | undefined;
  /** The record is the selected value itself. */
  #whole = false;
  /** Behind the last record, in `#b`: where a later attempt goes on, and the state there; none before the first record. */
  #safe = 0;
  #safeState: State | undefined;
  #spans = new SpanList();

  constructor(options: StreamOptions, at: { offset: number; state: Json }) {
    this.#o = options;
    this.#path = options.select.segments;
    this.#base = at.offset;
    const state = (at.state ?? undefined) as State | undefined;
    this.#safeState = state;
    this.#open = state === undefined ? [] : this.#path.map((segment) => (typeof segment === 'string' ? '{' : '['));
    if (state?.inside === true) this.#open.push('[');
    this.#chain = state === undefined ? 0 : this.#path.length;
    this.#indices = state === undefined ? [] : [0, ...this.#path.map(Number)];
    this.#found = state !== undefined;
    this.#inside = state?.inside ?? false;
    if (state !== undefined) this.#state = AFTER;
  }

  get pending(): number {
    return this.#b.length - this.#safe + this.#waitingBytes;
  }

  snapshot(): Json {
    return this.#safeState === undefined ? null : { inside: this.#safeState.inside };
  }

  push(bytes: Uint8Array): FramedRecords {
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#waiting.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    this.#waitingBytes += bytes.byteLength;
    // What is left of `#b` is an unfinished token or record: joined again only once it has doubled, so the cost stays linear.
    if (this.#waitingBytes < this.#b.length - this.#keepFrom()) return this.#take();
    this.#join();
    try {
      this.#run(false);
      // Beyond the limit by so much that a token which is cut off here can't turn out to be broken in front of it.
      this.#checkSize(this.#keepFrom(), this.#b.length - LONGEST_ESCAPE);
    } catch (error) {
      // The records in front of it come out first, however the bytes came in.
      if (this.#spans.count === 0) throw error;
      this.#failure = { error };
    }
    return this.#take();
  }

  end(): FramedRecords {
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#join();
    this.#run(true);
    // Any token would have changed the state, and where a record was given out, the state is that behind it.
    const isBlank = this.#state === VALUE && this.#open.length === 0 && this.#p === this.#b.length && !this.#inText;
    if (isBlank && this.#o.mayBeBlank === true) {
      this.#safe = this.#b.length;
      return this.#take();
    }
    if (this.#state !== AFTER || this.#open.length > 0) this.#broken(this.#b.length, 'the document ends too early');
    if (!this.#found) this.#missing();
    this.#safe = this.#b.length;
    return this.#take();
  }

  /** First byte of `#b` that is still needed. */
  #keepFrom(): number {
    return this.#recordAt === NONE ? this.#p : this.#recordAt;
  }

  #join(): void {
    if (this.#waitingBytes === 0) return;
    const from = this.#keepFrom();
    const rest = this.#b.subarray(from);
    const first = this.#waiting[0] as Buffer;
    const alone = rest.length === 0 && this.#waiting.length === 1;
    const before = this.#b;
    this.#rebase(from, alone ? first : joined([rest, ...this.#waiting], rest.length + this.#waitingBytes));
    // No record stands in it: those that did were given away with it.
    giveBuffer(before);
    if (!alone) for (const chunk of this.#waiting) giveBuffer(chunk);
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  /** Gives the records away with the bytes they stand in; what is not finished stays here, as a copy. */
  #take(): FramedRecords {
    const { spans, offsets, count } = this.#spans.take();
    if (count === 0) return { bytes: EMPTY, spans, offsets, count };
    const bytes = this.#b;
    const from = this.#keepFrom();
    this.#rebase(from, Buffer.from(bytes.subarray(from)));
    return { bytes, spans, offsets, count, whole: this.#whole };
  }

  /** From here on `#b` is `bytes`, which begin where `from` was. */
  #rebase(from: number, bytes: Buffer): void {
    this.#base += from;
    this.#p -= from;
    // Below zero where bytes before the ones that are kept have not become part of a record.
    this.#safe -= from;
    if (this.#recordAt !== NONE) this.#recordAt -= from;
    this.#b = bytes;
  }

  #run(last: boolean): void {
    const b = this.#b;
    const end = b.length;
    let p = this.#p;
    for (;;) {
      if (this.#inText) {
        p = this.#restOfText(p, last);
        this.#p = p;
        if (this.#inText) return;
      }
      p = skipSpace(b, p, end);
      this.#p = p;
      if (p >= end) return;
      const c = b[p] as number;
      switch (this.#state) {
        case FIRST_VALUE:
          if (c === 0x5d) {
            p = this.#close(p);
            continue;
          }
          break;
        case VALUE:
          break;
        case FIRST_KEY:
        case KEY: {
          if (c === 0x7d && this.#state === FIRST_KEY) {
            p = this.#close(p);
            continue;
          }
          if (c !== 0x22) this.#broken(p, 'a key in quotes is missing');
          const q = this.#string(p, last);
          if (q === NONE) return;
          if (this.#recordAt === NONE && this.#chain === this.#open.length)
            this.#hit = decodeString(b, p, q) === this.#path[this.#open.length - 1];
          p = q;
          this.#state = COLON;
          continue;
        }
        case COLON:
          if (c !== 0x3a) this.#broken(p, 'a colon is missing behind a key');
          p++;
          this.#state = VALUE;
          continue;
        default:
          p = this.#afterValue(p, c);
          continue;
      }
      const q = this.#value(p, c, last);
      if (q === NONE) return;
      p = q;
    }
  }

  /** `p` is at the first byte of a value; returns the offset behind its first token, or NONE where the token is not whole yet. */
  #value(p: number, c: number, last: boolean): number {
    const b = this.#b;
    if (c === 0x7b || c === 0x5b) {
      const onPath = this.#begin(p, c);
      if (this.#open.length >= MAX_DEPTH) this.#broken(p, `more than ${MAX_DEPTH} levels of nesting`);
      this.#open.push(c === 0x7b ? '{' : '[');
      if (onPath) {
        this.#chain = this.#open.length;
        this.#indices[this.#chain] = 0;
        if (c === 0x5b) this.#hit = this.#path[this.#chain - 1] === 0;
      }
      this.#state = c === 0x7b ? FIRST_KEY : FIRST_VALUE;
      return p + 1;
    }
    if (c === 0x22) {
      this.#begin(p, c);
      if (this.#recordAt === NONE) {
        this.#inText = true;
        this.#state = AFTER;
        return p + 1;
      }
      const q = this.#string(p, last);
      if (q !== NONE) this.#ended(q);
      return q;
    }
    let q = p;
    while (q < b.length && !isDelimiter(b[q] as number)) q++;
    if (q === b.length && !last) return NONE;
    this.#checkSize(this.#keepFrom(), q);
    const stop = skipValue(b, p, q, 0);
    if (stop < 0) this.#broken(lastFailure().at, lastFailure().reason);
    if (stop < q) this.#broken(stop, 'unexpected text behind a value');
    this.#begin(p, c);
    this.#ended(q);
    return q;
  }

  /** Offset behind the key, or the string of a record, at `p`; NONE where it is not whole yet. */
  #string(p: number, last: boolean): number {
    const b = this.#b;
    const q = skipString(b, p + 1, b.length);
    const { at, reason } = q < 0 ? lastFailure() : { at: q, reason: '' };
    // An escape that is cut off fails in front of the end.
    if (q < 0 && !last && at > b.length - LONGEST_ESCAPE) return NONE;
    this.#checkSize(this.#keepFrom(), at);
    // Records are checked as a whole, by whoever loads them.
    if (this.#recordAt === NONE) this.#checkUtf8(p, at);
    if (q < 0) this.#broken(at, reason);
    return q;
  }

  /** Goes on at `p` in a text that nobody wants; returns the offset behind it, or as far as it is known to be right. */
  #restOfText(p: number, last: boolean): number {
    const b = this.#b;
    const q = skipString(b, p, b.length);
    if (q >= 0) {
      this.#checkUtf8(p, q);
      this.#inText = false;
      return q;
    }
    const { at, reason } = lastFailure();
    if (last || at <= b.length - LONGEST_ESCAPE) {
      this.#checkUtf8(p, at);
      this.#broken(at, reason);
    }
    const stop = wholeCharacters(b, p, at);
    this.#checkUtf8(p, stop);
    return stop;
  }

  #checkUtf8(start: number, end: number): void {
    if (!isUtf8(this.#b.subarray(start, end))) this.#broken(firstBadUtf8(this.#b, start, end), 'invalid UTF-8');
  }

  /** A value begins: is it the selected one, a record, or on the way? Returns whether its container lies on the path. */
  #begin(p: number, c: number): boolean {
    if (this.#recordAt !== NONE) return false;
    const depth = this.#open.length;
    if (this.#inside && depth === this.#path.length + 1) {
      this.#recordAt = p;
      this.#recordDepth = depth;
      return false;
    }
    if (this.#chain !== depth || (depth > 0 && !this.#hit)) return false;
    // The last one would count; but what the first one held is on its way already.
    if (this.#found) this.#broken(p, `${describePath(this.#path.slice(0, depth))} stands twice in the document`);
    if (depth < this.#path.length) return c === (typeof this.#path[depth] === 'string' ? 0x7b : 0x5b);
    this.#found = true;
    if (this.#o.spread !== 'no' && c === 0x5b) this.#inside = true;
    else if (this.#o.spread === 'must')
      this.#broken(p, 'it does not begin with "[": the framing array needs one array');
    else {
      this.#recordAt = p;
      this.#recordDepth = depth;
      this.#whole = true;
    }
    return false;
  }

  /** A value ended at `q`, with the containers around it open. */
  #ended(q: number): void {
    this.#state = AFTER;
    if (this.#recordAt === NONE || this.#open.length !== this.#recordDepth) return;
    this.#checkSize(this.#recordAt, q);
    this.#spans.add(this.#recordAt, q, this.#base + this.#recordAt);
    this.#recordAt = NONE;
    this.#safe = q;
    this.#safeState = { inside: this.#recordDepth > this.#path.length };
  }

  #close(p: number): number {
    this.#open.pop();
    const depth = this.#open.length;
    if (this.#chain > depth) this.#chain = depth;
    if (this.#inside && depth === this.#path.length && this.#recordAt === NONE) this.#inside = false;
    this.#ended(p + 1);
    return p + 1;
  }

  #afterValue(p: number, c: number): number {
    const depth = this.#open.length;
    if (depth === 0)
      this.#broken(p, 'there is more text behind its end; if it holds many values, set "framing: lines" on parse_json');
    const isObject = this.#open[depth - 1] === '{';
    if (c === 0x2c) {
      this.#state = isObject ? KEY : VALUE;
      if (!isObject && this.#recordAt === NONE && this.#chain === depth) {
        const index = (this.#indices[depth] ?? 0) + 1;
        this.#indices[depth] = index;
        this.#hit = this.#path[depth - 1] === index;
      }
      return p + 1;
    }
    if (c !== (isObject ? 0x7d : 0x5d)) this.#broken(p, 'a comma or a closing bracket is missing');
    return this.#close(p);
  }

  /** What has to be held reaches from `from` to `p` at least: refused where that is too large. */
  #checkSize(from: number, p: number): void {
    if (p - from <= this.#o.maxRecordBytes) return;
    throw this.#error(from, `a record is larger than ${this.#o.maxRecordBytes} bytes`);
  }

  #missing(): void {
    const { strict, fallback } = this.#o.select;
    if (fallback !== undefined) {
      const bytes = Buffer.from(fallback);
      this.#spans.add(this.#b.length, this.#b.length + bytes.length, this.#base + this.#b.length);
      this.#b = Buffer.concat([this.#b, bytes]);
      this.#whole = true;
      return;
    }
    if (strict)
      this.#broken(
        this.#b.length,
        `${describePath(this.#path)} is not in it; check the path, or set "strict: false" or "default_on_missing"`,
      );
  }

  #broken(at: number, reason: string): never {
    this.#checkSize(this.#keepFrom(), at);
    throw this.#error(at, reason);
  }

  #error(at: number, reason: string): OxiError {
    const offset = this.#base + at;
    return new OxiError('DOCUMENT_BROKEN', `${this.#o.name}: byte ${offset}: ${reason}`, {
      place: { file: this.#o.name, offset },
    });
  }
}

/** The end of the last whole character of `b[start, end)`. */
function wholeCharacters(b: Buffer, start: number, end: number): number {
  for (let i = end - 1; i >= start && i >= end - 3; i--) {
    const c = b[i] as number;
    if (c < 0x80) return end;
    if (c < 0xc0) continue;
    return i + (c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4) > end ? i : end;
  }
  return end;
}

function joined(parts: readonly Buffer[], size: number): Buffer {
  const whole = takeBuffer(size).subarray(0, size);
  let at = 0;
  for (const part of parts) at += part.copy(whole, at);
  return whole;
}

function isDelimiter(c: number): boolean {
  return c <= 0x20 || c === 0x2c || c === 0x5d || c === 0x7d || c === 0x5b || c === 0x7b || c === 0x22 || c === 0x3a;
}

/** `.data.items[0]`, as a person would write it. */
export function describePath(path: readonly (string | number)[]): string {
  if (path.length === 0) return 'the document';
  return path
    .map((s) => (typeof s === 'number' ? `[${s}]` : /^[A-Za-z_][\w-]*$/.test(s) ? `.${s}` : `[${JSON.stringify(s)}]`))
    .join('');
}
