// Rows of CSV out of compact objects: each member is found by its key, and written in the order of the columns. A record that takes
// more than that is left to JavaScript: keys with escapes, texts with escapes of code points, keys that would bring a column.
import { sameBytes } from './texts';
import { LAYOUT_HABITS, LAYOUT_HABITS_MOST, LAYOUT_MEANING } from './memory';

/** What a byte is to a cell: nothing special, or it takes quotes. */
const QUOTED: u8 = 1;
const HABIT_BYTES: usize = 12;
const NEVER: i32 = -1;

/** 16 B for each column: its name and the name's length, where its value begins in the record at hand (0: nowhere) and ends. */
let columns: usize = 0;
let count: u32 = 0;
/** The column, and one, that a hash of its name leads to; 0 where none does. */
let places: usize = 0;
let placesMask: u32 = 0;
/** Keys that no column has bring one. */
let learns: bool = false;
let delimiter: u8 = 0;
let quote: u8 = 0;
/** What stands before a quote in quotes. */
let before: u8 = 0;
let delimiters: v128 = i8x16.splat(0);
let quotes: v128 = i8x16.splat(0);
let escapes: v128 = i8x16.splat(0);
let lineEnd: u32 = 0;
let lineEndSize: u32 = 0;
/** Members at the first places of records, as they came last: their keys, sizes and columns. */
let known: u32 = 0;
let isEscaped: bool = false;

/** Where what was laid out last ends. */
export let laidEnd: usize = 0;
/** It stopped for want of room. */
export let isFull: bool = false;

/** `escaping`: -1 where a quote is written twice. The line end is one byte or two, the first of them the lowest. */
export function layoutFormat(delimiter_: u32, quote_: u32, escaping: i32, lineEnd_: u32, lineEndSize_: u32): void {
  delimiter = <u8>delimiter_;
  quote = <u8>quote_;
  before = escaping < 0 ? quote : <u8>escaping;
  delimiters = i8x16.splat(<i8>delimiter);
  quotes = i8x16.splat(<i8>quote);
  escapes = i8x16.splat(<i8>before);
  lineEnd = lineEnd_;
  lineEndSize = lineEndSize_;
  memory.fill(LAYOUT_MEANING, 0, 256);
  store<u8>(LAYOUT_MEANING + 10, QUOTED);
  store<u8>(LAYOUT_MEANING + 13, QUOTED);
  store<u8>(LAYOUT_MEANING + delimiter, QUOTED);
  store<u8>(LAYOUT_MEANING + quote, QUOTED);
  store<u8>(LAYOUT_MEANING + before, QUOTED);
}

/** `count_` columns stand at `columns_`; `places_` has room for `placesMask_` and one numbers, a power of two, more than columns. */
export function layoutColumns(columns_: usize, count_: u32, places_: usize, placesMask_: u32, learns_: bool): void {
  columns = columns_;
  count = count_;
  places = places_;
  placesMask = placesMask_;
  learns = learns_;
  known = 0;
  memory.fill(places, 0, (<usize>placesMask + 1) << 2);
  for (let k: u32 = 0; k < count; k++) {
    const column = columns + (<usize>k << 4);
    const size = load<u32>(column, 4);
    // A name that JSON writes with escapes is never found here.
    if (!size && !load<u32>(column)) continue;
    let place = hashOf(load<u32>(column), size) & placesMask;
    while (load<u32>(places + (<usize>place << 2))) place = (place + 1) & placesMask;
    store<u32>(places + (<usize>place << 2), k + 1);
  }
}

/** A block begins: keys that were met stand nowhere any more. */
export function startLayout(): void {
  known = 0;
}

/**
 * Lays out records, whose ends stand in pairs at `spans`, from `from` to `most` at most; rows go to `out` and take the place of the
 * pairs, counted from `out`. Returns the record before which it stops: one that is left to JavaScript, or has no room below `outMost`.
 */
export function layOut(spans: usize, from: u32, most: u32, out: usize, outMost: usize): u32 {
  let o = out;
  let i = from;
  isFull = false;
  for (; i < most; i++) {
    const span = spans + (<usize>i << 3);
    const s = <usize>load<u32>(span);
    const e = <usize>load<u32>(span, 4);
    if (o + 2 * (e - s) + 4 * count + 64 > outMost) {
      isFull = true;
      break;
    }
    if (load<u8>(s) != 123 || !findCells(s, e)) break;
    const end = writeCells(o);
    if (!end) break;
    store<u32>(span, <u32>(o - out));
    store<u32>(span, <u32>(end - out), 4);
    store<u16>(end, <u16>lineEnd);
    o = end + lineEndSize;
  }
  laidEnd = o;
  return i;
}

function hashOf(p: usize, size: u32): u32 {
  let hash: u32 = 0x811c9dc5;
  for (const e = p + size; p < e; p++) hash = (hash ^ load<u8>(p)) * 0x01000193;
  return hash ^ (hash >> 15);
}

/** The column of that name, and one; 0: none. */
function columnOf(name: usize, size: u32): u32 {
  let place = hashOf(name, size) & placesMask;
  let column = load<u32>(places + (<usize>place << 2));
  while (column) {
    const at = columns + (<usize>(column - 1) << 4);
    if (load<u32>(at, 4) == size && sameBytes(load<u32>(at), name, size)) break;
    place = (place + 1) & placesMask;
    column = load<u32>(places + (<usize>place << 2));
  }
  return column;
}

/** Where the values of the columns stand; of a key that stands twice, the last one. False where that is for JavaScript. */
function findCells(s: usize, e: usize): bool {
  for (let k: u32 = 0; k < count; k++) store<u32>(columns + (<usize>k << 4), 0, 8);
  let p = s + 1;
  for (let place: u32 = 0; p < e - 1; place++) {
    const habit = LAYOUT_HABITS + <usize>place * HABIT_BYTES;
    let size: u32 = place < known ? load<u32>(habit, 4) : 0;
    let column: u32 = 0;
    if (place < known && load<u8>(p + 1 + size) == 34 && sameBytes(p + 1, load<u32>(habit), size)) column = load<u32>(habit, 8);
    else {
      isEscaped = false;
      size = <u32>(textEnd(p + 1) - p - 1);
      if (isEscaped) return false;
      column = columnOf(p + 1, size);
      if (!column && learns) return false;
      if (place < LAYOUT_HABITS_MOST && place <= known) {
        store<u32>(habit, <u32>p + 1);
        store<u32>(habit, size, 4);
        store<u32>(habit, column, 8);
        known = max(known, place + 1);
      }
    }
    p += size + 3;
    const start = p;
    p = valueEnd(p);
    if (column) {
      const at = columns + (<usize>(column - 1) << 4);
      store<u32>(at, <u32>start, 8);
      store<u32>(at, <u32>p, 12);
    }
    p++;
  }
  return true;
}

/** The closing quote of the text whose content begins at `p`. */
function textEnd(p: usize): usize {
  const closing = i8x16.splat(34);
  const backslash = i8x16.splat(92);
  for (;;) {
    const v = v128.load(p);
    const found = <u32>i8x16.bitmask(v128.or(i8x16.eq(v, closing), i8x16.eq(v, backslash)));
    if (!found) {
      p += 16;
      continue;
    }
    p += ctz(found);
    if (load<u8>(p) == 34) break;
    isEscaped = true;
    p += 2;
  }
  return p;
}

/** Behind the value at `p`. */
function valueEnd(p: usize): usize {
  const c = load<u8>(p);
  if (c == 34) return textEnd(p + 1) + 1;
  if (c != 123 && c != 91) {
    while (load<u8>(p) != 44 && load<u8>(p) != 125) p++;
    return p;
  }
  const small = i8x16.splat(0x20);
  const opens = i8x16.splat(123);
  const closes = i8x16.splat(125);
  const text = i8x16.splat(34);
  for (let depth: u32 = 0; ; ) {
    const v = v128.load(p);
    // A bracket is a brace, but for one bit.
    const braces = v128.or(v, small);
    const found = <u32>i8x16.bitmask(v128.or(v128.or(i8x16.eq(braces, opens), i8x16.eq(braces, closes)), i8x16.eq(v, text)));
    if (!found) {
      p += 16;
      continue;
    }
    p += ctz(found);
    const b = load<u8>(p);
    if (b == 34) p = textEnd(p + 1);
    else if ((b | 0x20) == 123) depth++;
    else if (--depth == 0) break;
    p++;
  }
  return p + 1;
}

/** The row of the record at hand; returns where it ends, 0 where that is for JavaScript. */
function writeCells(o: usize): usize {
  const isAlone = count == 1;
  for (let k: u32 = 0; k < count; k++) {
    if (k) store<u8>(o++, delimiter);
    const at = columns + (<usize>k << 4);
    const s = <usize>load<u32>(at, 8);
    const e = <usize>load<u32>(at, 12);
    const c = s ? load<u8>(s) : 110;
    if (c == 110 || (c == 34 && e == s + 2)) {
      // A row that is an empty line is none.
      if (isAlone) o = writeEmpty(o);
    } else if (c == 34) {
      o = writeText(s + 1, e - 1, o);
      if (!o) return 0;
    } else o = writeJson(s, e, o);
  }
  return o;
}

function writeEmpty(o: usize): usize {
  store<u8>(o, quote);
  store<u8>(o, quote, 1);
  return o + 2;
}

/** Copies [s, e) to `o` where nothing of it takes quotes, and no escape is in it if `isText`; returns the end, or 0. */
function copyPlain(s: usize, e: usize, o: usize, isText: bool): usize {
  const lf = i8x16.splat(10);
  const cr = i8x16.splat(13);
  const backslash = i8x16.splat(92);
  for (let i: usize = 0; s + i < e; i += 16) {
    const v = v128.load(s + i);
    let special = v128.or(v128.or(i8x16.eq(v, delimiters), i8x16.eq(v, quotes)), v128.or(i8x16.eq(v, lf), i8x16.eq(v, cr)));
    special = v128.or(special, i8x16.eq(v, escapes));
    if (isText) special = v128.or(special, i8x16.eq(v, backslash));
    let found = <u32>i8x16.bitmask(special);
    if (e - s - i < 16) found &= (1 << <u32>(e - s - i)) - 1;
    if (found) return 0;
    v128.store(o + i, v);
  }
  return o + (e - s);
}

/** A number, a truth value, an object or a list, as it is. */
function writeJson(s: usize, e: usize, o: usize): usize {
  const plain = copyPlain(s, e, o, false);
  if (plain) return plain;
  store<u8>(o++, quote);
  for (; s < e; s++) {
    const c = load<u8>(s);
    if (c == quote || c == before) store<u8>(o++, before);
    store<u8>(o++, c);
  }
  store<u8>(o, quote);
  return o + 1;
}

/** The content of a text of JSON; 0 where it has an escape of a code point. */
function writeText(s: usize, e: usize, o: usize): usize {
  const plain = copyPlain(s, e, o, true);
  if (plain) return plain;
  let isQuoted = false;
  for (let p = s; p < e; p++) {
    let c = <i32>load<u8>(p);
    if (c == 92) {
      c = unescaped(load<u8>(++p));
      if (c == NEVER) return 0;
    }
    if (load<u8>(LAYOUT_MEANING + c)) isQuoted = true;
  }
  if (isQuoted) store<u8>(o++, quote);
  for (let p = s; p < e; p++) {
    let c = load<u8>(p);
    if (c == 92) c = <u8>unescaped(load<u8>(++p));
    if (isQuoted && (c == quote || c == before)) store<u8>(o++, before);
    store<u8>(o++, c);
  }
  if (isQuoted) store<u8>(o++, quote);
  return o;
}

function unescaped(c: u8): i32 {
  switch (c) {
    case 98: return 8;
    case 102: return 12;
    case 110: return 10;
    case 114: return 13;
    case 116: return 9;
    case 117: return NEVER;
    default: return c;
  }
}
