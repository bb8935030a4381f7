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
  if (typeof value === 'string') return JSON.stringify(value);
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

function scalar(value: Value): string | undefined {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'number':
      if (!Number.isFinite(value)) throw new RecordError(`${value} has no form in JSON`);
      return JSON.stringify(value);
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
