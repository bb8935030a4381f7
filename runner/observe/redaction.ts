/** Scrubs secrets out of every string of a value that is about to leave the process. */

/** Takes the known secrets out of a text. */
export type Redact = (text: string) => string;

/**
 * Fields whose texts are words of the protocol or made by the runner, never by the user: a secret that happens to equal one
 * ("hard") must not break the line. The schemas are held to this list by a test.
 */
const PROTOCOL_FIELDS: ReadonlySet<string> = new Set([
  'type',
  'ts',
  'run_id',
  'status',
  'code',
  'grade',
  'tier',
  'kind',
  'level',
  'severity',
  'memory_of',
]);

export function isProtocolField(name: string): boolean {
  return PROTOCOL_FIELDS.has(name);
}

/** A copy of plain data (objects, arrays, scalars) with every string redacted, but for protocol fields. */
export function redactStrings<T>(value: T, redact: Redact): T;
export function redactStrings(value: unknown, redact: Redact): unknown {
  if (typeof value === 'string') return redact(value);
  if (Array.isArray(value)) return value.map((item) => redactStrings(item, redact));
  if (value === null || typeof value !== 'object') return value;
  const copy: [string, unknown][] = [];
  for (const [key, item] of Object.entries(value))
    copy.push([key, PROTOCOL_FIELDS.has(key) && typeof item === 'string' ? item : redactStrings(item, redact)]);
  return Object.fromEntries(copy);
}
