/** Valid JSON text in bytes to values: doubles, exact whole numbers beyond 2^53 (bigint), strings, lists, Maps in text order. */
import type { Value } from '../expressions/values.ts';
import { lastFailure, skipSpace, skipValue } from './grammar.ts';

const POWERS = Array.from({ length: 23 }, (_, i) => 10 ** i);
const MAX_EXACT = 2 ** 53;

/** The value of the compact JSON text `b[start, end)`, which has been validated. */
export function decodeValue(b: Buffer, start: number, end: number): Value {
  switch (b[start]) {
    case 0x22:
      return decodeString(b, start, end);
    case 0x74:
      return true;
    case 0x66:
      return false;
    case 0x6e:
      return null;
    case 0x7b:
    case 0x5b:
      return new Reader(b, start).value();
    default:
      return decodeNumber(b, start, end);
  }
}

/** Up to so many characters a text is put together here: a call into the runtime costs more. */
const SHORT = 6;
const CHARACTERS = Array.from({ length: 128 }, (_, c) => String.fromCharCode(c));

/** The text of a string token, quotes included in the span. */
export function decodeString(b: Buffer, start: number, end: number): string {
  if (end - start <= SHORT + 2) {
    let text = '';
    let i = start + 1;
    for (; i < end - 1; i++) {
      const c = b[i] as number;
      if (c === 0x5c || c > 0x7f) break;
      text += CHARACTERS[c] as string;
    }
    if (i === end - 1) return text;
  }
  let ascii = true;
  for (let i = start + 1; i < end - 1; i++) {
    const c = b[i] as number;
    if (c === 0x5c) return JSON.parse(b.toString('utf8', start, end)) as string;
    if (c > 0x7f) ascii = false;
  }
  return ascii ? b.toString('latin1', start + 1, end - 1) : b.toString('utf8', start + 1, end - 1);
}

/** A number token: the nearest double, or a bigint where it is written as a whole number beyond 2^53. */
function decodeNumber(b: Buffer, start: number, end: number): number | bigint {
  const negative = b[start] === 0x2d;
  let mantissa = 0;
  let digits = 0;
  let point = -1;
  for (let i = negative ? start + 1 : start; i < end; i++) {
    const c = b[i] as number;
    if (c === 0x2e) point = digits;
    else if (c > 0x39) return Number(b.toString('latin1', start, end));
    else {
      mantissa = mantissa * 10 + (c - 0x30);
      digits++;
    }
  }
  if (digits <= 15) {
    // A whole number below 10^15 divided by a power of ten up to 10^22 is correctly rounded (both are exact doubles).
    const value = point < 0 ? mantissa : mantissa / (POWERS[digits - point] as number);
    return negative ? -value : value;
  }
  const text = b.toString('latin1', start, end);
  const value = Number(text);
  return point < 0 && Math.abs(value) >= MAX_EXACT ? exact(text, value) : value;
}

function exact(text: string, value: number): number | bigint {
  const whole = BigInt(text);
  return whole >= -BigInt(MAX_EXACT) && whole <= BigInt(MAX_EXACT) ? value : whole;
}

/** Reads nested values; the text is valid, so it only has to follow it. White space may stand between tokens. */
class Reader {
  readonly #b: Buffer;
  #p: number;

  constructor(b: Buffer, at: number) {
    this.#b = b;
    this.#p = at;
  }

  value(): Value {
    const b = this.#b;
    const start = this.#next();
    const c = b[start];
    if (c === 0x7b) return this.#object();
    if (c === 0x5b) return this.#array();
    if (c === 0x22) return this.#string();
    while (this.#p < b.length && isScalarByte(b[this.#p] as number)) this.#p++;
    return decodeValue(b, start, this.#p);
  }

  #next(): number {
    while ((this.#b[this.#p] as number) <= 0x20) this.#p++;
    return this.#p;
  }

  #string(): string {
    const b = this.#b;
    const start = this.#p++;
    while (b[this.#p] !== 0x22) this.#p += b[this.#p] === 0x5c ? 2 : 1;
    return decodeString(b, start, ++this.#p);
  }

  #object(): Value {
    const map = new Map<string, Value>();
    this.#p++;
    while (this.#b[this.#next()] !== 0x7d) {
      if (this.#b[this.#p] === 0x2c) {
        this.#p++;
        this.#next();
      }
      const key = this.#string();
      this.#next();
      this.#p++;
      map.set(key, this.value());
    }
    this.#p++;
    return map;
  }

  #array(): Value {
    const list: Value[] = [];
    this.#p++;
    while (this.#b[this.#next()] !== 0x5d) {
      if (this.#b[this.#p] === 0x2c) this.#p++;
      list.push(this.value());
    }
    this.#p++;
    return list;
  }
}

function isScalarByte(c: number): boolean {
  return c > 0x20 && c !== 0x2c && c !== 0x5d && c !== 0x7d;
}

/** The value of JSON text; throws SyntaxError where it is none. */
export function decodeText(text: string): Value {
  const bytes = Buffer.from(text);
  const start = skipSpace(bytes, 0, bytes.length);
  const end = skipValue(bytes, start, bytes.length, 0);
  if (end < 0) throw new SyntaxError(lastFailure().reason);
  if (skipSpace(bytes, end, bytes.length) < bytes.length) throw new SyntaxError('text behind the end of the value');
  return new Reader(bytes, start).value();
}
