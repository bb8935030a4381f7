// The stack of values of an expression. An operation that can't be sure of what the value tier makes of its operands returns false:
// the record goes there.
import { PLAIN, compareBytes, containsBytes, countPoints, formOf, sameBytes } from './texts';
import { isPlainWhole, numberOf, plainNumber, printNumber } from './numbers';
import { copy } from './bits';
import { EQUAL, UNEQUAL, BELOW, AT_MOST, ABOVE, AT_LEAST, PLUS, MINUS, TIMES, OVER, REST, CONTAINS, STARTS_WITH, ENDS_WITH, NEGATE, NOT, ROUND, FLOOR, CEIL, ABSOLUTE, TRUNCATE, STRING, SIZE, TO_INT, TO_FLOAT, TO_STRING, TO_BOOLEAN } from './operations';
import { SCRATCH, SCRATCH_END, TEXT_MOST, VALUES } from './memory';

// Kinds.
const NULL: u32 = 0;
const BOOLEAN: u32 = 1;
const NUMBER: u32 = 2;
const TEXT: u32 = 3;
/** A list or an object. */
const CONTAINER: u32 = 4;

// @ts-ignore: decorator
@external('js', 'round')
declare function roundSlowly(value: f64, places: u32): f64;

// Has a script of the program work on the record; it writes the JSON text of its value at an address, and tells its size: 0 where the
// value tier has to decide.
// @ts-ignore: decorator
@external('js', 'script')
declare function script(number: u32, at: usize): u32;

/** Address behind the last value, and behind the last text that was made. */
let top: usize = VALUES;
let scratch: usize = SCRATCH;

export function startValues(): void {
  top = VALUES;
  scratch = SCRATCH;
}

// @ts-ignore: decorator
@inline
function push(kind: u32, size: u32): usize {
  const at = top;
  store<u32>(at, kind);
  store<u32>(at, size, 4);
  top = at + 16;
  return at;
}

// @ts-ignore: decorator
@inline
export function pushNull(): void {
  push(NULL, 0);
}

// @ts-ignore: decorator
@inline
export function pushBoolean(value: bool): void {
  push(BOOLEAN, <u32>value);
}

// @ts-ignore: decorator
@inline
export function pushNumber(value: f64): void {
  store<f64>(push(NUMBER, 0), value, 8);
}

/** What string() makes of the value whose JSON text is [s, e). */
export function pushString(s: usize, e: usize): bool {
  if (load<u8>(s) < 58 && load<u8>(s) != 34 && isPlainWhole(s, e)) {
    pushText(s, <u32>(e - s), PLAIN);
    return true;
  }
  return pushJson(s, e) && change(STRING);
}

/** A text, without quotes around it; `form` as formOf has it. */
export function pushText(a: usize, size: u32, form: u32): void {
  const at = push(TEXT, size);
  store<u32>(at, <u32>a, 8);
  store<u32>(at, form, 12);
}

/** The value whose JSON text is [s, e). */
export function pushJson(s: usize, e: usize): bool {
  const c = <u32>load<u8>(s);
  if (c == 34) {
    const size = <u32>(e - s) - 2;
    if (size > TEXT_MOST) return false;
    const form = formOf(s + 1, e - 1);
    if (form > 1) return false;
    pushText(s + 1, size, form);
    return true;
  }
  if (c == 45 || c - 48 < 10) {
    const value = numberOf(s, e);
    if (value != value) return false;
    pushNumber(value);
    return true;
  }
  if (c == 123 || c == 91) {
    push(CONTAINER, 0);
    return true;
  }
  if (c == 110) pushNull();
  else pushBoolean(c == 116);
  return true;
}

/** The value on top is true, false, or neither: 1, 0, 2. */
// @ts-ignore: decorator
@inline
export function truth(): u32 {
  return load<u32>(top - 16) == BOOLEAN ? load<u32>(top - 16, 4) : 2;
}

// @ts-ignore: decorator
@inline
export function drop(): void {
  top -= 16;
}

// @ts-ignore: decorator
@inline
function isPlain(a: usize): bool {
  return load<u32>(a, 12) == PLAIN;
}

function areEqual(a: usize, b: usize): bool {
  const kind = load<u32>(a);
  if (kind != load<u32>(b)) return false;
  if (kind == NUMBER) return load<f64>(a, 8) == load<f64>(b, 8);
  const size = load<u32>(a, 4);
  if (size != load<u32>(b, 4)) return false;
  return kind != TEXT || sameBytes(load<u32>(a, 8), load<u32>(b, 8), size);
}

/** Whether the value under `count` constants, which are no containers, is one of them; takes all of them away. */
export function pushIsOneOf(count: u32): void {
  top -= <usize>(count + 1) << 4;
  const value = top;
  let isOne = false;
  for (let i: u32 = 1; i <= count; i++) if (areEqual(value, value + (<usize>i << 4))) isOne = true;
  pushBoolean(isOne);
}

/** An operation on the two values on top. */
export function combine(operation: u32): bool {
  top -= 32;
  const a = top;
  const b = top + 16;
  const kind = load<u32>(a);
  const other = load<u32>(b);
  if (operation <= UNEQUAL) {
    if (kind == CONTAINER && other == CONTAINER) return false;
    pushBoolean(areEqual(a, b) == (operation == EQUAL));
    return true;
  }
  if (kind != other) return false;
  if (kind == NUMBER) {
    const x = load<f64>(a, 8);
    const y = load<f64>(b, 8);
    if (operation <= AT_LEAST) {
      pushBoolean(operation == BELOW ? x < y : operation == AT_MOST ? x <= y : operation == ABOVE ? x > y : x >= y);
      return true;
    }
    let value: f64 = 0;
    if (operation == PLUS) value = x + y;
    else if (operation == MINUS) value = x - y;
    else if (operation == TIMES) value = x * y;
    else if (operation == OVER) value = x / y;
    else if (operation == REST) {
      if (trunc(x) != x || trunc(y) != y || abs(x) > 9007199254740992 || abs(y) > 9007199254740992 || y == 0) return false;
      value = <f64>(<i64>x % <i64>y);
    } else return false;
    if (value - value != 0) return false;
    pushNumber(value);
    return true;
  }
  if (kind == BOOLEAN && operation <= AT_LEAST) return compared(operation, <i32>load<u32>(a, 4) - <i32>load<u32>(b, 4));
  if (kind != TEXT) return false;
  return combineTexts(operation, a, b);
}

function compared(operation: u32, order: i32): bool {
  pushBoolean(operation == BELOW ? order < 0 : operation == AT_MOST ? order <= 0 : operation == ABOVE ? order > 0 : order >= 0);
  return true;
}

function combineTexts(operation: u32, a: usize, b: usize): bool {
  const p = <usize>load<u32>(a, 8);
  const m = load<u32>(a, 4);
  const q = <usize>load<u32>(b, 8);
  const n = load<u32>(b, 4);
  if (operation == PLUS) return joined(p, m, q, n, load<u32>(a, 12) | load<u32>(b, 12));
  if (operation == STARTS_WITH) {
    pushBoolean(m >= n && sameBytes(p, q, n));
    return true;
  }
  // In a text with escapes bytes may look like what they are not.
  if (!isPlain(a) || !isPlain(b)) return false;
  if (operation <= AT_LEAST) return compared(operation, compareBytes(p, m, q, n));
  if (operation == CONTAINS) pushBoolean(containsBytes(p, m, q, n));
  else if (operation == ENDS_WITH) pushBoolean(m >= n && sameBytes(p + m - n, q, n));
  else return false;
  return true;
}

/** A text begins, behind the quote that it will need where it goes into a record. */
// @ts-ignore: decorator
@inline
function startText(): usize {
  store<u8>(scratch++, 34);
  return scratch;
}

/** The text of a, which may be the last that was made, and of b. */
function joined(p: usize, m: u32, q: usize, n: u32, form: u32): bool {
  const size = m + n;
  if (size > TEXT_MOST) return false;
  let start = p;
  if (p + m != scratch || p < SCRATCH) {
    if (scratch + size + 32 > SCRATCH_END) return false;
    start = startText();
    copy(scratch, p, m);
    scratch += m;
  } else if (scratch + n + 32 > SCRATCH_END) return false;
  copy(scratch, q, n);
  scratch += n;
  pushText(start, size, form);
  return true;
}

/** An operation on the value on top; `places`: of a number that is rounded. */
export function change(operation: u32): bool {
  const a = top - 16;
  const kind = load<u32>(a);
  if (operation == NOT) {
    if (kind != BOOLEAN) return false;
    store<u32>(a, load<u32>(a, 4) ^ 1, 4);
    return true;
  }
  if (operation == STRING) return toText(a, kind);
  if (operation == SIZE) {
    if (kind != TEXT || !isPlain(a)) return false;
    const count = countPoints(load<u32>(a, 8), load<u32>(a, 4));
    drop();
    pushNumber(<f64>count);
    return true;
  }
  if (kind != NUMBER) return false;
  const x = load<f64>(a, 8);
  let value: f64 = 0;
  if (operation == NEGATE) value = -x;
  else if (operation == ROUND) {
    // Half away from zero.
    const size = abs(x);
    const whole = floor(size);
    const rounded = size - whole >= 0.5 ? whole + 1 : whole;
    value = x < 0 ? -rounded : rounded;
  } else if (operation == FLOOR) value = floor(x);
  else if (operation == CEIL) value = ceil(x);
  else if (operation == ABSOLUTE) value = abs(x);
  else if (operation == TRUNCATE) value = trunc(x);
  else return false;
  store<f64>(a, value, 8);
  return true;
}

/** Rounds the number on top to so many decimals. */
export function roundTo(places: u32): bool {
  const a = top - 16;
  if (load<u32>(a) != NUMBER) return false;
  const x = load<f64>(a, 8);
  if (trunc(x) == x) return true;
  const hundredths = nearest(x * 100);
  // At most two decimals, and few enough digits for them to be those that a person sees.
  if (places >= 2 && abs(hundredths) < 1e14 && hundredths / 100 == x) return true;
  const value = roundSlowly(x, places);
  if (value != value) return false;
  store<f64>(a, value, 8);
  return true;
}

/** The value on top becomes another type. */
export function cast(type: u32): bool {
  const a = top - 16;
  const kind = load<u32>(a);
  if (type == TO_STRING) return toText(a, kind);
  if (type == TO_BOOLEAN) return kind == BOOLEAN;
  if (kind == BOOLEAN) {
    const value = <f64>load<u32>(a, 4);
    drop();
    pushNumber(value);
    return true;
  }
  if (kind == TEXT) {
    const s = <usize>load<u32>(a, 8);
    const value = plainNumber(s, s + load<u32>(a, 4));
    if (value != value) return false;
    drop();
    pushNumber(value);
  } else if (kind != NUMBER) return false;
  if (type == TO_FLOAT) return true;
  const value = trunc(load<f64>(a, 8));
  // Beyond that JavaScript writes a number in another way than its digits.
  if (abs(value) >= 1e15) return false;
  store<f64>(a, value, 8);
  return true;
}

function toText(a: usize, kind: u32): bool {
  if (kind == TEXT) return true;
  if (kind == NULL || kind == CONTAINER) return false;
  if (scratch + 64 > SCRATCH_END) return false;
  const start = startText();
  if (kind == NUMBER) scratch = printNumber(scratch, load<f64>(a, 8));
  else scratch = printName(scratch, load<u32>(a, 4));
  drop();
  pushText(start, <u32>(scratch - start), PLAIN);
  return true;
}

function printName(o: usize, isTrue: u32): usize {
  if (isTrue) {
    store<u32>(o, 0x65757274);
    return o + 4;
  }
  store<u32>(o, 0x736c6166);
  store<u8>(o, 101, 4);
  return o + 5;
}

/** The value of a script on the stack. */
export function pushScript(number: u32): bool {
  const start = scratch;
  const size = script(number, start);
  if (!size) return false;
  scratch = start + size;
  return pushJson(start, scratch);
}

/** Notes the JSON text of the value of a script in the slot at `slot`. */
export function takeScript(number: u32, slot: usize): bool {
  const start = scratch;
  const size = script(number, start);
  if (!size) return false;
  scratch = start + size;
  store<u32>(slot, <u32>start);
  store<u32>(slot, <u32>start, 4);
  store<u32>(slot, <u32>scratch, 8);
  return true;
}

/** Notes the JSON text of the value on top in the slot at `slot`, and takes it away. */
export function popJson(slot: usize): bool {
  top -= 16;
  const a = top;
  const kind = load<u32>(a);
  if (kind == CONTAINER) return false;
  const size = kind == TEXT ? load<u32>(a, 4) : 0;
  if (scratch + size + 64 > SCRATCH_END) return false;
  let start = scratch;
  if (kind == TEXT) {
    const p = <usize>load<u32>(a, 8);
    if (p + size == scratch && p > SCRATCH) start = p - 1;
    else {
      startText();
      copy(scratch, p, size);
      scratch += size;
    }
    store<u8>(scratch++, 34);
  } else if (kind == NUMBER) scratch = printNumber(scratch, load<f64>(a, 8));
  else if (kind == BOOLEAN) scratch = printName(scratch, load<u32>(a, 4));
  else {
    store<u32>(scratch, 0x6c6c756e);
    scratch += 4;
  }
  store<u32>(slot, <u32>start);
  store<u32>(slot, <u32>start, 4);
  store<u32>(slot, <u32>scratch, 8);
  return true;
}
