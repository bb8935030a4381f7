// Cells of a row of CSV become the members of a record. What has no plain form goes to the value tier, which alone decides.
import { CELL_BOOLEAN, CELL_INFERRED, CELL_NUMBER, CELL_TEXT, CELL_WHOLE } from './operations';
import { COLUMNS, COLUMN_BYTES } from './memory';
import { copy } from './bits';
import { noDigits } from './tokens';

const QUOTE: u32 = 34;
const BACKSLASH: u32 = 92;
/** Shorter numbers fit a double, however many digits they have. */
const NUMBER_MOST: u32 = 300;

let delimiter: u32 = 0;
let last: usize = 0;
let emptyIsNull: bool = false;

/** There are `count` columns at COLUMNS. */
export function setColumns(delimiter_: u32, count: u32, emptyIsNull_: bool): void {
  delimiter = delimiter_;
  last = COLUMNS + <usize>(count - 1) * COLUMN_BYTES;
  emptyIsNull = emptyIsNull_;
}

// @ts-ignore: decorator
@inline
function isDigit(c: u32): bool {
  return c - 48 < 10;
}

/** The `n` bytes at `s`, at least one, are a number without an exponent; `isWhole`: and without a point. */
// @ts-ignore: decorator
@inline
function isPlain(s: usize, n: u32, isWhole: bool): bool {
  if (n > 16) return isLongPlain(s, n, isWhole);
  let others = noDigits(s, n);
  let sign: u32 = 0;
  if (load<u8>(s) == 45) {
    others &= others - 1;
    sign = 1;
  }
  const isZero = load<u8>(s + sign) == 48;
  if (!others) return n == sign + 1 || (n > sign && !isZero);
  if (isWhole) return false;
  const i = <u32>ctz(others);
  return load<u8>(s + i) == 46 && !(others & (others - 1)) && i > sign && i < n - 1 && (!isZero || i == sign + 1);
}

function isLongPlain(s: usize, n: u32, isWhole: bool): bool {
  if (n >= NUMBER_MOST) return false;
  const end = s + n;
  if (load<u8>(s) == 45) s++;
  const first = s;
  while (s < end && isDigit(load<u8>(s))) s++;
  if (s == first || (load<u8>(first) == 48 && s > first + 1)) return false;
  if (s == end) return true;
  if (isWhole || load<u8>(s) != 46) return false;
  const point = s++;
  while (s < end && isDigit(load<u8>(s))) s++;
  return s == end && s > point + 1;
}

// @ts-ignore: decorator
@inline
function isTrue(s: usize, n: u32): bool {
  return n == 4 && load<u32>(s) == 0x65757274;
}

// @ts-ignore: decorator
@inline
function isFalse(s: usize, n: u32): bool {
  return n == 5 && load<u32>(s) == 0x736c6166 && load<u8>(s, 4) == 101;
}

function hasExponent(s: usize, e: usize): bool {
  for (; s < e; s++) if ((load<u8>(s) | 32) == 101) return true;
  return false;
}

/** Writes what may be no plain text to `o`; a quote in it is doubled. */
function writeEscaped(o: usize, s: usize, e: usize): usize {
  while (s < e) {
    const v = v128.load(s);
    v128.store(o, v);
    const found = <u32>i8x16.bitmask(
      v128.or(
        i8x16.lt_u(v, i8x16.splat(32)),
        v128.or(i8x16.eq(v, i8x16.splat(34)), i8x16.eq(v, i8x16.splat(92))),
      ),
    );
    const plain = <usize>ctz(found | 0x10000);
    if (s + plain >= e) return o + (e - s);
    s += plain;
    o += plain;
    if (plain == 16) continue;
    const c = <u32>load<u8>(s++);
    store<u8>(o++, BACKSLASH);
    if (c == QUOTE) s++;
    let short: u32 = c;
    if (c == 8) short = 98;
    else if (c == 9) short = 116;
    else if (c == 10) short = 110;
    else if (c == 12) short = 102;
    else if (c == 13) short = 114;
    else if (c < 32) {
      store<u32>(o, 0x30303075);
      const low = c & 15;
      store<u8>(o, 48 + (c >> 4), 3);
      store<u8>(o, low < 10 ? 48 + low : 87 + low, 4);
      o += 5;
      continue;
    }
    store<u8>(o++, short);
  }
  return o;
}

// @ts-ignore: decorator
@inline
function writeText(o: usize, s: usize, e: usize, isSpecial: bool): usize {
  if (isSpecial) return writeEscaped(o, s, e);
  copy(o, s, e - s);
  return o + (e - s);
}

// @ts-ignore: decorator
@inline
function writeNull(o: usize): usize {
  store<u32>(o, 0x6c6c756e);
  return o + 4;
}

/** A cell of a column that is no text, [s, e) without its quotes; 0 where it has no plain form. */
function writeOther(o: usize, s: usize, e: usize, kind: u32, isQuoted: bool, isSpecial: bool): usize {
  const n = <u32>(e - s);
  if (!n && (kind != CELL_INFERRED || emptyIsNull || !isQuoted)) return writeNull(o);
  if (kind == CELL_BOOLEAN) {
    if (n == 1 && load<u8>(s) >> 1 == 24) {
      const isOne = load<u8>(s) == 49;
      store<u64>(o, isOne ? 0x65757274 : 0x65736c6166);
      return o + (isOne ? 4 : 5);
    }
    if (!isTrue(s, n) && !isFalse(s, n)) return 0;
    copy(o, s, n);
    return o + n;
  }
  if (kind == CELL_INFERRED && !isQuoted) {
    let isOwn = isTrue(s, n) || isFalse(s, n);
    const c = <u32>load<u8>(s);
    if (c == 45 || isDigit(c)) {
      isOwn = isPlain(s, n, false);
      if (!isOwn && (n >= NUMBER_MOST || hasExponent(s, e))) return 0;
    }
    if (isOwn) {
      copy(o, s, n);
      return o + n;
    }
  }
  store<u8>(o++, QUOTE);
  o = writeText(o, s, e, isSpecial);
  store<u8>(o, QUOTE);
  return o + 1;
}

/**
 * Writes the row that begins at `s` as a record to `o`, where there is room for it; the ends of its cells are at `ix` of the index.
 * `isSpecial`: texts may have something in them that is written as an escape. Returns the end, or 0 where a cell has no plain form or
 * there are other than as many cells as columns. Slots of the columns are set.
 */
export function writeRow(s: usize, ix: usize, o: usize, isSpecial: bool): usize {
  for (let column = COLUMNS; ; column += COLUMN_BYTES) {
    const e = <usize>load<u32>(ix);
    const isDelimiter = load<u8>(e) == delimiter;
    if (isDelimiter == (column == last)) return 0;
    const key = <usize>load<u32>(column);
    const size = <usize>load<u32>(column, 4);
    v128.store(o, v128.load(key));
    v128.store(o, v128.load(key, 16), 16);
    if (size > 32) copy(o + 32, key + 32, size - 32);
    const keyAt = o + 1;
    o += size;
    const kind = load<u32>(column, 8);
    let valueAt = o;
    if (kind >= CELL_WHOLE && kind <= CELL_NUMBER) {
      let a = s;
      let n = <u32>(e - s);
      if (n && load<u8>(s) == QUOTE) {
        if (n < 2 || load<u8>(e - 1) != QUOTE) return 0;
        a++;
        n -= 2;
      }
      if (!n) o = writeNull(o);
      else {
        if (!isPlain(a, n, kind == CELL_WHOLE)) return 0;
        v128.store(o, v128.load(a));
        if (n > 16) copy(o + 16, a + 16, n - 16);
        o += n;
      }
    } else {
      let a = s;
      let b = e;
      const isQuoted = s < e && load<u8>(s) == QUOTE;
      if (isQuoted) {
        if (e < s + 2 || load<u8>(e - 1) != QUOTE) return 0;
        a++;
        b--;
      }
      if (kind == CELL_TEXT) {
        // The first quote stands behind the key.
        valueAt--;
        o = writeText(o, a, b, isSpecial);
        store<u8>(o++, QUOTE);
      } else {
        o = writeOther(o, a, b, kind, isQuoted, isSpecial);
        if (!o) return 0;
      }
    }
    const slot = <usize>load<u32>(column, 12);
    if (slot) {
      store<u32>(slot, <u32>keyAt);
      store<u32>(slot, <u32>valueAt, 4);
      store<u32>(slot, <u32>o, 8);
    }
    if (column == last) break;
    s = e + 1;
    ix += 4;
  }
  store<u8>(o, 125);
  return o + 1;
}
