/**
 * The table of functions. Each can be called as `name(x, ...)` and, with the first argument as receiver, as `x.name(...)`,
 * unless `form` says otherwise. A new function is one entry here and one row in `test/contract/expressions.yaml`.
 */
import { RecordError } from '../engine/contracts.ts';
import type { Call, FunctionDefinition, Implementation } from './calls.ts';
import { conversions } from './conversions.ts';
import { Decimal } from './decimal.ts';
import { finite, inRange, isList, isObject, typeName } from './operators.ts';
import { texts } from './texts.ts';
import { Duration, Timestamp } from './time.ts';
import type { Value } from './values.ts';

const noNumber = (call: Call, value: Value): RecordError =>
  new RecordError(
    `${call.labels[0]} is ${typeName(value)}, ${call.name}() needs a number${typeof value === 'string' ? '; double(...) reads one from text' : ''}`,
  );

/** Half away from zero, as it is taught at school, on the digits that a person sees: round(1.005, 2) is 1.01. */
function round(call: Call, a: Value, b: Value | undefined): Value {
  if (b === undefined) {
    if (typeof a === 'number') return a < 0 ? -Math.round(-a) : Math.round(a);
    if (typeof a === 'bigint') return a;
    if (a instanceof Decimal) return a.rounded(0);
    throw noNumber(call, a);
  }
  if (typeof b !== 'number' || !Number.isInteger(b) || b < 0 || b > 100) {
    throw new RecordError(
      `${call.labels[1]} is no whole number from 0 to 100, round() needs one as the count of decimals`,
    );
  }
  if (typeof a === 'bigint' || (typeof a === 'number' && Number.isInteger(a))) return a;
  if (a instanceof Decimal) return a.rounded(b);
  if (typeof a !== 'number') throw noNumber(call, a);
  return roundNumber(a, b);
}

/** A finite number to so many decimals. Throws RecordError beyond the range of exact arithmetic. */
export function roundNumber(value: number, places: number): number {
  return roundShort(value, places) ?? Number(inRange(() => Decimal.fromNumber(value).rounded(places)).toString());
}

const POWERS = Array.from({ length: 16 }, (_, exponent) => Number(`1e${exponent}`));

/** The same on the digits of the text, for numbers of at most 15 digits; undefined for others. */
function roundShort(value: number, places: number): number | undefined {
  const text = String(Math.abs(value));
  const point = text.indexOf('.');
  const cut = point + 1 + places;
  if (point < 0 || text.length > 16 || places > 15 || text.includes('e')) return undefined;
  if (cut >= text.length) return value;
  // At most 15 digits: a whole number that is exact, and so its quotient by an exact power of ten is the nearest double.
  const kept = Number(text.slice(0, point) + text.slice(point + 1, cut)) + (text.charCodeAt(cut) >= 0x35 ? 1 : 0);
  const rounded = kept / (POWERS[places] ?? 1);
  return value < 0 ? -rounded : rounded;
}

function whole(pick: (value: number) => number, exact: (value: Decimal) => Decimal): Implementation {
  return (call, a) => {
    if (typeof a === 'number') return pick(a);
    if (typeof a === 'bigint') return a;
    if (a instanceof Decimal) return inRange(() => exact(a));
    throw noNumber(call, a);
  };
}

function abs(call: Call, a: Value): Value {
  if (typeof a === 'number') return finite(Math.abs(a), call.name);
  if (typeof a === 'bigint') return a < 0n ? -a : a;
  if (a instanceof Decimal) return a.abs();
  if (a instanceof Duration) return Duration.of(a.ns < 0n ? -a.ns : a.ns);
  throw noNumber(call, a);
}

function size(call: Call, a: Value): Value {
  if (typeof a === 'string') {
    call.budget.chargeText(a.length);
    let count = a.length;
    for (let i = 0; i < a.length - 1; i++) {
      if ((a.charCodeAt(i) & 0xfc00) === 0xd800) {
        count--;
        i++;
      }
    }
    return count;
  }
  if (isList(a)) return a.length;
  if (isObject(a)) return a.size;
  throw new RecordError(`${call.labels[0]} is ${typeName(a)}, size() needs text, a list or an object`);
}

/** A part of a timestamp on the clock of a zone, or of a duration where CEL has that. */
function part(ofTime: (date: Date) => number, ofDuration?: (ns: bigint) => bigint): FunctionDefinition {
  return {
    min: 1,
    max: 2,
    form: 'method',
    run: (call, a, zone) => {
      if (a instanceof Duration && ofDuration !== undefined && zone === undefined) return Number(ofDuration(a.ns));
      if (!(a instanceof Timestamp)) {
        const hint = typeof a === 'string' ? '; timestamp(...) reads one from text' : '';
        throw new RecordError(`${call.labels[0]} is ${typeName(a)}, ${call.name}() needs a timestamp${hint}`);
      }
      if (zone !== undefined && typeof zone !== 'string') {
        throw new RecordError(`${call.labels[1]} is ${typeName(zone)}, ${call.name}() needs the name of a time zone`);
      }
      try {
        return ofTime(a.inZone(zone));
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        throw new RecordError(`${call.labels[1]} is no time zone; use UTC, +02:00 or a name such as Europe/Paris`);
      }
    },
  };
}

const DAY_MS = 86_400_000;

function dayOfYear(date: Date): number {
  const first = new Date(0);
  first.setUTCFullYear(date.getUTCFullYear(), 0, 1);
  return Math.floor((date.getTime() - first.getTime()) / DAY_MS);
}

const NS = 1_000_000_000n;

export const FUNCTIONS: ReadonlyMap<string, FunctionDefinition> = new Map<string, FunctionDefinition>([
  ['round', { min: 1, max: 2, run: round }],
  ['floor', { min: 1, max: 1, run: whole(Math.floor, (value) => value.floor()) }],
  ['ceil', { min: 1, max: 1, run: whole(Math.ceil, (value) => value.ceil()) }],
  ['abs', { min: 1, max: 1, run: abs }],
  ['size', { min: 1, max: 1, run: size }],
  ['now', { min: 0, max: 0, form: 'call', run: (call) => inRange(() => Timestamp.fromMilliseconds(call.now())) }],
  ['getFullYear', part((date) => date.getUTCFullYear())],
  ['getMonth', part((date) => date.getUTCMonth())],
  ['getDate', part((date) => date.getUTCDate())],
  ['getDayOfMonth', part((date) => date.getUTCDate() - 1)],
  ['getDayOfWeek', part((date) => date.getUTCDay())],
  ['getDayOfYear', part(dayOfYear)],
  [
    'getHours',
    part(
      (date) => date.getUTCHours(),
      (ns) => ns / (3600n * NS),
    ),
  ],
  [
    'getMinutes',
    part(
      (date) => date.getUTCMinutes(),
      (ns) => ns / (60n * NS),
    ),
  ],
  [
    'getSeconds',
    part(
      (date) => date.getUTCSeconds(),
      (ns) => ns / NS,
    ),
  ],
  [
    'getMilliseconds',
    part(
      (date) => date.getUTCMilliseconds(),
      (ns) => (ns % NS) / 1_000_000n,
    ),
  ],
  ...texts,
  ...conversions,
]);
