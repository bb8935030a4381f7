/**
 * Makes strict JSON of text with comments and trailing commas, as it streams: both become white space in place, so every byte
 * keeps its offset. No more than two bytes are held back, whatever the text: a comma whose fate is open moves along with the
 * white space behind it.
 */
import type { FramedRecords, Framer } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';
import type { Json } from '../state/store.ts';

const LF = 0x0a;
const SPACE = 0x20;
const QUOTE = 0x22;
const STAR = 0x2a;
const COMMA = 0x2c;
const SLASH = 0x2f;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const NONE = -1;

type Where = 'outside' | 'string' | 'line comment' | 'comment';

export interface LenientOptions {
  comments: boolean;
  trailingCommas: boolean;
  /** A line feed ends a record, and with it whatever is open in it, save a comment. */
  lines: boolean;
}

class Rewriter {
  readonly #o: LenientOptions;
  #where: Where;
  /** In a string: the next byte is escaped. In a comment: the last byte was a star. */
  #marked = false;
  /** The last byte outside strings, comments and white space. */
  #last: number;
  /** Place in the bytes at hand of a comma that may turn out to be a trailing one. */
  #comma = NONE;
  /** So many bytes at the beginning of the next ones were looked at already. */
  #seen = 0;
  /** A comment was open behind the last line feed. */
  commentAtLine: boolean;

  /** `inside`: the text begins in a comment. `behindValue`: it begins behind a value. */
  constructor(options: LenientOptions, inside: boolean, behindValue: boolean) {
    this.#o = options;
    this.#where = inside ? 'comment' : 'outside';
    this.commentAtLine = inside;
    this.#last = behindValue ? CLOSE_BRACKET : 0;
  }

  get inComment(): boolean {
    return this.#where === 'comment';
  }

  /** Rewrites `b`, which begins with what was held back; returns how many bytes at its end are to be held back. */
  rewrite(b: Uint8Array, isLast: boolean): number {
    const end = b.length;
    let p = this.#seen;
    for (; p < end; p++) {
      const c = b[p] as number;
      if (c === LF) this.#lineEnds();
      switch (this.#where) {
        case 'string':
          if (this.#marked) this.#marked = false;
          else if (c === BACKSLASH) this.#marked = true;
          else if (c === QUOTE) this.#where = 'outside';
          continue;
        case 'line comment':
        case 'comment':
          if (c !== LF) b[p] = SPACE;
          if (this.#where === 'comment' && this.#marked && c === SLASH) this.#where = 'outside';
          this.#marked = c === STAR;
          continue;
        default:
          break;
      }
      if (c === SPACE || c === LF || c === 0x0d || c === 0x09) continue;
      if (c === SLASH && this.#o.comments) {
        if (p + 1 === end) break;
        const next = b[p + 1];
        if (next === SLASH || next === STAR) {
          this.#where = next === STAR ? 'comment' : 'line comment';
          this.#marked = false;
          b[p++] = SPACE;
          b[p] = SPACE;
          continue;
        }
      }
      if (c === QUOTE) this.#where = 'string';
      if ((c === CLOSE_BRACKET || c === CLOSE_BRACE) && this.#comma !== NONE) b[this.#comma] = SPACE;
      this.#comma = c === COMMA && this.#o.trailingCommas && isBehindValue(this.#last) ? p : NONE;
      this.#last = c;
    }
    // What is left is nothing, or a slash that may begin a comment.
    this.#seen = 0;
    if (isLast) return 0;
    let held = end - p;
    if (this.#comma !== NONE) {
      held++;
      const at = end - held;
      b[this.#comma] = SPACE;
      b[at] = COMMA;
      this.#comma = 0;
      this.#seen = 1;
    }
    return held;
  }

  #lineEnds(): void {
    const goesOn = this.#where === 'comment';
    if (this.#where === 'line comment' || (this.#o.lines && !goesOn)) {
      this.#where = 'outside';
      this.#marked = false;
    }
    this.commentAtLine = goesOn;
    if (!this.#o.lines) return;
    this.#comma = NONE;
    this.#last = 0;
  }
}

/** Bytes that can only end a value, or stand in one. */
function isBehindValue(c: number): boolean {
  return c !== 0 && c !== COMMA && c !== COLON && c !== OPEN_BRACKET && c !== OPEN_BRACE;
}

/** The same bytes as strict JSON, for a look at the beginning of a text. */
export function strictCopy(bytes: Uint8Array, options: LenientOptions): Buffer {
  const copy = Buffer.from(bytes);
  new Rewriter(options, false, false).rewrite(copy, true);
  return copy;
}

interface State {
  inner: Json;
  comment: boolean;
}

/** A framer of strict JSON over text that is not. */
export class LenientFramer implements Framer {
  readonly #inner: Framer;
  readonly #o: LenientOptions & { name: string };
  readonly #rewriter: Rewriter;
  #held: Buffer = Buffer.alloc(0);
  /** Offset in the split of the next byte that comes. */
  #offset: number;
  /** Offset of the byte at which the comment at hand was seen first; close enough for a message. */
  #commentAt: number;

  constructor(
    options: LenientOptions & { name: string },
    at: { offset: number; state: Json },
    makeInner: (state: Json) => Framer,
  ) {
    const { inner, comment } = (at.state ?? { inner: null, comment: false }) as unknown as State;
    this.#o = options;
    this.#inner = makeInner(inner);
    this.#rewriter = new Rewriter(options, comment, inner !== null);
    this.#offset = at.offset;
    this.#commentAt = at.offset;
  }

  get pending(): number {
    return this.#inner.pending + this.#held.length;
  }

  snapshot(): Json {
    const inner = this.#inner.snapshot();
    const comment = this.#o.lines && this.#rewriter.commentAtLine;
    return inner === null && !comment ? null : { inner, comment };
  }

  push(bytes: Uint8Array, headroom = 0): FramedRecords {
    const held = this.#held.length;
    let room = headroom;
    let b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (held > 0 && held <= room) {
      b = Buffer.from(bytes.buffer, bytes.byteOffset - held, bytes.byteLength + held);
      this.#held.copy(b);
      room -= held;
    } else if (held > 0) {
      b = Buffer.concat([this.#held, b]);
      room = 0;
    }
    const wasInside = this.#rewriter.inComment;
    const hold = this.#rewriter.rewrite(b, false);
    if (!wasInside) this.#commentAt = this.#offset;
    this.#offset += bytes.byteLength;
    this.#held = Buffer.from(b.subarray(b.length - hold));
    return this.#inner.push(b.subarray(0, b.length - hold), room);
  }

  end(): FramedRecords {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    this.#rewriter.rewrite(rest, true);
    if (this.#rewriter.inComment) return this.#unclosed();
    // A comma or a slash: where records are not lines, the text is broken by it, and that is all there is to say.
    if (rest.length > 0) this.#inner.push(rest);
    return this.#inner.end();
  }

  #unclosed(): FramedRecords {
    const reason = 'a comment is not closed';
    if (!this.#o.lines)
      throw new OxiError('DOCUMENT_BROKEN', `${this.#o.name}: behind byte ${this.#commentAt}: ${reason}`, {
        place: { file: this.#o.name, offset: this.#commentAt },
      });
    const framed = this.#inner.end();
    return { ...framed, broken: [...(framed.broken ?? []), { offset: this.#commentAt, reason }] };
  }
}
