/**
 * Makes one level of a record with nested objects. Works on spans: values are copied as they stand, keys are joined from their
 * source text, nothing is decoded unless a key holds escapes. Of keys that become equal the last one stays, at the place of
 * the first, as everywhere.
 */
import { decodeString } from './decode.ts';
import { skipString, skipValue } from './grammar.ts';
import type { ByteWriter } from './writer.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const FNV_START = 0x811c9dc5 | 0;
const FNV_PRIME = 0x01000193;
/** So many members have a table of their own making. */
const FEW = 1024;
/** A record may grow by its keys; beyond this and so many times its size it is refused. */
const MAX_BYTES = 64 << 20;
const MAX_GROWTH = 4;

export interface FlattenOptions {
  /** Objects inside the record are opened. */
  objects: boolean;
  /** explode: one string of the values, joined by commas. index: a key an element. drop: they go. keep: they stay. */
  arrays: 'explode' | 'index' | 'drop' | 'keep';
  delimiter: string;
  /** What stands around the index of an element, behind the key of its array. */
  index: { before: string; after: string };
  /** Objects and arrays that are opened below the record, one inside the other, at most. */
  maxDepth: number;
}

export class Flattener {
  readonly #o: FlattenOptions;
  readonly #delimiter: Buffer;
  readonly #before: Buffer;
  readonly #after: Buffer;
  #b: Buffer = Buffer.alloc(0);
  #end = 0;
  #out: ByteWriter;
  #limit = 0;
  /** The joined key of the container at hand, as text inside quotes. */
  #key: Buffer = Buffer.alloc(256);
  #keyLength = 0;
  #members = 0;
  /** Of each member that was written: where it and its key stand in `#out`. */
  readonly #start: number[] = [];
  readonly #keyEnd: number[] = [];
  readonly #stop: number[] = [];
  readonly #hash: number[] = [];
  readonly #escaped: boolean[] = [];
  /** The member to write in this place: another one where a later key was equal; -1 where it moved to the place of the first. */
  readonly #use: number[] = [];
  #collided = false;
  /** The first few members by the hash of their key, counted from 1; 0 is free. */
  readonly #slots = new Int32Array(4 * FEW);
  /** All members by their key, once they are many. */
  #many = new Map<string, number>();

  constructor(options: FlattenOptions, out: ByteWriter) {
    this.#o = options;
    this.#out = out;
    this.#delimiter = inside(options.delimiter);
    this.#before = inside(options.index.before);
    this.#after = inside(options.index.after);
  }

  /** From here on records are written to `out`. */
  writeTo(out: ByteWriter): void {
    this.#out = out;
  }

  /**
   * Writes the valid compact record `b[start, end)`, flat. False where it would become larger than `limitOf` allows; nothing is
   * written then. What is no object is copied.
   */
  write(b: Buffer, start: number, end: number): boolean {
    const out = this.#out;
    if (b[start] !== OPEN_BRACE) {
      out.copy(b, start, end);
      return true;
    }
    const at = out.length;
    this.#b = b;
    this.#end = end;
    this.#limit = at + limitOf(end - start);
    this.#keyLength = 0;
    this.#members = 0;
    this.#collided = false;
    out.byte(OPEN_BRACE);
    const stop = this.#object(start, 0);
    out.byte(CLOSE_BRACE);
    this.#forget();
    if (stop < 0) {
      out.length = at;
      return false;
    }
    if (this.#collided) this.#rewrite(at);
    return true;
  }

  /** The object at `p`, with `#key` in front of its keys; returns the offset behind it, or -1 where the record became too large. */
  #object(p: number, depth: number): number {
    const b = this.#b;
    const outer = this.#keyLength;
    p++;
    if (b[p] === CLOSE_BRACE) return p + 1;
    for (;;) {
      const keyEnd = skipString(b, p + 1, this.#end);
      const value = keyEnd + 1;
      const c = b[value] as number;
      if (c === OPEN_BRACE || c === OPEN_BRACKET || depth > 0) {
        if (depth > 0) this.#push(this.#delimiter, 0, this.#delimiter.length);
        this.#push(b, p + 1, keyEnd - 1);
        p = this.#value(value, c, depth);
        this.#keyLength = outer;
      } else {
        const stop = skipValue(b, value, this.#end, 0);
        this.#member(b, p + 1, keyEnd - 1);
        this.#out.copy(b, value, stop);
        p = this.#ended(stop);
      }
      if (p < 0) return -1;
      if (b[p] !== COMMA) return p + 1;
      p++;
    }
  }

  /** The value at `p`, whose first byte is `c` and whose key is `#key`. */
  #value(p: number, c: number, depth: number): number {
    const b = this.#b;
    const mayOpen = depth < this.#o.maxDepth;
    if (c === OPEN_BRACE && this.#o.objects && mayOpen && b[p + 1] !== CLOSE_BRACE) return this.#object(p, depth + 1);
    if (c === OPEN_BRACKET) {
      switch (this.#o.arrays) {
        case 'drop':
          return skipValue(b, p, this.#end, 0);
        case 'explode':
          return this.#explode(p);
        case 'index':
          if (mayOpen && b[p + 1] !== CLOSE_BRACKET) return this.#elements(p, depth + 1);
          break;
        case 'keep':
          break;
      }
    }
    const stop = skipValue(b, p, this.#end, 0);
    this.#member(this.#key, 0, this.#keyLength);
    this.#out.copy(b, p, stop);
    return this.#ended(stop);
  }

  /** The array at `p`: a key an element. */
  #elements(p: number, depth: number): number {
    const b = this.#b;
    const outer = this.#keyLength;
    p++;
    for (let index = 0; ; index++) {
      const digits = Buffer.from(String(index));
      this.#push(this.#before, 0, this.#before.length);
      this.#push(digits, 0, digits.length);
      this.#push(this.#after, 0, this.#after.length);
      p = this.#value(p, b[p] as number, depth);
      this.#keyLength = outer;
      if (p < 0) return -1;
      if (b[p] !== COMMA) return p + 1;
      p++;
    }
  }

  /** The array at `p`: its values in one string, joined by commas. */
  #explode(p: number): number {
    const b = this.#b;
    const out = this.#out;
    this.#member(this.#key, 0, this.#keyLength);
    out.byte(QUOTE);
    p++;
    while (b[p] !== CLOSE_BRACKET) {
      if (b[p] === COMMA) {
        out.byte(COMMA);
        p++;
      }
      const stop = skipValue(b, p, this.#end, 0);
      const c = b[p];
      // The escapes of a text mean in the joined text what they mean in it.
      if (c === QUOTE) out.copy(b, p + 1, stop - 1);
      else if (c === OPEN_BRACE || c === OPEN_BRACKET) this.#quoted(p, stop);
      else out.copy(b, p, stop);
      p = stop;
    }
    out.byte(QUOTE);
    return this.#ended(p + 1);
  }

  /** JSON text inside a string. */
  #quoted(start: number, end: number): void {
    const b = this.#b;
    const out = this.#out;
    let from = start;
    for (let p = start; p < end; p++) {
      const c = b[p];
      if (c !== QUOTE && c !== BACKSLASH) continue;
      out.copy(b, from, p);
      out.byte(BACKSLASH);
      from = p;
    }
    out.copy(b, from, end);
  }

  #push(from: Buffer, start: number, end: number): void {
    const length = this.#keyLength + end - start;
    if (length > this.#key.length) {
      const bigger = Buffer.alloc(length * 2);
      this.#key.copy(bigger, 0, 0, this.#keyLength);
      this.#key = bigger;
    }
    const key = this.#key;
    // Names are short, and a call costs as much as many bytes.
    for (let p = start, o = this.#keyLength; p < end; p++) key[o++] = from[p] as number;
    this.#keyLength = length;
  }

  /** Begins a member: writes its key and the colon, and looks whether that key was there. */
  #member(key: Buffer, from: number, to: number): void {
    const out = this.#out;
    const i = this.#members++;
    if (i > 0) out.byte(COMMA);
    const start = out.length;
    out.byte(QUOTE);
    out.copy(key, from, to);
    out.byte(QUOTE);
    this.#start[i] = start;
    this.#keyEnd[i] = out.length;
    this.#use[i] = i;
    let hash = FNV_START;
    let escaped = false;
    for (let p = from; p < to; p++) {
      const c = key[p] as number;
      if (c === BACKSLASH) escaped = true;
      hash = Math.imul(hash ^ c, FNV_PRIME);
    }
    if (escaped) {
      hash = FNV_START;
      for (const c of Buffer.from(this.#keyText(i))) hash = Math.imul(hash ^ c, FNV_PRIME);
    }
    this.#escaped[i] = escaped;
    this.#hash[i] = hash;
    this.#remember(i, hash);
    out.byte(COLON);
  }

  /** Enters member `i`, or puts it in the place of the one with the same key. */
  #remember(i: number, hash: number): void {
    if (i >= FEW) {
      this.#rememberMany(i);
      return;
    }
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = spread(hash) & mask;
    for (let other = slots[slot] as number; other !== 0; other = slots[slot] as number) {
      if (this.#hash[other - 1] === hash && this.#isSameKey(other - 1, i)) {
        this.#replace(other - 1, i);
        return;
      }
      slot = (slot + 1) & mask;
    }
    slots[slot] = i + 1;
  }

  /** Of many keys somebody may have chosen ones with the same hash: the platform's own table is safe against that. */
  #rememberMany(i: number): void {
    if (this.#many.size === 0) for (let k = 0; k < i; k++) if (this.#use[k] !== -1) this.#many.set(this.#keyText(k), k);
    const key = this.#keyText(i);
    const first = this.#many.get(key);
    if (first === undefined) this.#many.set(key, i);
    else this.#replace(first, i);
  }

  #replace(first: number, i: number): void {
    this.#use[first] = i;
    this.#use[i] = -1;
    this.#collided = true;
  }

  #isSameKey(i: number, k: number): boolean {
    if (this.#escaped[i] || this.#escaped[k]) return this.#keyText(i) === this.#keyText(k);
    const start = this.#start[i] as number;
    const other = this.#start[k] as number;
    const length = (this.#keyEnd[i] as number) - start;
    if ((this.#keyEnd[k] as number) - other !== length) return false;
    const { bytes } = this.#out;
    for (let p = 1; p < length; p++) if (bytes[start + p] !== bytes[other + p]) return false;
    return true;
  }

  #keyText(i: number): string {
    return decodeString(this.#out.bytes, this.#start[i] as number, this.#keyEnd[i] as number);
  }

  /** The member at hand is whole; returns `p`, or -1 where the record became too large. */
  #ended(p: number): number {
    this.#stop[this.#members - 1] = this.#out.length;
    return this.#out.length > this.#limit ? -1 : p;
  }

  /** Nothing is known of any key. */
  #forget(): void {
    const slots = this.#slots;
    if (this.#members > FEW) this.#many = new Map();
    if (this.#members * 8 > slots.length) {
      slots.fill(0);
      return;
    }
    const mask = slots.length - 1;
    for (let i = 0; i < this.#members; i++) {
      // A run of taken slots is emptied from here to its end; whatever lies before has an entry that begins there.
      for (let slot = spread(this.#hash[i] as number) & mask; slots[slot] !== 0; slot = (slot + 1) & mask)
        slots[slot] = 0;
    }
  }

  /** Some keys were equal: the record, which began at `at`, is written again without the earlier ones. */
  #rewrite(at: number): void {
    const out = this.#out;
    const written = Buffer.from(out.bytes.subarray(at, out.length));
    out.length = at;
    out.byte(OPEN_BRACE);
    let first = true;
    for (let i = 0; i < this.#members; i++) {
      const from = this.#use[i] as number;
      if (from < 0) continue;
      if (!first) out.byte(COMMA);
      first = false;
      out.copy(written, (this.#start[from] as number) - at, (this.#stop[from] as number) - at);
    }
    out.byte(CLOSE_BRACE);
  }
}

/** Bytes that a flat record may have at most, by those of its source. */
export function limitOf(size: number): number {
  return Math.max(MAX_BYTES, MAX_GROWTH * size);
}

/** Text as it stands between the quotes of a JSON string. */
function inside(text: string): Buffer {
  return Buffer.from(JSON.stringify(text).slice(1, -1));
}

/** The low bits of FNV alone are poor. */
function spread(hash: number): number {
  return (hash ^ (hash >>> 15)) >>> 0;
}
