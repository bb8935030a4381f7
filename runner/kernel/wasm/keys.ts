// Which of the paths a key belongs to.
//   node, 32 B: wants from 0, to 4, multiplier u64 8, table 16, shift 20
//   want, 48 B: first bytes of the key u64 0, its length with quotes 8, address 12, slot 16, child 20, index 32, next with its hash 36
// A key has one probe in the table of its node, whatever the number of wants.
import { hexValue, unitAt } from './bits';
import { KEY_TEXT, KEY_TEXT_MOST } from './memory';

/** The want of the key `a`, `length` bytes with its quotes and no escape in it; 0 where nobody wants it. */
// @ts-ignore: decorator
@inline
export function wantOf(node: usize, a: usize, length: u32): usize {
  const cut = <u64>(64 - (min<u32>(length, 8) << 3));
  const head = (load<u64>(a) << cut) >> cut;
  const place = <usize>(((head + length) * load<u64>(node, 8)) >> <u64>load<u32>(node, 20));
  let want = <usize>load<u32>(<usize>load<u32>(node, 16) + (place << 2));
  do {
    if (load<u64>(want) == head && load<u32>(want, 8) == length && (length <= 8 || sameRest(a, load<u32>(want, 12), length))) return want;
    want = load<u32>(want, 36);
  } while (want);
  return 0;
}

function sameRest(a: usize, key: usize, length: u32): bool {
  for (let i: u32 = 8; i + 8 <= length; i += 8) if (load<u64>(a + i) != load<u64>(key + i)) return false;
  return load<u64>(a + length - 8) == load<u64>(key + length - 8);
}

/** The want of an element of an array. */
export function wantAt(node: usize, i: u32): usize {
  let want = <usize>load<u32>(node);
  const end = <usize>load<u32>(node, 4);
  for (; want < end; want += 48) if (load<u32>(want, 32) == i) return want;
  return 0;
}

/** The same as `wantOf` for a key [a, e) that may be written with escapes. */
export function wantEscaped(node: usize, a: usize, e: usize): usize {
  for (let t = a; t < e; t++) {
    if (load<u8>(t) != 92) continue;
    const length = plainKey(a, e);
    return length ? wantOf(node, KEY_TEXT, length) : 0;
  }
  return wantOf(node, a, <u32>(e - a));
}

/** Writes the key [a, e) to KEY_TEXT with its quotes and without its escapes; returns its length, 0 where it is too long to be a want. */
function plainKey(a: usize, e: usize): u32 {
  if (e - a > KEY_TEXT_MOST) return 0;
  let o = KEY_TEXT;
  while (a < e) {
    let c = <u32>load<u8>(a);
    if (c != 92) {
      store<u8>(o++, c);
      a++;
      continue;
    }
    c = <u32>load<u8>(a, 1);
    a += 2;
    if (c != 117) {
      store<u8>(o++, c == 110 ? 10 : c == 116 ? 9 : c == 114 ? 13 : c == 98 ? 8 : c == 102 ? 12 : c);
      continue;
    }
    let unit = unitAt(a);
    a += 4;
    if ((unit & 0xfc00) == 0xd800 && load<u16>(a) == 0x755c) {
      unit = 0x10000 + ((unit & 0x3ff) << 10) + (unitAt(a + 2) & 0x3ff);
      a += 6;
    }
    o = putUtf8(o, unit);
  }
  return <u32>(o - KEY_TEXT);
}

function putUtf8(o: usize, c: u32): usize {
  if (c < 0x80) {
    store<u8>(o, c);
    return o + 1;
  }
  if (c < 0x800) {
    store<u8>(o, 0xc0 | (c >> 6));
    store<u8>(o, 0x80 | (c & 63), 1);
    return o + 2;
  }
  if (c < 0x10000) {
    store<u8>(o, 0xe0 | (c >> 12));
    store<u8>(o, 0x80 | ((c >> 6) & 63), 1);
    store<u8>(o, 0x80 | (c & 63), 2);
    return o + 3;
  }
  store<u8>(o, 0xf0 | (c >> 18));
  store<u8>(o, 0x80 | ((c >> 12) & 63), 1);
  store<u8>(o, 0x80 | ((c >> 6) & 63), 2);
  store<u8>(o, 0x80 | (c & 63), 3);
  return o + 4;
}
