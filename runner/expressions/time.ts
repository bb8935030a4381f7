/**
 * CEL's timestamps and durations, in whole nanoseconds. A timestamp is an instant between the years 1 and 9999; its text is
 * RFC 3339 in UTC with as many decimals as it needs. A duration's text is seconds: "5400s", "-0.25s".
 */

const NS = 1_000_000_000n;
const FIRST = -62_135_596_800n * NS;
const LAST = 253_402_300_800n * NS - 1n;
/** CEL bounds durations to about 10,000 years. */
const LONGEST = 315_576_000_000n * NS;
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const UNITS: ReadonlyMap<string, bigint> = new Map([
  ['h', 3600n * NS],
  ['m', 60n * NS],
  ['s', NS],
  ['ms', 1_000_000n],
  ['us', 1000n],
  ['µs', 1000n],
  ['ns', 1n],
]);

export class Timestamp {
  /** Nanoseconds since 1970-01-01T00:00:00Z. */
  readonly ns: bigint;

  private constructor(ns: bigint) {
    this.ns = ns;
  }

  /** Throws RangeError outside the years 1 to 9999. */
  static of(ns: bigint): Timestamp {
    if (ns < FIRST || ns > LAST) throw new RangeError('a timestamp lies between the years 1 and 9999');
    return new Timestamp(ns);
  }

  static fromMilliseconds(ms: number): Timestamp {
    // Beyond any year; and what is not finite has no bigint.
    if (!(Math.abs(ms) < 1e15)) return Timestamp.of(LAST + 1n);
    return Timestamp.of(BigInt(Math.round(ms * 1000)) * 1000n);
  }

  /** Reads RFC 3339, such as 2026-03-01T12:00:00.5+02:00; undefined for other texts and for days that no calendar has. */
  static parse(text: string): Timestamp | undefined {
    const parts = RFC3339.exec(text);
    if (parts === null) return undefined;
    const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1, 7).map(Number);
    const zoneHours = Number(parts[9] ?? 0);
    const zoneMinutes = Number(parts[10] ?? 0);
    if (hour > 23 || minute > 59 || second > 59 || zoneHours > 23 || zoneMinutes > 59 || year < 1) return undefined;
    const date = new Date(0);
    date.setUTCFullYear(year, month - 1, day);
    date.setUTCHours(hour, minute, second);
    if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
    const zone = (zoneHours * 60 + zoneMinutes) * (parts[8] === '-' ? -1 : 1);
    const ns = BigInt(date.getTime() - zone * 60_000) * 1_000_000n + BigInt((parts[7] ?? '').padEnd(9, '0'));
    return ns < FIRST || ns > LAST ? undefined : new Timestamp(ns);
  }

  toString(): string {
    const seconds = floorDivide(this.ns, NS);
    const date = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
    return `${date}${decimals(this.ns - seconds * NS)}Z`;
  }

  /** The parts of this instant on the clock of a zone: "UTC" (default), "+02:00" or an IANA name. Throws RangeError for others. */
  inZone(zone: string | undefined): Date {
    const ms = Number(floorDivide(this.ns, 1_000_000n));
    return new Date(ms + zoneOffset(zone, ms));
  }
}

export class Duration {
  readonly ns: bigint;

  private constructor(ns: bigint) {
    this.ns = ns;
  }

  /** Throws RangeError beyond about 10,000 years. */
  static of(ns: bigint): Duration {
    if (ns < -LONGEST || ns > LONGEST) throw new RangeError('a duration is at most 10,000 years');
    return new Duration(ns);
  }

  /** Reads "1h30m", "-1.5s", "250ms"; undefined for other texts. */
  static parse(text: string): Duration | undefined {
    if (text.length > 100) return undefined;
    const parts = /^([+-]?)((?:\d+(?:\.\d+)?(?:h|ms|m|s|us|\u00b5s|ns))+|0)$/.exec(text);
    if (parts === null) return undefined;
    let total = 0n;
    for (const [, whole = '0', fraction = '', unit = 's'] of (parts[2] ?? '').matchAll(
      /(\d+)(?:\.(\d+))?(h|ms|m|s|us|\u00b5s|ns)/g,
    )) {
      total += ((UNITS.get(unit) ?? 0n) * BigInt(whole + fraction)) / 10n ** BigInt(fraction.length);
    }
    return Duration.of(parts[1] === '-' ? -total : total);
  }

  toString(): string {
    const size = this.ns < 0n ? -this.ns : this.ns;
    return `${this.ns < 0n ? '-' : ''}${size / NS}${decimals(size % NS)}s`;
  }
}

function decimals(ns: bigint): string {
  return ns === 0n ? '' : `.${ns.toString().padStart(9, '0').replace(/0+$/, '')}`;
}

function floorDivide(dividend: bigint, divisor: bigint): bigint {
  const quotient = dividend / divisor;
  return dividend % divisor < 0n ? quotient - 1n : quotient;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** Milliseconds that a zone's clock is ahead of UTC at an instant. */
function zoneOffset(zone: string | undefined, ms: number): number {
  if (zone === undefined || zone === 'UTC') return 0;
  const fixed = /^([+-]?)([01]\d|2[0-3]):([0-5]\d)$/.exec(zone);
  if (fixed !== null) return (Number(fixed[2]) * 60 + Number(fixed[3])) * (fixed[1] === '-' ? -60_000 : 60_000);
  const format = formats.get(zone) ?? zoneFormat(zone);
  if (formats.size < 100) formats.set(zone, format);
  const parts = new Map(format.formatToParts(ms).map((part) => [part.type, Number(part.value)]));
  const read = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
  const local = new Date(0);
  local.setUTCFullYear(read('year'), read('month') - 1, read('day'));
  local.setUTCHours(read('hour'), read('minute'), read('second'));
  return local.getTime() - Math.floor(ms / 1000) * 1000;
}

function zoneFormat(zone: string): Intl.DateTimeFormat {
  const numeric = 'numeric' as const;
  return new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    calendar: 'gregory',
    hourCycle: 'h23',
    year: numeric,
    month: numeric,
    day: numeric,
    hour: numeric,
    minute: numeric,
    second: numeric,
  });
}
