// Numbers and names of a record, and the white space around them.

// @ts-ignore: decorator
@inline
export function isSpace(c: u32): bool {
  return c == 32 || c == 9 || c == 13 || c == 10;
}

// @ts-ignore: decorator
@inline
function isDigit(c: u32): bool {
  return c - 48 < 10;
}

/** The number at `a`: where it ends, or 0. */
function numberEnd(a: usize, e: usize): usize {
  if (a < e && load<u8>(a) == 45) a++;
  if (a >= e) return 0;
  const c = <u32>load<u8>(a);
  if (c == 48) a++;
  else if (c - 49 < 9) {
    while (a < e && isDigit(load<u8>(a))) a++;
  } else return 0;
  if (a < e && load<u8>(a) == 46) {
    const first = ++a;
    while (a < e && isDigit(load<u8>(a))) a++;
    if (a == first) return 0;
  }
  if (a < e && (load<u8>(a) | 32) == 101) {
    a++;
    if (a < e && (load<u8>(a) == 43 || load<u8>(a) == 45)) a++;
    const first = a;
    while (a < e && isDigit(load<u8>(a))) a++;
    if (a == first) return 0;
  }
  return a;
}

/** Bit i: the byte at `s + i` is no digit; of the first `n`, at most 16. */
// @ts-ignore: decorator
@inline
export function noDigits(s: usize, n: u32): u32 {
  return <u32>i8x16.bitmask(i8x16.gt_u(i8x16.sub(v128.load(s), i8x16.splat(48)), i8x16.splat(9))) & ((1 << n) - 1);
}

/** The token [s, e), which is no string: a number, true, false or null. */
// @ts-ignore: decorator
@inline
export function isScalar(s: usize, e: usize): bool {
  const n = <u32>(e - s);
  const c = <u32>load<u8>(s);
  if (c >= 97) {
    if (n == 4) {
      const text = load<u32>(s);
      return text == 0x65757274 || text == 0x6c6c756e;
    }
    return n == 5 && load<u32>(s) == 0x736c6166 && load<u8>(s, 4) == 101;
  }
  if (n > 15) return numberEnd(s, e) == e;
  let others = noDigits(s, n);
  let sign: u32 = 0;
  if (c == 45) {
    others &= others - 1;
    sign = 1;
  }
  const isZero = load<u8>(s + sign) == 48;
  if (!others) return n == sign + 1 || (n > sign && !isZero);
  const i = <u32>ctz(others);
  if (load<u8>(s + i) == 46 && !(others & (others - 1))) return i > sign && i < n - 1 && (!isZero || i == sign + 1);
  return numberEnd(s, e) == e;
}
