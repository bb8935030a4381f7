/** A record and its surroundings for tests of expressions, from JSON text. */
import type { Scope } from '../../runner/expressions/compile.ts';
import { Timestamp } from '../../runner/expressions/time.ts';
import type { Value } from '../../runner/expressions/values.ts';

/** Start of the run in all tests of expressions. */
const RUN_START = Date.UTC(2026, 2, 1, 12);

/** JSON text to a value, with exact whole numbers. */
export function recordOf(json: string): Value {
  const revive = (_key: string, value: unknown, context?: { source?: string }): unknown => {
    if (typeof value === 'number' && /^-?\d+$/.test(context?.source ?? '') && Math.abs(value) >= 2 ** 53) {
      const whole = BigInt(context?.source ?? '0');
      return whole > 2n ** 53n || whole < -(2n ** 53n) ? whole : value;
    }
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Map);
    return isObject ? new Map(Object.entries(value)) : value;
  };
  return JSON.parse(json, revive) as Value;
}

function at(value: Value, path: readonly string[]): Value | undefined {
  let found: Value | undefined = value;
  for (const key of path) {
    if (!(found instanceof Map)) return undefined;
    found = (found as ReadonlyMap<string, Value>).get(key);
  }
  return found;
}

/** `texts` gives the source text of numbers, for decimal(). */
export function scopeOf(record: Value, texts: Readonly<Record<string, string>> = {}): Scope {
  return {
    record: {
      get: (path) => at(record, path),
      has: (path) => at(record, path) !== undefined,
      numberText: (path) => texts[path.join('.')],
    },
    meta: new Map<string, Value>([
      ['file', 'orders.ndjson'],
      ['offset', 128],
    ]),
    env: new Map([['REGION', 'eu']]),
    params: new Map<string, Value>([
      ['day', Timestamp.fromMilliseconds(Date.UTC(2026, 2, 1))],
      ['rate', 1.5],
    ]),
    steps: new Map([['orders', new Map([['records', 12]])]]),
    now: RUN_START,
  };
}
