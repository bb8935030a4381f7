/**
 * The form of a state file: one header line with the format's number and a checksum, one line of JSON. The header's form
 * never changes, so an older program can tell a newer file from a broken one.
 */
import { hash } from 'node:crypto';
import type { Json } from './store.ts';

type JsonObject = { [key: string]: Json };

/** Format of everything behind the header. */
export const FORMAT = 2;

/** `MIGRATIONS[n]` turns a payload of format n + 1 into one of format n + 2; format 1 is the first. */
const MIGRATIONS: readonly ((payload: JsonObject) => JsonObject)[] = [
  // Format 2 has parts and requests that a program of format 1 would overlook; what both have looks the same.
  (payload) => payload,
];

const HEADER = /^\{"oxiflow_state":([1-9]\d{0,8}),"sha256":"([0-9a-f]{64})"\}\n/;

export type Unsealed =
  | { kind: 'good'; payload: JsonObject }
  | { kind: 'damaged'; reason: string }
  | { kind: 'newer'; format: number };

export function seal(payload: object, format = FORMAT): string {
  const text = JSON.stringify(payload);
  return `{"oxiflow_state":${format},"sha256":"${checksum(format, text)}"}\n${text}\n`;
}

export function unseal(text: string): Unsealed {
  const header = HEADER.exec(text);
  if (header === null) return { kind: 'damaged', reason: describe(text) };
  const format = Number(header[1]);
  const body = text.slice(header[0].length);
  if (!body.endsWith('\n')) return { kind: 'damaged', reason: 'it is cut off' };
  const json = body.slice(0, -1);
  if (checksum(format, json) !== header[2]) return { kind: 'damaged', reason: 'its checksum does not match' };
  if (format > FORMAT) return { kind: 'newer', format };
  const value: unknown = parse(json);
  if (!isObject(value)) return { kind: 'damaged', reason: 'it holds no JSON object' };
  return { kind: 'good', payload: MIGRATIONS.slice(format - 1).reduce((payload, migrate) => migrate(payload), value) };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checksum(format: number, text: string): string {
  return hash('sha256', `${format}\n${text}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function describe(text: string): string {
  if (text === '') return 'it is empty';
  return text.startsWith('\0') ? 'it holds NUL bytes' : 'its first line is not that of a state file';
}
