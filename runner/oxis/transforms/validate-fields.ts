/** The types of `validate: fields`: each looks at the first byte of a value, and at more of it only where it has to. */
import type { FieldPath, RecordView } from '../../engine/contracts.ts';
import { Timestamp } from '../../expressions/time.ts';

/** A type as it is called in messages, and whether a value is of it. */
interface FieldType {
  readonly called: string;
  holds(kind: number, record: RecordView, path: FieldPath): boolean;
}

const isNumber = (kind: number): boolean => kind === 0x2d || (kind >= 0x30 && kind <= 0x39);
const isText = (kind: number): boolean => kind === 0x22;
const NUMBER: FieldType = { called: 'a number', holds: isNumber };

const TYPES: Readonly<Record<string, FieldType>> = {
  any: { called: 'there', holds: () => true },
  bool: { called: 'true or false', holds: (kind) => kind === 0x74 || kind === 0x66 },
  int: {
    called: 'a whole number',
    holds: (kind, record, path) => {
      if (!isNumber(kind)) return false;
      const value = record.get(path);
      return typeof value === 'bigint' || Number.isInteger(value);
    },
  },
  float: NUMBER,
  number: NUMBER,
  string: { called: 'a text', holds: isText },
  timestamp: {
    called: 'a timestamp (RFC 3339)',
    holds: (kind, record, path) => isText(kind) && Timestamp.parse(String(record.get(path))) !== undefined,
  },
  date: {
    called: 'a date (2026-03-01)',
    holds: (kind, record, path) =>
      isText(kind) && Timestamp.parse(`${String(record.get(path))}T00:00:00Z`) !== undefined,
  },
  object: { called: 'an object', holds: (kind) => kind === 0x7b },
  array: { called: 'a list', holds: (kind) => kind === 0x5b },
};

export const typeNames: readonly string[] = Object.keys(TYPES);

/** The type of that name; with `?` behind it the field may be null or missing. Undefined where there is none. */
export function fieldType(text: string): { type: FieldType; optional: boolean } | undefined {
  const optional = text.endsWith('?');
  const name = optional ? text.slice(0, -1) : text;
  const type = Object.hasOwn(TYPES, name) ? TYPES[name] : undefined;
  return type === undefined ? undefined : { type, optional };
}

/** What kind of value begins with this byte, for messages: nothing of the value itself is told. */
export function kindName(kind: number): string {
  switch (kind) {
    case -1:
      return 'missing';
    case 0x22:
      return 'a text';
    case 0x7b:
      return 'an object';
    case 0x5b:
      return 'a list';
    case 0x6e:
      return 'null';
    case 0x74:
    case 0x66:
      return 'true or false';
    default:
      return 'a number';
  }
}
