// Texts as expressions see them: what stands between the quotes, in the one way in which JSON.stringify writes it. So equal texts
// have equal bytes, and what is put together needs no other quotes.

/** What is known of a text. */
export const PLAIN: u32 = 0;
export const ESCAPED: u32 = 1;
/** It could be written in another way: not for this tier. */
export const OTHER: u32 = 2;

export function formOf(s: usize, e: usize): u32 {
  const backslash = i8x16.splat(92);
  for (let i = s; i < e; i += 16) {
    let found = <u32>i8x16.bitmask(i8x16.eq(v128.load(i), backslash));
    if (e - i < 16) found &= (1 << <u32>(e - i)) - 1;
    if (found) return hasUsualEscapes(i + ctz(found), e) ? ESCAPED : OTHER;
  }
  return PLAIN;
}

function hasUsualEscapes(s: usize, e: usize): bool {
  while (s < e) {
    if (load<u8>(s) != 92) {
      s++;
      continue;
    }
    const c = load<u8>(s, 1);
    if (c == 117 || c == 47) return false;
    s += 2;
  }
  return true;
}

export function sameBytes(a: usize, b: usize, size: u32): bool {
  while (size >= 16) {
    if (v128.any_true(v128.xor(v128.load(a), v128.load(b)))) return false;
    a += 16;
    b += 16;
    size -= 16;
  }
  if (!size) return true;
  return (<u32>i8x16.bitmask(i8x16.ne(v128.load(a), v128.load(b))) & ((1 << size) - 1)) == 0;
}

/** Below, at or above zero, by the bytes: so by the code points of UTF-8. */
export function compareBytes(a: usize, m: u32, b: usize, n: u32): i32 {
  const size = min(m, n);
  for (let i: u32 = 0; i < size; i++) {
    const left = <i32>load<u8>(a + i);
    const right = <i32>load<u8>(b + i);
    if (left != right) return left - right;
  }
  return <i32>m - <i32>n;
}

/** Bytes that a search compares in vain for each byte that it looks at, before it goes on with hashes. */
const SEARCH_COST: u32 = 16;
const BASE: u64 = 257;
const MODULUS: u64 = 4294967291;

/** Whether the `m` bytes at `a` have the `n` at `b` among them; the work grows with m, whatever the texts are. */
export function containsBytes(a: usize, m: u32, b: usize, n: u32): bool {
  if (!n) return true;
  if (m < n) return false;
  const first = i8x16.splat(load<u8>(b));
  const last = i8x16.splat(load<u8>(b + n - 1));
  let left = SEARCH_COST * m + 4096;
  const places = m - n + 1;
  for (let i: u32 = 0; i < places; i += 16) {
    let found = <u32>i8x16.bitmask(v128.and(i8x16.eq(v128.load(a + i), first), i8x16.eq(v128.load(a + i + n - 1), last)));
    if (places - i < 16) found &= (1 << (places - i)) - 1;
    for (; found; found &= found - 1) {
      if (sameBytes(a + i + ctz(found), b, n)) return true;
      if (left < n) return containsByHash(a + i, m - i, b, n);
      left -= n;
    }
  }
  return false;
}

/** The same for texts that are alike almost everywhere: a rolling hash of n bytes, and a comparison only where it is the right one. */
function containsByHash(a: usize, m: u32, b: usize, n: u32): bool {
  let wanted: u64 = 0;
  let hash: u64 = 0;
  let power: u64 = 1;
  for (let i: u32 = 0; i < n; i++) {
    wanted = (wanted * BASE + load<u8>(b + i)) % MODULUS;
    hash = (hash * BASE + load<u8>(a + i)) % MODULUS;
    if (i) power = (power * BASE) % MODULUS;
  }
  for (let i: u32 = 0; ; i++) {
    if (hash == wanted && sameBytes(a + i, b, n)) return true;
    if (i + n == m) break;
    const gone = (power * load<u8>(a + i)) % MODULUS;
    hash = ((hash + MODULUS - gone) * BASE + load<u8>(a + i + n)) % MODULUS;
  }
  return false;
}

/** Code points of a text without escapes. */
export function countPoints(a: usize, size: u32): u32 {
  let count: u32 = 0;
  for (let e = a + size; a < e; a++) count += <u32>((load<u8>(a) & 0xc0) != 0x80);
  return count;
}
