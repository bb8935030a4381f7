/** The JSON text of a value, in the form of ECMAScript's JSON.stringify, with exact digits for bigint and Decimal. */
import { RecordError } from '../engine/contracts.ts';
import { Decimal } from './decimal.ts';
import { Duration, Timestamp } from './time.ts';
import type { Value } from './values.ts';

/** Longest JSON text that one value may have, in UTF-16 units. */
const MAX_JSON = 1 << 28;
/** Deepest nesting of lists and objects. */
const MAX_DEPTH = 1000;

/** Throws RecordError for a number that JSON does not have, and beyond 256 M characters or 1000 levels. */
export function toJson(value: Value): string {
  if (typeof value === 'string') return textJson(value);
  if (typeof value === 'number') return numberJson(value);
  const room = { left: MAX_JSON };
  return write(value, room, 0);
}

function write(value: Value, room: { left: number }, depth: number): string {
  const text = scalar(value);
  if (text !== undefined) {
    room.left -= text.length;
    if (room.left < 0) throw new RecordError('the result is longer than 256 million characters of JSON');
    return text;
  }
  if (depth >= MAX_DEPTH) throw new RecordError(`the result nests deeper than ${MAX_DEPTH} levels`);
  room.left -= 2;
  const parts: string[] = [];
  if (value instanceof Map) {
    for (const [key, member] of value as ReadonlyMap<string, Value>) {
      const name = JSON.stringify(key);
      room.left -= name.length + 2;
      parts.push(`${name}:${write(member, room, depth + 1)}`);
    }
    return `{${parts.join(',')}}`;
  }
  for (const item of value as readonly Value[]) {
    room.left -= 1;
    parts.push(write(item, room, depth + 1));
  }
  return `[${parts.join(',')}]`;
}

/** Below it a number of hundredths is exact, and so short that no other number is written with as few digits. */
const MAX_HUNDREDTHS = 1e14;

/** As JSON.stringify writes it. Whole numbers and hundredths, which are most, are put together from whole parts: that is faster. */
function numberJson(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e21) return value === 0 ? '0' : String(value);
  const hundredths = Math.round(value * 100);
  if (hundredths / 100 === value && Math.abs(hundredths) < MAX_HUNDREDTHS) {
    const absolute = Math.abs(hundredths);
    const whole = Math.floor(absolute / 100);
    const cents = absolute - whole * 100;
    const text = cents % 10 === 0 ? `${whole}.${cents / 10}` : cents < 10 ? `${whole}.0${cents}` : `${whole}.${cents}`;
    return value < 0 ? `-${text}` : text;
  }
  if (!Number.isFinite(value)) throw new RecordError(`${value} has no form in JSON`);
  return JSON.stringify(value);
}

/** Up to so many characters a look at each is cheaper than a call into the runtime. */
const SHORT = 48;

function textJson(value: string): string {
  const { length } = value;
  if (length > SHORT) return JSON.stringify(value);
  for (let i = 0; i < length; i++) {
    const c = value.charCodeAt(i);
    if (c < 0x20 || c > 0x7e || c === 0x22 || c === 0x5c) return JSON.stringify(value);
  }
  return `"${value}"`;
}

function scalar(value: Value): string | undefined {
  switch (typeof value) {
    case 'string':
      return textJson(value);
    case 'number':
      return numberJson(value);
    case 'boolean':
    case 'bigint':
      return String(value);
    default:
      if (value === null) return 'null';
      if (value instanceof Decimal) return value.toString();
      if (value instanceof Timestamp || value instanceof Duration) return `"${value.toString()}"`;
      return undefined;
  }
}
