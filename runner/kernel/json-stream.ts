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

/** What the machine waits for. */
const VALUE = 0;
const FIRST_VALUE = 1; // a value, or `]`
const FIRST_KEY = 2; // a key, or `}`
const KEY = 3;
const COLON = 4;
const AFTER = 5; // behind a value: a comma, a closing bracket, or the end of the document

const NONE = -1;
const EMPTY = Buffer.alloc(0);

export interface StreamOptions {
  /** What the document is called in messages. */
  name: string;
  /** What becomes the stream; an empty path is the document itself. */
  select: SelectPath;
  /** An array there is a stream of its elements; `must`: anything else is an error. */
  spread: 'no' | 'yes' | 'must';
  maxRecordBytes: number;
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
    this.#waiting.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    this.#waitingBytes += bytes.byteLength;
    // What is left of `#b` is an unfinished token or record: joined again only once it has doubled, so the cost stays linear.
    if (this.#waitingBytes < this.#b.length - this.#keepFrom()) return this.#take();
    this.#join();
    this.#run(false);
    return this.#take();
  }

  end(): FramedRecords {
    this.#join();
    this.#run(true);
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
    this.#rebase(from, alone ? first : joined([rest, ...this.#waiting], rest.length + this.#waitingBytes));
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
    let q: number;
    if (c === 0x22) q = this.#string(p, last);
    else {
      q = p;
      while (q < b.length && !isDelimiter(b[q] as number)) q++;
      if (q === b.length && !last) return NONE;
      const stop = skipValue(b, p, q, 0);
      if (stop < 0) this.#broken(lastFailure().at, lastFailure().reason);
      if (stop < q) this.#broken(stop, 'unexpected text behind a value');
    }
    if (q === NONE) return NONE;
    this.#begin(p, c);
    this.#ended(q);
    this.#state = AFTER;
    return q;
  }

  /** Offset behind the string at `p`, or NONE where it is not whole yet. */
  #string(p: number, last: boolean): number {
    const b = this.#b;
    const q = skipString(b, p + 1, b.length);
    if (q < 0) {
      const failure = lastFailure();
      // An escape that is cut off fails in front of the end: up to twelve bytes may still be missing.
      if (!last && failure.at > b.length - 12) {
        this.#checkSize(b.length);
        return NONE;
      }
      this.#broken(failure.at, failure.reason);
    }
    if (this.#recordAt === NONE && !isUtf8(b.subarray(p, q))) this.#broken(p, 'invalid UTF-8 in a string');
    return q;
  }

  /** A value begins: is it the selected one, a record, or on the way? Returns whether its container lies on the path. */
  #begin(p: number, c: number): boolean {
    const depth = this.#open.length;
    if (this.#recordAt !== NONE) {
      this.#checkSize(p);
      return false;
    }
    if (this.#inside && depth === this.#path.length + 1) {
      this.#recordAt = p;
      this.#recordDepth = depth;
      return false;
    }
    if (this.#chain !== depth || (depth > 0 && !this.#hit)) return false;
    if (depth < this.#path.length) return c === (typeof this.#path[depth] === 'string' ? 0x7b : 0x5b);
    if (this.#found) this.#broken(p, `${describePath(this.#path)} stands twice in the document`);
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
    if (this.#recordAt === NONE || this.#open.length !== this.#recordDepth) return;
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
    this.#state = AFTER;
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

  /** The record at hand reaches to `p` at least: refused where that is too large to hold. */
  #checkSize(p: number): void {
    if (p - this.#keepFrom() > this.#o.maxRecordBytes)
      this.#broken(this.#keepFrom(), `a record is larger than ${this.#o.maxRecordBytes} bytes`);
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
    const offset = this.#base + at;
    throw new OxiError('DOCUMENT_BROKEN', `${this.#o.name}: byte ${offset}: ${reason}`, {
      place: { file: this.#o.name, offset },
    });
  }
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
