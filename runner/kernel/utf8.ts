/** Where UTF-8 breaks; the answer to a block that `isUtf8` refused. */

/** Offset of the first byte of `b[start, end)` that is no UTF-8 (RFC 3629), or -1. */
export function firstBadUtf8(b: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p < end) {
    const c = b[p] as number;
    if (c < 0x80) {
      p++;
      continue;
    }
    const more = c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 0;
    if (more === 0 || p + more >= end) return p;
    const next = b[p + 1] as number;
    // Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte.
    const low = c === 0xe0 ? 0xa0 : c === 0xf0 ? 0x90 : 0x80;
    const high = c === 0xed ? 0x9f : c === 0xf4 ? 0x8f : 0xbf;
    if (next < low || next > high) return p;
    for (let i = 2; i <= more; i++) if (((b[p + i] as number) & 0xc0) !== 0x80) return p;
    p += more + 1;
  }
  return -1;
}
