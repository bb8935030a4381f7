// 64 bytes as a mask of bits, and copies in steps of 16.

// @ts-ignore: decorator
@inline
export function maskOf(a: v128, b: v128, c: v128, d: v128): u64 {
  return <u64><u32>i8x16.bitmask(a) | (<u64><u32>i8x16.bitmask(b) << 16) | (<u64><u32>i8x16.bitmask(c) << 32) | (<u64><u32>i8x16.bitmask(d) << 48);
}

// @ts-ignore: decorator
@inline
export function equalTo(a: v128, b: v128, c: v128, d: v128, k: v128): u64 {
  return maskOf(i8x16.eq(a, k), i8x16.eq(b, k), i8x16.eq(c, k), i8x16.eq(d, k));
}

/** Bit i: whether the count of bits up to i is odd. */
// @ts-ignore: decorator
@inline
export function parity(x: u64): u64 {
  x ^= x << 1;
  x ^= x << 2;
  x ^= x << 4;
  x ^= x << 8;
  x ^= x << 16;
  return x ^ (x << 32);
}

/** Reads and writes up to 15 bytes beyond the end. */
// @ts-ignore: decorator
@inline
export function copy(to: usize, from: usize, size: usize): void {
  for (let i: usize = 0; i < size; i += 16) v128.store(to + i, v128.load(from + i));
}

// @ts-ignore: decorator
@inline
export function isHex(c: u32): bool {
  return c - 48 < 10 || (c | 32) - 97 < 6;
}

// @ts-ignore: decorator
@inline
export function hexValue(c: u32): u32 {
  return (c & 15) + (c >= 65 ? 9 : 0);
}

/** The four digits at `a`, which are hexadecimal. */
export function unitAt(a: usize): u32 {
  return (hexValue(load<u8>(a)) << 12) | (hexValue(load<u8>(a, 1)) << 8) | (hexValue(load<u8>(a, 2)) << 4) | hexValue(load<u8>(a, 3));
}
