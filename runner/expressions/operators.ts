/**
 * What the operators mean on the values of a record. Equality holds between any two values; order, only between values of
 * one type. Numbers, exact whole numbers and decimals compare by value. Arithmetic on a whole number beyond 2^53 is refused.
 */
import { RecordError } from '../engine/contracts.ts';
import type { Budget } from './budget.ts';
import { Decimal } from './decimal.ts';
import type { BinaryOperator } from './parse.ts';
import { Duration, Timestamp } from './time.ts';
import type { Value } from './values.ts';

const MAX_DEPTH = 1000;

/** How the two sides are called in messages: a quoted field or piece of the expression. */
export interface Sides {
  op: BinaryOperator;
  left: string;
  right: string;
}

export function typeName(value: Value): string {
  switch (typeof value) {
    case 'string':
      return 'text';
    case 'number':
      return 'a number';
    case 'bigint':
      return 'a whole number beyond 2^53';
    case 'boolean':
      return 'a boolean';
    default:
      if (value === null) return 'null';
      if (isList(value)) return 'a list';
      if (value instanceof Decimal) return 'a decimal';
      if (value instanceof Timestamp) return 'a timestamp';
      if (value instanceof Duration) return 'a duration';
      return 'an object';
  }
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

export function isObject(value: Value): value is ReadonlyMap<string, Value> {
  return value instanceof Map;
}

/** Runs exact arithmetic; its range errors are the record's. */
export function inRange<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof RangeError) throw new RecordError(error.message);
    throw error;
  }
}

/** A finite number, or a record error. */
export function finite(value: number, what: string): number {
  if (value - value !== 0) throw new RecordError(`${what} is beyond the range of a number`);
  return value;
}

/** Deep equality; a RecordError beyond MAX_DEPTH levels. */
export function equal(a: Value, b: Value, budget: Budget, depth = 0): boolean {
  if (a === b) return true;
  if (typeof a === 'string' || typeof b === 'string') {
    if (typeof a === 'string' && typeof b === 'string' && a.length === b.length) budget.chargeText(a.length);
    return false;
  }
  if (isNumeric(a) && isNumeric(b)) return compareNumbers(a, b) === 0;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (depth > MAX_DEPTH) throw new RecordError(`values that nest deeper than ${MAX_DEPTH} levels can't be compared`);
  if (a instanceof Timestamp) return b instanceof Timestamp && a.ns === b.ns;
  if (a instanceof Duration) return b instanceof Duration && a.ns === b.ns;
  if (isList(a)) {
    if (!isList(b) || a.length !== b.length) return false;
    budget.charge(a.length);
    return a.every((item, i) => equal(item, b[i] ?? null, budget, depth + 1));
  }
  if (!isObject(a) || !isObject(b) || a.size !== b.size) return false;
  budget.charge(a.size);
  for (const [key, value] of a) {
    const other = b.get(key);
    if (other === undefined || !equal(value, other, budget, depth + 1)) return false;
  }
  return true;
}

type Numeric = number | bigint | Decimal;

function isNumeric(value: Value): value is Numeric {
  return typeof value === 'number' || typeof value === 'bigint' || value instanceof Decimal;
}

function compareNumbers(a: Numeric, b: Numeric): number {
  if (a instanceof Decimal || b instanceof Decimal) return inRange(() => asDecimal(a).compare(asDecimal(b)));
  // The platform compares number and bigint by their exact values.
  return a < b ? -1 : a > b ? 1 : 0;
}

function asDecimal(value: Numeric): Decimal {
  return value instanceof Decimal ? value : Decimal.fromNumber(value);
}

/** Order of texts by code points; the platform's "<" goes by UTF-16 units, which differ beyond U+FFFF. */
function compareTexts(a: string, b: string, budget: Budget): number {
  const length = Math.min(a.length, b.length);
  budget.chargeText(length);
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left !== right) {
      const leftWide = left >= 0xd800 && left <= 0xdfff;
      const rightWide = right >= 0xd800 && right <= 0xdfff;
      return leftWide === rightWide ? left - right : leftWide ? 1 : -1;
    }
  }
  return a.length - b.length;
}

/** Below, at or above zero; throws RecordError for values of different or unordered types. */
export function compare(a: Value, b: Value, sides: Sides, budget: Budget): number {
  if (typeof a === 'string' && typeof b === 'string') return compareTexts(a, b, budget);
  if (isNumeric(a) && isNumeric(b)) return compareNumbers(a, b);
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if ((a instanceof Timestamp && b instanceof Timestamp) || (a instanceof Duration && b instanceof Duration)) {
    return a.ns < b.ns ? -1 : a.ns > b.ns ? 1 : 0;
  }
  throw new RecordError(
    `${sides.left} is ${typeName(a)} and ${sides.right} is ${typeName(b)}: "${sides.op}" needs two numbers, texts, timestamps or durations`,
  );
}

/** All of + - * / % but the plain case of two numbers, which the compiler keeps inline for speed. */
export function arithmetic(a: Value, b: Value, sides: Sides, budget: Budget): Value {
  if (typeof a === 'number' && typeof b === 'number') return numbers(a, b, sides);
  const { op } = sides;
  if (op === '+') {
    if (typeof a === 'string' && typeof b === 'string') {
      budget.textOf(a.length + b.length);
      return a + b;
    }
    if (isList(a) && isList(b)) {
      budget.items(a.length + b.length);
      return [...a, ...b];
    }
  }
  if (isNumeric(a) && isNumeric(b)) {
    if (a instanceof Decimal || b instanceof Decimal) return inRange(() => decimals(asDecimal(a), asDecimal(b), sides));
    const label = typeof a === 'bigint' ? sides.left : sides.right;
    throw new RecordError(`${label} is a whole number beyond 2^53: "${op}" would lose digits, use decimal(...)`);
  }
  const moved = op === '+' || op === '-' ? inRange(() => times(a, b, op)) : undefined;
  if (moved !== undefined) return moved;
  throw new RecordError(mismatch(a, b, sides));
}

function numbers(a: number, b: number, sides: Sides): number {
  const { op } = sides;
  if (op === '+') return finite(a + b, `${sides.left} + ${sides.right}`);
  if (op === '-') return finite(a - b, `${sides.left} - ${sides.right}`);
  if (op === '*') return finite(a * b, `${sides.left} * ${sides.right}`);
  if (b === 0) throw new RecordError(`${sides.right} is 0: "${op}" can't divide by it`);
  if (op === '/') return finite(a / b, `${sides.left} / ${sides.right}`);
  for (const [label, value] of [[sides.left, a] as const, [sides.right, b] as const]) {
    if (!Number.isInteger(value)) throw new RecordError(`${label} has decimals, "%" needs whole numbers`);
  }
  return a % b;
}

function decimals(a: Decimal, b: Decimal, sides: Sides): Decimal {
  switch (sides.op) {
    case '+':
      return a.plus(b);
    case '-':
      return a.minus(b);
    case '*':
      return a.times(b);
    default:
      if (b.units === 0n) throw new RecordError(`${sides.right} is 0: "${sides.op}" can't divide by it`);
      if (sides.op === '/') return a.dividedBy(b);
      if (!a.isWhole() || !b.isWhole()) {
        throw new RecordError(`${a.isWhole() ? sides.right : sides.left} has decimals, "%" needs whole numbers`);
      }
      return Decimal.of(a.units % b.units, 0);
  }
}

/** Sums and differences of timestamps and durations; undefined for other values. */
function times(a: Value, b: Value, op: '+' | '-'): Value | undefined {
  if (a instanceof Timestamp && b instanceof Duration) return Timestamp.of(op === '+' ? a.ns + b.ns : a.ns - b.ns);
  if (a instanceof Duration && b instanceof Duration) return Duration.of(op === '+' ? a.ns + b.ns : a.ns - b.ns);
  if (a instanceof Duration && b instanceof Timestamp && op === '+') return Timestamp.of(a.ns + b.ns);
  if (a instanceof Timestamp && b instanceof Timestamp && op === '-') return Duration.of(a.ns - b.ns);
  return undefined;
}

function mismatch(a: Value, b: Value, sides: Sides): string {
  const { op } = sides;
  const [label, wrong, other] = isNumeric(a) ? [sides.right, b, a] : [sides.left, a, b];
  if (op === '+' && typeof wrong === 'string' && isNumeric(other)) {
    return `${label} is text, "+" needs a number on both sides, double(...), or text on both, string(...)`;
  }
  if (op === '+' && typeof wrong === 'string') {
    return `${sides.right} is ${typeName(other)} and ${label} is text, "+" needs a number on both sides or text on both`;
  }
  const hint = typeof wrong === 'string' ? '; double(...) reads one from text' : '';
  return `${label} is ${typeName(wrong)}, "${op}" needs a number on both sides${hint}`;
}
