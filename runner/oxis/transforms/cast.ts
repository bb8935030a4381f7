/** The conversions of `map: cast`: what becomes of a value when it is asked to be of another type. Null stays null. */
import { RecordError } from '../../engine/contracts.ts';
import { Decimal } from '../../expressions/decimal.ts';
import { toJson } from '../../expressions/stringify.ts';
import { Timestamp } from '../../expressions/time.ts';
import type { Value } from '../../expressions/values.ts';
import { decodeText } from '../../kernel/decode.ts';

export const castTypes = ['int', 'float', 'decimal', 'bool', 'string', 'timestamp', 'json'] as const;
export type CastType = (typeof castTypes)[number];

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const WHOLE = /^[+-]?\d+$/;

/** JSON text of `value` as `type`; `text`: the source of a number. Throws RecordError where it is no such thing. */
export function castValue(value: Value, type: CastType, field: string, text?: string): string {
  const refuse = (): never => {
    throw new RecordError(`"${field}" can't be cast to ${type}: it is ${described(value)}`);
  };
  switch (type) {
    case 'string':
      return JSON.stringify(typeof value === 'string' ? value : textOf(value));
    case 'bool':
      if (typeof value === 'boolean') return String(value);
      if (value === 'true' || value === 1) return 'true';
      if (value === 'false' || value === 0) return 'false';
      return refuse();
    case 'int':
      return toInt(value) ?? refuse();
    case 'float':
      return toFloat(value) ?? refuse();
    case 'decimal':
      return toDecimal(text ?? value) ?? refuse();
    case 'timestamp':
      return toTimestamp(value) ?? refuse();
    case 'json':
      try {
        return typeof value === 'string' ? toJson(decodeText(value)) : toJson(value);
      } catch (error) {
        if (error instanceof SyntaxError) return refuse();
        throw error;
      }
  }
}

/** A whole number; a fraction is cut off, as int() does. */
function toInt(value: Value): string | undefined {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'boolean') return value ? '1' : '0';
  if (typeof value === 'string') {
    const text = value.trim();
    if (WHOLE.test(text)) return String(BigInt(text));
    return NUMBER.test(text) ? toInt(Number(text)) : undefined;
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined;
  return String(BigInt(Math.trunc(value)));
}

function toFloat(value: Value): string | undefined {
  const number =
    typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
      ? Number(value)
      : typeof value === 'string' && NUMBER.test(value.trim())
        ? Number(value)
        : Number.NaN;
  return Number.isFinite(number) ? JSON.stringify(number) : undefined;
}

/** Every digit of a text, or of a number as people read it. */
function toDecimal(value: Value): string | undefined {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') return undefined;
  try {
    return Decimal.parse(String(value).trim())?.toString();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** RFC 3339 text, a date, a date and time without a zone (read as UTC), or seconds since 1970. */
function toTimestamp(value: Value): string | undefined {
  if (typeof value === 'number' && Math.abs(value) < 1e12)
    return JSON.stringify(Timestamp.fromMilliseconds(value * 1000).toString());
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  const time = Timestamp.parse(text) ?? Timestamp.parse(`${text}Z`) ?? Timestamp.parse(`${text}T00:00:00Z`);
  return time === undefined ? undefined : JSON.stringify(time.toString());
}

/** A scalar as it is written, a list or an object as JSON. */
function textOf(value: Value): string {
  const json = toJson(value);
  return json.startsWith('"') ? (JSON.parse(json) as string) : json;
}

function described(value: Value): string {
  if (typeof value === 'string') return 'a text that does not read as one';
  if (value === null) return 'null';
  if (typeof value === 'boolean') return 'true or false';
  return typeof value === 'number' || typeof value === 'bigint' ? 'a number out of range' : 'a list or an object';
}
