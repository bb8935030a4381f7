/** Counts, sizes, rates and durations as people write them, in at most six characters or so. */

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'] as const;

/** 1234567 as `1,234,567`. */
export function humanCount(count: number): string {
  // By hand: the first use of a locale costs ten milliseconds.
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** In five characters at most, for narrow tables: `9,999`, `12.3k`, `1.23M`. */
export function shortCount(count: number): string {
  if (count < 9999.5) return humanCount(count);
  const units = ['', 'k', 'M', 'G', 'T', 'P'];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${threeDigits(value)}${units[unit]}`;
}

/** Three digits and a unit of 1000 bytes: `999 B`, `1.23 MB`, `45.6 GB`. */
export function humanBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // 999.5 would be written as 1000, which is 1.00 of the next unit.
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : threeDigits(value)} ${UNITS[unit]}`;
}

/** Records a second: whole numbers with separators, a digit more below ten. */
export function humanRate(perSecond: number): string {
  return perSecond > 0 && perSecond < 9.95 ? perSecond.toFixed(1) : humanCount(perSecond);
}

/** `0.4 s`, `12 s`, `3m 05s`, `2h 07m`, `3d 04h`. */
export function humanDuration(ms: number): string {
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${twoDigits(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${twoDigits(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d ${twoDigits(hours % 24)}h`;
}

/** A share from 0 to 1 as `42 %`; less than everything is never written as 100 %, more than nothing never as 0 %. */
export function humanShare(share: number): string {
  if (share > 0 && share < 0.01) return '<1 %';
  return `${share < 1 ? Math.min(99, Math.round(share * 100)) : 100} %`;
}

function threeDigits(value: number): string {
  return value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}
