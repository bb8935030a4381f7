// The structural scan: 64 bytes at a time, without a branch for what is usual. It finds the brackets, commas, colons and line ends
// outside strings, and suspects every block of 64 bytes in which two neighbours do not belong together, an escape is none, or
// UTF-8 breaks. A suspect is no verdict: whoever meets one hands its records to the value tier.
import { equalTo, isHex, maskOf, parity, unitAt } from './bits';

// The tables of Keiser and Lemire's check of UTF-8: what the first byte's halves and the second's upper half say against it.
const FIRST_HIGH: usize = memory.data<u8>([2, 2, 2, 2, 2, 2, 2, 2, 0x80, 0x80, 0x80, 0x80, 0x21, 1, 0x15, 0x49]);
const FIRST_LOW: usize = memory.data<u8>([0xe7, 0xa3, 0x83, 0x83, 0x8b, 0xcb, 0xcb, 0xcb, 0xcb, 0xcb, 0xcb, 0xcb, 0xcb, 0xdb, 0xcb, 0xcb]);
const SECOND_HIGH: usize = memory.data<u8>([1, 1, 1, 1, 1, 1, 1, 1, 0xe6, 0xae, 0xba, 0xba, 1, 1, 1, 1]);

/** Ends the lists of blocks. */
const NEVER: u32 = 0xffffff00;

/** Not zero where `v`, behind `before`, is no UTF-8. */
// @ts-ignore: decorator
@inline
export function badUtf8(v: v128, before: v128): v128 {
  const one = i8x16.shuffle(before, v, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
  const two = i8x16.shuffle(before, v, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29);
  const three = i8x16.shuffle(before, v, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28);
  const first = v128.and(
    i8x16.swizzle(v128.load(FIRST_HIGH), i8x16.shr_u(one, 4)),
    i8x16.swizzle(v128.load(FIRST_LOW), v128.and(one, i8x16.splat(15))),
  );
  const special = v128.and(first, i8x16.swizzle(v128.load(SECOND_HIGH), i8x16.shr_u(v, 4)));
  const mustContinue = v128.or(i8x16.sub_sat_u(two, i8x16.splat(0x60)), i8x16.sub_sat_u(three, i8x16.splat(0x70)));
  return v128.xor(v128.and(mustContinue, i8x16.splat(-128)), special);
}

/** Whether one of the escaped characters at the bits of `escaped` is none that JSON has, or may be half a surrogate pair. */
function hasBadEscape(block: usize, escaped: u64): bool {
  while (escaped) {
    const a = block + <usize>ctz(escaped);
    escaped &= escaped - 1;
    const c = <u32>load<u8>(a);
    if (c == 117) {
      if (!(isHex(load<u8>(a, 1)) && isHex(load<u8>(a, 2)) && isHex(load<u8>(a, 3)) && isHex(load<u8>(a, 4)))) return true;
      if ((load<u8>(a, 1) | 32) == 100 && isLoneSurrogate(a)) return true;
    } else if (!(c == 34 || c == 92 || c == 47 || c == 98 || c == 102 || c == 110 || c == 114 || c == 116)) return true;
  }
  return false;
}

/** `a` is at the u of \uD...; false only where it is certain that the other half stands beside it. */
function isLoneSurrogate(a: usize): bool {
  const unit = unitAt(a + 1);
  if ((unit & 0xf800) != 0xd800) return false;
  if (unit < 0xdc00) return !(load<u16>(a, 5) == 0x755c && (load<u8>(a, 7) | 32) == 100 && isLowHalf(a + 7));
  if (!(load<u16>(a - 7) == 0x755c && (load<u8>(a - 5) | 32) == 100 && isHighHalf(a - 5))) return true;
  // Of the half before it, an escape unless the backslash is one that is escaped itself.
  let run: usize = 1;
  while (load<u8>(a - 7 - run) == 92) run++;
  return (run & 1) == 0;
}

function isLowHalf(a: usize): bool {
  return isHex(load<u8>(a, 1)) && isHex(load<u8>(a, 2)) && isHex(load<u8>(a, 3)) && (unitAt(a) & 0xfc00) == 0xdc00;
}

function isHighHalf(a: usize): bool {
  return isHex(load<u8>(a, 1)) && isHex(load<u8>(a, 2)) && isHex(load<u8>(a, 3)) && (unitAt(a) & 0xfc00) == 0xd800;
}

/**
 * Reads `size` bytes (a multiple of 64) from `p`, which ends in a line feed. Writes the addresses of all structural characters to
 * `index`, and these lists, in order, each with an end: blocks under suspicion to `suspects`; blocks with a backslash to `escapes`;
 * to `spaces` 16 B for each block that has white space between tokens, its address and where. Returns the end of the index.
 */
export function scan(p: usize, size: usize, index: usize, suspects: usize, escapes: usize, spaces: usize): usize {
  let inString: u64 = 0;
  let escapeCarry: u64 = 0;
  // Of the last byte before a block that is no white space: it ends a value, a string, opens a container, is a line end; and whether
  // the very last byte was one of a number or a name.
  let valueCarry: u64 = 0;
  let stringCarry: u64 = 0;
  let openCarry: u64 = 0;
  let lineCarry: u64 = 1;
  let scalarCarry: u64 = 0;
  let before = i8x16.splat(0);
  let isOpenEnded = false;
  for (const end = p + size; p < end; p += 64) {
    const v0 = v128.load(p);
    const v1 = v128.load(p, 16);
    const v2 = v128.load(p, 32);
    const v3 = v128.load(p, 48);
    const backslash = equalTo(v0, v1, v2, v3, i8x16.splat(92));
    let quote = equalTo(v0, v1, v2, v3, i8x16.splat(34));
    let bad: u64 = 0;
    if (backslash | escapeCarry) {
      const ODD: u64 = 0xaaaaaaaaaaaaaaaa;
      const possible = backslash & ~escapeCarry;
      const run = (((possible << 1) | ODD) - possible) ^ ODD;
      const escaped = run ^ (backslash | escapeCarry);
      escapeCarry = (run & backslash) >> 63;
      quote &= ~escaped;
      if (hasBadEscape(p, escaped)) bad = 1;
      store<u32>(escapes, p);
      escapes += 4;
    }
    let inside = parity(quote) ^ inString;
    const line = equalTo(v0, v1, v2, v3, i8x16.splat(10));
    // A line feed in a string: the line is bad, and the next one begins outside.
    let broken = line & inside;
    if (broken) {
      bad = 1;
      while (broken) {
        inside ^= ~(<u64>0) << ctz(broken);
        broken = line & inside;
      }
    }
    inString = <u64>(<i64>inside >> 63);
    const outside = ~inside;
    const space = i8x16.splat(32);
    const opens = equalTo(v128.or(v0, space), v128.or(v1, space), v128.or(v2, space), v128.or(v3, space), i8x16.splat(123)) & outside;
    const closes = equalTo(v128.or(v0, space), v128.or(v1, space), v128.or(v2, space), v128.or(v3, space), i8x16.splat(125)) & outside;
    const comma = equalTo(v0, v1, v2, v3, i8x16.splat(44)) & outside;
    const colon = equalTo(v0, v1, v2, v3, i8x16.splat(58)) & outside;
    let structural = opens | closes | comma | colon | line;
    let white = equalTo(v0, v1, v2, v3, space) & outside;
    const control = maskOf(i8x16.lt_u(v0, space), i8x16.lt_u(v1, space), i8x16.lt_u(v2, space), i8x16.lt_u(v3, space)) & ~line;
    if (control) {
      const tabs = (equalTo(v0, v1, v2, v3, i8x16.splat(9)) | equalTo(v0, v1, v2, v3, i8x16.splat(13))) & outside;
      white |= tabs;
      bad |= control & ~tabs;
    }
    const stringEnd = quote & outside;
    const stringStart = quote & inside;
    const scalar = ~(inside | stringEnd | white | structural);
    const valueEnd = stringEnd | scalar | closes;
    let afterValue = (valueEnd << 1) | valueCarry;
    let afterString = (stringEnd << 1) | stringCarry;
    let afterOpen = (opens << 1) | openCarry;
    let afterLine = (line << 1) | lineCarry;
    valueCarry = valueEnd >> 63;
    stringCarry = stringEnd >> 63;
    openCarry = opens >> 63;
    lineCarry = line >> 63;
    if (white) {
      store<u32>(spaces, p);
      store<u64>(spaces, white, 8);
      spaces += 16;
      // What stood before a run of white space stands before what follows it: an addition carries it over.
      let t = white + (afterValue & white);
      valueCarry |= <u64>(t < white);
      afterValue = (afterValue | t) & ~white;
      t = white + (afterString & white);
      stringCarry |= <u64>(t < white);
      afterString = (afterString | t) & ~white;
      t = white + (afterOpen & white);
      openCarry |= <u64>(t < white);
      afterOpen = (afterOpen | t) & ~white;
      t = white + (afterLine & white);
      lineCarry |= <u64>(t < white);
      afterLine = (afterLine | t) & ~white;
    }
    const scalarStart = scalar & ~((scalar << 1) | scalarCarry);
    scalarCarry = scalar >> 63;
    bad |=
      ((stringStart | scalarStart | opens) & afterValue) |
      (colon & ~afterString) |
      (comma & ~afterValue) |
      (closes & ~(afterValue | afterOpen)) |
      (line & ~(afterValue | afterLine));
    if (i8x16.bitmask(v128.or(v128.or(v0, v1), v128.or(v2, v3)))) {
      const wrong = v128.or(v128.or(badUtf8(v0, before), badUtf8(v1, v0)), v128.or(badUtf8(v2, v1), badUtf8(v3, v2)));
      bad |= <u64>v128.any_true(wrong);
      isOpenEnded = true;
    } else if (isOpenEnded) {
      bad |= <u64>v128.any_true(badUtf8(v0, before));
      isOpenEnded = false;
    }
    before = v3;
    if (bad) {
      store<u32>(suspects, p);
      suspects += 4;
    }
    let at = index;
    index += <usize>popcnt(structural) << 2;
    while (structural) {
      store<u32>(at, p + <u32>ctz(structural));
      at += 4;
      structural &= structural - 1;
    }
  }
  store<u32>(suspects, NEVER);
  store<u32>(escapes, NEVER);
  store<u32>(spaces, NEVER);
  return index;
}
