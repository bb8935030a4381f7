// The scan of rows of CSV: 64 bytes at a time it finds the delimiters and line ends outside of quotes. It suspects blocks of 64 bytes
// in which UTF-8 breaks, and lists those that have something JSON writes as an escape, or a quote that is doubled. At a quote within
// text it stops: that is for whoever reads byte by byte.
import { equalTo, maskOf, parity } from './bits';
import { badUtf8 } from './scan';

const QUOTE: u32 = 34;
const NEVER: u32 = 0xffffff00;

/**
 * Reads [p, end) from the beginning of a row on, and up to 63 bytes beyond. Writes addresses of delimiters and line ends to `index`,
 * and two lists of blocks, each with an end: `suspects` and `specials`. Returns the end of the index.
 */
export function scanRows(p: usize, end: usize, delimiter: u32, index: usize, suspects: usize, specials: usize): usize {
  let inQuotes: u64 = 0;
  // The last byte before a block: a delimiter, a line end, or a quote that closes; before it a quote may stand.
  let boundaryCarry: u64 = 1;
  let closedCarry: u64 = 0;
  let before = i8x16.splat(0);
  let isOpenEnded = false;
  const between = i8x16.splat(<i8>delimiter);
  for (; p < end; p += 64) {
    const v0 = v128.load(p);
    const v1 = v128.load(p, 16);
    const v2 = v128.load(p, 32);
    const v3 = v128.load(p, 48);
    const quote = equalTo(v0, v1, v2, v3, i8x16.splat(34));
    let structural = equalTo(v0, v1, v2, v3, between);
    let special = equalTo(v0, v1, v2, v3, i8x16.splat(92));
    const space = i8x16.splat(32);
    const control = maskOf(i8x16.lt_u(v0, space), i8x16.lt_u(v1, space), i8x16.lt_u(v2, space), i8x16.lt_u(v3, space));
    if (control) {
      structural |= equalTo(v0, v1, v2, v3, i8x16.splat(10)) | equalTo(v0, v1, v2, v3, i8x16.splat(13));
      special |= control;
    }
    let odd: u64 = 0;
    if (quote | inQuotes) {
      const inside = parity(quote) ^ inQuotes;
      inQuotes = <u64>(<i64>inside >> 63);
      structural &= ~inside;
      const opens = quote & inside;
      const closes = quote & ~inside;
      const behindClosed = (closes << 1) | closedCarry;
      odd = opens & ~((structural << 1) | boundaryCarry | behindClosed);
      special |= opens & behindClosed;
      closedCarry = closes >> 63;
    } else closedCarry = 0;
    boundaryCarry = structural >> 63;
    special &= ~structural;
    if (i8x16.bitmask(v128.or(v128.or(v0, v1), v128.or(v2, v3)))) {
      if (v128.any_true(v128.or(v128.or(badUtf8(v0, before), badUtf8(v1, v0)), v128.or(badUtf8(v2, v1), badUtf8(v3, v2))))) {
        store<u32>(suspects, <u32>p);
        suspects += 4;
      }
      isOpenEnded = true;
    } else if (isOpenEnded) {
      if (v128.any_true(badUtf8(v0, before))) {
        store<u32>(suspects, <u32>p);
        suspects += 4;
      }
      isOpenEnded = false;
    }
    before = v3;
    if (special) {
      store<u32>(specials, <u32>p);
      specials += 4;
    }
    if (odd) structural &= (odd & (0 - odd)) - 1;
    if (p + 64 > end) structural &= (<u64>1 << <u64>(end - p)) - 1;
    let at = index;
    index += <usize>popcnt(structural) << 2;
    while (structural) {
      store<u32>(at, <u32>p + <u32>ctz(structural));
      at += 4;
      structural &= structural - 1;
    }
    if (odd) break;
  }
  store<u32>(suspects, NEVER);
  store<u32>(specials, NEVER);
  return index;
}

/** The line end, or `last`, at which the row that begins at `p` ends, byte by byte; a quote opens only at the beginning of a cell. */
export function rowEnd(p: usize, last: usize, delimiter: u32): usize {
  let isCellStart = true;
  while (p < last) {
    const c = <u32>load<u8>(p);
    if (c == 10 || c == 13) return p;
    if (c == QUOTE && isCellStart) {
      p++;
      for (;;) {
        while (p < last && load<u8>(p) != QUOTE) p++;
        if (p >= last) return last;
        p++;
        if (p >= last || load<u8>(p) != QUOTE) break;
        p++;
      }
      isCellStart = false;
      continue;
    }
    isCellStart = c == delimiter;
    p++;
  }
  return last;
}
