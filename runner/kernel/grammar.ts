/**
 * The strict JSON grammar (RFC 8259) over bytes: finds the end of one value, or why and where it is broken. UTF-8 is not its
 * business (`isUtf8` checks a block at once); lone surrogates in escapes are. One thread, one parse at a time: the state of the
 * last failure and of white space is in module variables, so that the hot loops return plain numbers.
 */

/** Containers inside one another, at most. */
export const MAX_DEPTH = 1024;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** 1 for a byte that a string loop has to look at: quote, backslash, control characters. */
const STOP = new Uint8Array(256);
for (let c = 0; c < 0x20; c++) STOP[c] = 1;
STOP[QUOTE] = 1;
STOP[BACKSLASH] = 1;

/** 1 for white space. */
const SPACE = new Uint8Array(256);
for (const c of [0x20, 0x09, 0x0a, 0x0d]) SPACE[c] = 1;

/** Value of a hexadecimal digit, or 255. */
const HEX = new Uint8Array(256).fill(255);
for (let i = 0; i < 10; i++) HEX[0x30 + i] = i;
for (let i = 0; i < 6; i++) {
  HEX[0x41 + i] = 10 + i;
  HEX[0x61 + i] = 10 + i;
}

const isObjectAt = new Uint8Array(MAX_DEPTH + 1);

let failAt = 0;
let failWhy = '';
let spaces = false;

/** After a function here returned -1: the offset in the array of bytes, and the reason, of the failure. */
export function lastFailure(): { at: number; reason: string } {
  return { at: failAt, reason: failWhy };
}

/** Forgets white space that was seen. */
export function resetSpaces(): void {
  spaces = false;
}

/** White space outside strings was skipped since `resetSpaces`. */
export function sawSpaces(): boolean {
  return spaces;
}

export function fail(at: number, reason: string): -1 {
  failAt = at;
  failWhy = reason;
  return -1;
}

/** The first byte from `p` that is no white space, or `end`. */
export function skipSpace(b: Uint8Array, p: number, end: number): number {
  if (p < end && SPACE[b[p] as number] === 0) return p;
  const start = p;
  while (p < end && SPACE[b[p] as number] === 1) p++;
  if (p > start) spaces = true;
  return p;
}

/** `p` is behind the opening quote; returns the offset behind the closing one, or -1. */
export function skipString(b: Uint8Array, p: number, end: number): number {
  for (;;) {
    while (p < end && STOP[b[p] as number] === 0) p++;
    if (p >= end) return fail(end, 'a string is not closed');
    const c = b[p];
    if (c === QUOTE) return p + 1;
    if (c !== BACKSLASH) return fail(p, 'a control character stands in a string');
    p = skipEscape(b, p, end);
    if (p < 0) return -1;
  }
}

/** `p` is at a backslash; returns the offset behind the escape (both halves of a surrogate pair), or -1. */
function skipEscape(b: Uint8Array, p: number, end: number): number {
  const c = p + 1 < end ? b[p + 1] : 0;
  switch (c) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f:
    case 0x62:
    case 0x66:
    case 0x6e:
    case 0x72:
    case 0x74:
      return p + 2;
    case 0x75: {
      const unit = hex4(b, p + 2, end);
      if (unit < 0) return fail(p, 'an escape \\u needs four hexadecimal digits');
      if (unit < 0xd800 || unit > 0xdfff) return p + 6;
      if (unit > 0xdbff || p + 7 >= end || b[p + 6] !== BACKSLASH || b[p + 7] !== 0x75)
        return fail(p, 'a lone surrogate');
      const low = hex4(b, p + 8, end);
      if (low < 0xdc00 || low > 0xdfff) return fail(p, 'a lone surrogate');
      return p + 12;
    }
    default:
      return fail(p, 'an unknown escape');
  }
}

function hex4(b: Uint8Array, p: number, end: number): number {
  if (p + 4 > end) return -1;
  const a = HEX[b[p] as number] as number;
  const c = HEX[b[p + 1] as number] as number;
  const d = HEX[b[p + 2] as number] as number;
  const e = HEX[b[p + 3] as number] as number;
  return (a | c | d | e) > 15 ? -1 : (a << 12) | (c << 8) | (d << 4) | e;
}

function skipDigits(b: Uint8Array, p: number, end: number): number {
  while (p < end && (b[p] as number) >= 0x30 && (b[p] as number) <= 0x39) p++;
  return p;
}

/** `p` is at `-` or a digit; returns the offset behind the number, or -1. */
function skipNumber(b: Uint8Array, p: number, end: number): number {
  if (b[p] === 0x2d) p++;
  const first = p;
  p = skipDigits(b, p, end);
  if (p === first) return fail(p, 'a number has no digits');
  if (b[first] === 0x30 && p > first + 1) return fail(first, 'a number begins with a zero');
  if (p < end && b[p] === 0x2e) {
    const q = skipDigits(b, p + 1, end);
    if (q === p + 1) return fail(q, 'a number has no digits behind its point');
    p = q;
  }
  if (p < end && ((b[p] as number) | 0x20) === 0x65) {
    p++;
    if (p < end && (b[p] === 0x2b || b[p] === 0x2d)) p++;
    const q = skipDigits(b, p, end);
    if (q === p) return fail(q, 'a number has no digits in its exponent');
    p = q;
  }
  return p;
}

function skipLiteral(b: Uint8Array, p: number, end: number): number {
  const c = b[p];
  if (c === 0x74 && p + 4 <= end && b[p + 1] === 0x72 && b[p + 2] === 0x75 && b[p + 3] === 0x65) return p + 4;
  if (c === 0x6e && p + 4 <= end && b[p + 1] === 0x75 && b[p + 2] === 0x6c && b[p + 3] === 0x6c) return p + 4;
  if (c === 0x66 && p + 5 <= end && b[p + 1] === 0x61 && b[p + 2] === 0x6c && b[p + 3] === 0x73 && b[p + 4] === 0x65)
    return p + 5;
  return fail(p, p >= end ? 'a value is missing' : 'unexpected text in place of a value');
}

/** `p` is at the first byte of a value that lies inside `depth` containers; returns the offset behind it, or -1. */
export function skipValue(b: Uint8Array, p: number, end: number, depth: number): number {
  if (p >= end) return fail(end, 'a value is missing');
  const c = b[p] as number;
  if (c === QUOTE) return skipString(b, p + 1, end);
  if (c === OPEN_BRACE || c === OPEN_BRACKET) return skipContainer(b, p, end, depth);
  if (c === 0x2d || (c >= 0x30 && c <= 0x39)) return skipNumber(b, p, end);
  return skipLiteral(b, p, end);
}

/** `p` is behind a key; skips the colon and white space around it. */
export function skipColon(b: Uint8Array, p: number, end: number): number {
  if (b[p] !== COLON || p >= end) {
    p = skipSpace(b, p, end);
    if (p >= end || b[p] !== COLON) return fail(p, 'a colon is missing behind a key');
  }
  p++;
  return p < end && SPACE[b[p] as number] === 0 ? p : skipSpace(b, p, end);
}

function skipContainer(b: Uint8Array, p: number, end: number, outer: number): number {
  let depth = outer;
  let isObject = 0;
  for (;;) {
    // `p` is at the first byte of a value.
    let c = b[p] as number;
    if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      isObjectAt[depth] = isObject;
      if (++depth > MAX_DEPTH) return fail(p, `more than ${MAX_DEPTH} levels of nesting`);
      isObject = c === OPEN_BRACE ? 1 : 0;
      p = skipSpace(b, p + 1, end);
      if (p < end && b[p] === (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
        p++;
        depth--;
        isObject = isObjectAt[depth] as number;
      } else {
        if (isObject) {
          p = skipKey(b, p, end);
          if (p < 0) return -1;
        }
        if (p >= end) return fail(end, 'a value is missing');
        continue;
      }
    } else {
      p = skipValue(b, p, end, depth);
      if (p < 0) return -1;
    }
    // `p` is behind a value.
    for (;;) {
      if (depth === outer) return p;
      p = skipSpace(b, p, end);
      if (p >= end) return fail(end, isObject ? 'an object is not closed' : 'an array is not closed');
      c = b[p] as number;
      if (c === COMMA) {
        p = skipSpace(b, p + 1, end);
        if (isObject) {
          p = skipKey(b, p, end);
          if (p < 0) return -1;
        }
        if (p >= end) return fail(end, 'a value is missing');
        break;
      }
      if (c !== (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) return fail(p, 'a comma or a closing bracket is missing');
      p++;
      depth--;
      isObject = isObjectAt[depth] as number;
    }
  }
}

/** `p` is where a key has to begin; returns the offset of the value behind its colon, or -1. */
function skipKey(b: Uint8Array, p: number, end: number): number {
  if (p >= end || b[p] !== QUOTE) return fail(p, 'a key in quotes is missing');
  p = skipString(b, p + 1, end);
  return p < 0 ? -1 : skipColon(b, p, end);
}

/**
 * Removes white space outside strings from the valid JSON text `b[start, end)`; writes at `out[at...]`, which may be the same
 * array at or before `start`; returns the offset behind it.
 */
export function compact(b: Uint8Array, start: number, end: number, out: Uint8Array, at: number): number {
  let p = start;
  while (p < end) {
    const c = b[p++] as number;
    if (SPACE[c] === 1) continue;
    out[at++] = c;
    if (c !== QUOTE) continue;
    for (;;) {
      const s = b[p++] as number;
      out[at++] = s;
      if (s === QUOTE) break;
      if (s === BACKSLASH) out[at++] = b[p++] as number;
    }
  }
  return at;
}
