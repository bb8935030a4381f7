/** Durations, sizes and instants as people write them ("30s", "64MB"): the one place that reads them. */
import { Timestamp } from '../expressions/time.ts';

const DURATIONS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** As in the specification's `_mb` fields, a megabyte is 2^20 bytes. */
const SIZES: Readonly<Record<string, number>> = { B: 1, KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40 };

export const DURATION_HINT = 'a duration such as "500ms", "30s", "5m", "2h" or "1d"';

function parseUnit(text: string, units: Readonly<Record<string, number>>, fold: (unit: string) => string) {
  const match = /^(\d{1,12}(?:\.\d{1,6})?) ?([A-Za-z]{1,3})$/.exec(text);
  const unit = fold(match?.[2] ?? '');
  if (match === null || !Object.hasOwn(units, unit)) return undefined;
  const value = Number(match[1]) * (units[unit] ?? Number.NaN);
  return Number.isSafeInteger(Math.round(value)) ? Math.round(value) : undefined;
}

/** "30s" to milliseconds; undefined where `text` is not a duration. */
export function parseDuration(text: string): number | undefined {
  return parseUnit(text, DURATIONS, (unit) => unit);
}

/** "64MB", "64MiB", "64mb" to bytes; undefined where `text` is not a size. */
export function parseSize(text: string): number | undefined {
  return parseUnit(text, SIZES, (unit) => unit.toUpperCase().replace(/^([KMGT])IB$/, '$1B'));
}

/** RFC 3339 to milliseconds since the epoch; undefined where `text` is no such time. */
export function parseInstant(text: string): number | undefined {
  const time = Timestamp.parse(text);
  return time === undefined ? undefined : Number(time.ns / 1_000_000n);
}
