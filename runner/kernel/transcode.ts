/**
 * Text of other encodings, made into UTF-8 and back, piece by piece. What is no text there (a surrogate on its own, half a unit)
 * becomes bytes that every check of UTF-8 refuses, so it ends as an error of the record that it stands in.
 */
import { isUtf8 } from 'node:buffer';
import { firstBadUtf8 } from './utf8.ts';

/** Encodings whose byte order is known. */
export type Encoding = 'utf-8' | 'utf-16le' | 'utf-16be' | 'latin1';

/** Room that one step of a decoder needs: a surrogate left alone, and the character behind it. */
const STEP_BYTES = 6;
/** A byte that UTF-8 never has. */
const NO_UTF8 = 0xff;
/** Bytes that are made into other ones at a time. */
const SLICE_BYTES = 1 << 20;

export class Decoder {
  readonly #encoding: Encoding;
  /** A high surrogate that waits for its other half, and the first half of a unit; -1 where there is none. */
  #high = -1;
  #odd = -1;
  /** Of the last call of `decode`: bytes that it took, and bytes that it made. */
  read = 0;
  written = 0;

  /** `carry`: what an earlier decoder had taken and not given out. */
  constructor(encoding: Encoding, carry: string) {
    this.#encoding = encoding;
    if (carry.length >= 4) this.#high = Number.parseInt(carry.slice(0, 4), 16);
    if (carry.length % 4 === 2) this.#odd = Number.parseInt(carry.slice(-2), 16);
  }

  /** What was taken and not given out, in hexadecimal digits. */
  get carry(): string {
    const hex = (value: number, digits: number): string => (value < 0 ? '' : value.toString(16).padStart(digits, '0'));
    return hex(this.#high, 4) + hex(this.#odd, 2);
  }

  /** Decodes from `from[at]` on, to `into[to]` on, as far as both reach; `into` has room for 6 bytes at least. */
  decode(from: Uint8Array, at: number, into: Uint8Array, to: number): void {
    if (this.#encoding === 'utf-8') this.#copy(from, at, into, to);
    else if (this.#encoding === 'latin1') this.#latin1(from, at, into, to);
    else this.#utf16(from, at, into, to);
  }

  /** The text ends: what is left is no text. Returns how many bytes it made. */
  end(into: Uint8Array, to: number): number {
    let w = to;
    if (this.#high >= 0) w = three(this.#high, into, w);
    if (this.#odd >= 0) into[w++] = NO_UTF8;
    this.#high = -1;
    this.#odd = -1;
    return w - to;
  }

  #copy(from: Uint8Array, at: number, into: Uint8Array, to: number): void {
    const n = Math.min(from.length - at, into.length - to);
    into.set(from.subarray(at, at + n), to);
    this.read = n;
    this.written = n;
  }

  #latin1(from: Uint8Array, at: number, into: Uint8Array, to: number): void {
    const room = into.length - STEP_BYTES;
    let p = at;
    let w = to;
    while (p < from.length && w <= room) {
      const c = from[p++] as number;
      if (c < 0x80) into[w++] = c;
      else {
        into[w++] = 0xc0 | (c >> 6);
        into[w++] = 0x80 | (c & 0x3f);
      }
    }
    this.read = p - at;
    this.written = w - to;
  }

  #utf16(from: Uint8Array, at: number, into: Uint8Array, to: number): void {
    const room = into.length - STEP_BYTES;
    const low = this.#encoding === 'utf-16le' ? 0 : 1;
    let p = at;
    let w = to;
    if (this.#odd >= 0 && p < from.length && w <= room) {
      const next = from[p++] as number;
      const unit = low === 0 ? this.#odd | (next << 8) : (this.#odd << 8) | next;
      this.#odd = -1;
      w = this.#put(unit, into, w);
    }
    while (p + 1 < from.length && w <= room) {
      const unit = (from[p + low] as number) | ((from[p + 1 - low] as number) << 8);
      p += 2;
      if (unit < 0x80 && this.#high < 0) into[w++] = unit;
      else w = this.#put(unit, into, w);
    }
    if (p + 1 === from.length && this.#odd < 0) this.#odd = from[p++] as number;
    this.read = p - at;
    this.written = w - to;
  }

  #put(unit: number, into: Uint8Array, at: number): number {
    let w = at;
    const isLow = unit >= 0xdc00 && unit < 0xe000;
    if (this.#high >= 0) {
      const high = this.#high;
      this.#high = -1;
      if (isLow) {
        const c = 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00);
        into[w++] = 0xf0 | (c >> 18);
        into[w++] = 0x80 | ((c >> 12) & 0x3f);
        into[w++] = 0x80 | ((c >> 6) & 0x3f);
        into[w++] = 0x80 | (c & 0x3f);
        return w;
      }
      w = three(high, into, w);
    }
    if (unit < 0x80) into[w++] = unit;
    else if (unit < 0x800) {
      into[w++] = 0xc0 | (unit >> 6);
      into[w++] = 0x80 | (unit & 0x3f);
    } else if (unit >= 0xd800 && unit < 0xdc00) this.#high = unit;
    else w = three(unit, into, w);
    return w;
  }
}

/** For surrogates too: ED A0 80 to ED BF BF are no UTF-8. */
function three(unit: number, into: Uint8Array, at: number): number {
  into[at] = 0xe0 | (unit >> 12);
  into[at + 1] = 0x80 | ((unit >> 6) & 0x3f);
  into[at + 2] = 0x80 | (unit & 0x3f);
  return at + 3;
}

/** A text that the encoding of an output can't hold. */
export class EncodingError extends Error {}

export class Encoder {
  readonly #encoding: Exclude<Encoding, 'utf-8'>;
  /** The beginning of a character whose other bytes have not come. */
  #carry: Buffer;

  constructor(encoding: Exclude<Encoding, 'utf-8'>, carry: string) {
    this.#encoding = encoding;
    this.#carry = Buffer.from(carry, 'hex');
  }

  get carry(): string {
    return this.#carry.toString('hex');
  }

  /** The same text in the other encoding, in pieces. Throws EncodingError where it has no such text, or `utf8` is none. */
  *encode(utf8: Uint8Array): Generator<Buffer> {
    for (let at = 0; at < utf8.length; at += SLICE_BYTES) {
      const slice = Buffer.from(utf8.buffer, utf8.byteOffset + at, Math.min(SLICE_BYTES, utf8.length - at));
      const bytes = this.#carry.length === 0 ? slice : Buffer.concat([this.#carry, slice]);
      const whole = bytes.length - openBytes(bytes);
      this.#carry = Buffer.from(bytes.subarray(whole));
      if (whole > 0) yield this.#made(bytes.subarray(0, whole));
    }
  }

  #made(bytes: Buffer): Buffer {
    if (!isUtf8(bytes)) {
      const at = firstBadUtf8(bytes, 0, bytes.length);
      throw new EncodingError(`the byte 0x${(bytes[at] as number).toString(16)} is not UTF-8 text here`);
    }
    const text = bytes.toString('utf8');
    if (this.#encoding === 'latin1') {
      const [other] = /[\u{100}-\u{10ffff}]/u.exec(text) ?? [];
      if (other === undefined) return Buffer.from(text, 'latin1');
      const code = (other.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0');
      throw new EncodingError(`the character "${other}" (U+${code}) does not exist in latin1`);
    }
    const made = Buffer.from(text, 'utf16le');
    return this.#encoding === 'utf-16le' ? made : made.swap16();
  }
}

/** Bytes at the end that begin a character and don't end it. */
function openBytes(bytes: Buffer): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const c = bytes[bytes.length - back] as number;
    if (c < 0x80) return 0;
    if (c < 0xc0) continue;
    const size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    return size > back ? back : 0;
  }
  return 0;
}
