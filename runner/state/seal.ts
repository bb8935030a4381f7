/**
 * The form of a state file: one header line with the format's number and a checksum, one line of JSON. The header's form
 * never changes, so an older program can tell a newer file from a broken one.
 */
import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Json } from './store.ts';

type JsonObject = { [key: string]: Json };

/** Format of everything behind the header. */
export const FORMAT = 2;

/** `MIGRATIONS[n]` turns a payload of format n + 1 into one of format n + 2; format 1 is the first. */
const MIGRATIONS: readonly ((payload: JsonObject) => JsonObject)[] = [
  // Format 2 has parts and requests that a program of format 1 would overlook; what both have looks the same.
  (payload) => payload,
];

/** crc32 is for a store whose every commit would feel more. */
type Algorithm = 'sha256' | 'crc32';

const HEADER = /^\{"oxiflow_state":([1-9]\d{0,8}),"(sha256|crc32)":"([0-9a-f]{64}|[0-9a-f]{8})"\}\n/;

export type Unsealed =
  | { kind: 'good'; payload: JsonObject }
  | { kind: 'damaged'; reason: string }
  | { kind: 'newer'; format: number };

export function seal(payload: object, format = FORMAT): string {
  return sealAs('sha256', payload, format);
}

export function sealAs(algorithm: Algorithm, payload: object, format = FORMAT): string {
  const json = JSON.stringify(payload);
  const sum = checksum(algorithm, format, json);
  return `{"oxiflow_state":${format},"${algorithm}":"${sum}"}\n${json}\n`;
}

export function unseal(text: string): Unsealed {
  const header = HEADER.exec(text);
  if (header === null) return { kind: 'damaged', reason: describe(text) };
  const [, number, algorithm, sum = ''] = header;
  const format = Number(number);
  const body = text.slice(header[0].length);
  if (!body.endsWith('\n')) return { kind: 'damaged', reason: 'it is cut off' };
  const json = body.slice(0, -1);
  if (checksum(algorithm as Algorithm, format, json) !== sum)
    return { kind: 'damaged', reason: 'its checksum does not match' };
  if (format > FORMAT) return { kind: 'newer', format };
  const value: unknown = parse(json);
  if (!isObject(value)) return { kind: 'damaged', reason: 'it holds no JSON object' };
  const payload = MIGRATIONS.slice(format - 1).reduce((older, migrate) => migrate(older), value);
  return { kind: 'good', payload };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checksum(algorithm: Algorithm, format: number, text: string): string {
  if (algorithm === 'crc32') return crc32(text, format).toString(16).padStart(8, '0');
  return hash(algorithm, `${format}\n${text}`);
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
