// Numbers: their text to a double and back, as JavaScript has it. What is not plainly exact is asked of JavaScript itself.
import { DIGITS } from './memory';
import { noDigits } from './tokens';

const POWERS: usize = memory.data<f64>([1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15]);

// @ts-ignore: decorator
@external('js', 'parse')
declare function parseSlowly(a: usize, size: u32): f64;

/** Writes the text of a number to `o`, at most 32 bytes; returns its length. */
// @ts-ignore: decorator
@external('js', 'print')
declare function printSlowly(value: f64, o: usize): u32;

/** Below it a count of hundredths is exact, and no other number is written with as few digits. */
const MAX_HUNDREDTHS: f64 = 1e14;
const MAX_EXACT: f64 = 9007199254740992;

/** The number token [s, e); NaN where it is a whole number beyond 2^53, which the value tier keeps exactly, or beyond a double. */
export function numberOf(s: usize, e: usize): f64 {
  const from = s;
  const isNegative = load<u8>(s) == 45;
  if (isNegative) s++;
  if (e - s > 15) return slowNumber(from, e);
  let digits: u64 = 0;
  let decimals: usize = 0;
  let step: usize = 0;
  for (; s < e; s++) {
    const c = <u32>load<u8>(s);
    if (c - 48 < 10) {
      digits = digits * 10 + (c - 48);
      decimals += step;
    } else if (c == 46) step = 1;
    else return slowNumber(from, e);
  }
  let value = <f64>digits;
  if (decimals) value /= load<f64>(POWERS + (decimals << 3));
  return isNegative ? -value : value;
}

/** The number that a text is, where it is no more than a sign and at most 15 digits with a point among them; else NaN. */
export function plainNumber(s: usize, e: usize): f64 {
  let i = s;
  if (i < e && load<u8>(i) == 45) i++;
  const first = i;
  let point: usize = 0;
  for (; i < e; i++) {
    const c = <u32>load<u8>(i);
    if (c == 46 && !point && i > first && i + 1 < e) point = i;
    else if (c - 48 > 9) return NaN;
  }
  return i == first || i - first > 15 ? NaN : numberOf(s, e);
}

function slowNumber(s: usize, e: usize): f64 {
  const value = parseSlowly(s, <u32>(e - s));
  if (abs(value) >= MAX_EXACT) {
    let isWhole = true;
    for (let i = s; i < e; i++) if (load<u8>(i) > 57 || load<u8>(i) == 46) isWhole = false;
    if (isWhole) return NaN;
  }
  return value - value == 0 ? value : NaN;
}

/** It is written as JSON.stringify writes it: a whole number of at most 15 digits. */
export function isPlainWhole(s: usize, e: usize): bool {
  const n = <u32>(e - s);
  if (n > 15) return false;
  const others = noDigits(s, n);
  return others == 0 || (others == 1 && load<u8>(s, 1) != 48);
}

function printWhole(o: usize, k: u64): usize {
  let i = DIGITS + 32;
  while (k > 0xffffffff) {
    store<u8>(--i, 48 + <u32>(k % 10));
    k /= 10;
  }
  let rest = <u32>k;
  do {
    const tenth = rest / 10;
    store<u8>(--i, 48 + rest - tenth * 10);
    rest = tenth;
  } while (rest);
  // At most 15 of them.
  v128.store(o, v128.load(i));
  return o + (DIGITS + 32 - i);
}

/** Writes a finite number as JSON has it; returns the end. At most 32 bytes. */
export function printNumber(o: usize, value: f64): usize {
  const size = abs(value);
  const hundredths = nearest(size * 100);
  if (hundredths < MAX_HUNDREDTHS && hundredths / 100 == size) {
    if (value < 0) store<u8>(o++, 45);
    const k = <u64>hundredths;
    const rest = <u32>(k % 100);
    o = printWhole(o, k / 100);
    if (rest) {
      store<u8>(o++, 46);
      store<u8>(o++, 48 + rest / 10);
      if (rest % 10) store<u8>(o++, 48 + (rest % 10));
    }
    return o;
  }
  return o + printSlowly(value, o);
}
