/** Functions that turn a value of one type into another: int double decimal string bool timestamp duration type dyn uint. */
import { RecordError } from '../engine/contracts.ts';
import type { Call, FunctionDefinition, Implementation } from './calls.ts';
import { Decimal } from './decimal.ts';
import { inRange, isList, isObject, typeName } from './operators.ts';
import { Duration, Timestamp } from './time.ts';
import type { Value } from './values.ts';

const MAX_EXACT = 2n ** 53n;

/** A message goes to logs and events: it says where a value is and of what kind, never what it is. */
function refuse(call: Call, value: Value, needs: string): RecordError {
  const count = typeof value === 'string' ? value.length : 0;
  const shown =
    typeof value === 'string' ? `a text of ${count} ${count === 1 ? 'character' : 'characters'}` : typeName(value);
  return new RecordError(`${call.labels[0]} is ${shown}, ${call.name}() needs ${needs}`);
}

/** A bigint as records have it: a number up to 2^53, exact beyond. */
function narrow(whole: bigint): number | bigint {
  return whole >= -MAX_EXACT && whole <= MAX_EXACT ? Number(whole) : whole;
}

function int(call: Call, a: Value): Value {
  if (typeof a === 'number') return Math.trunc(a);
  if (typeof a === 'bigint') return a;
  if (a instanceof Decimal) return narrow(a.truncated());
  if (a instanceof Timestamp) return Math.floor(Number(a.ns / 1_000_000n) / 1000);
  if (typeof a === 'string' && /^[+-]?\d{1,1000}$/.test(a)) return narrow(BigInt(a.replace('+', '')));
  throw refuse(call, a, 'a number, a timestamp or text such as "42"');
}

function uint(call: Call, a: Value): Value {
  const value = int(call, a);
  if ((typeof value === 'number' || typeof value === 'bigint') && value >= 0) return value;
  throw new RecordError(`${call.labels[0]} is negative, ${call.name}() needs zero or more`);
}

function double(call: Call, a: Value): Value {
  if (typeof a === 'number') return a;
  const text = typeof a === 'bigint' || a instanceof Decimal ? a.toString() : a;
  if (typeof text === 'string' && /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) {
    const value = Number(text);
    if (Number.isFinite(value)) return value;
  }
  throw refuse(call, a, 'a number or text such as "12.5"');
}

function decimal(call: Call, a: Value): Value {
  if (a instanceof Decimal) return a;
  if (typeof a === 'number' || typeof a === 'bigint') return inRange(() => Decimal.fromNumber(a));
  const value = typeof a === 'string' ? inRange(() => Decimal.parse(a)) : undefined;
  if (value === undefined) throw refuse(call, a, 'a number or text such as "12.50"');
  return value;
}

function string(call: Call, a: Value): Value {
  if (typeof a === 'string') return a;
  if (a === null || isList(a) || isObject(a)) throw refuse(call, a, 'a value that is not null, a list or an object');
  return String(a);
}

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...['true', 'TRUE', 'True', 't', '1'].map((text) => [text, true] as const),
  ...['false', 'FALSE', 'False', 'f', '0'].map((text) => [text, false] as const),
]);

function bool(call: Call, a: Value): Value {
  const value = typeof a === 'string' ? BOOLEANS.get(a) : a;
  if (typeof value !== 'boolean') throw refuse(call, a, 'a boolean or the text "true" or "false"');
  return value;
}

function timestamp(call: Call, a: Value): Value {
  if (a instanceof Timestamp) return a;
  if (typeof a === 'number') return inRange(() => Timestamp.fromMilliseconds(a * 1000));
  const value = typeof a === 'string' ? Timestamp.parse(a) : undefined;
  if (value === undefined) throw refuse(call, a, 'text such as "2026-03-01T12:00:00Z" or seconds since 1970');
  return value;
}

function duration(call: Call, a: Value): Value {
  if (a instanceof Duration) return a;
  const value = typeof a === 'string' ? inRange(() => Duration.parse(a)) : undefined;
  if (value === undefined) throw refuse(call, a, 'text such as "1h30m" or "250ms"');
  return value;
}

/** The names of types, as text. */
function type(_call: Call, a: Value): Value {
  if (a === null) return 'null';
  if (typeof a === 'string') return 'string';
  if (typeof a === 'boolean') return 'bool';
  if (typeof a === 'number' || typeof a === 'bigint') return 'number';
  if (isList(a)) return 'list';
  if (a instanceof Decimal) return 'decimal';
  if (a instanceof Timestamp) return 'timestamp';
  return a instanceof Duration ? 'duration' : 'map';
}

const one = (run: Implementation): FunctionDefinition => ({ min: 1, max: 1, form: 'call', run });

export const conversions: [string, FunctionDefinition][] = [
  ['int', one(int)],
  ['uint', one(uint)],
  ['double', one(double)],
  ['decimal', one(decimal)],
  ['string', one(string)],
  ['bool', one(bool)],
  ['timestamp', one(timestamp)],
  ['duration', one(duration)],
  ['type', one(type)],
  ['dyn', one((_call, a) => a)],
];
