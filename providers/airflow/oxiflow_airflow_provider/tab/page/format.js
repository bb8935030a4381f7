// Numbers for people. An unknown number is a dash.

export const NONE = '–';
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });
const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];

const known = (value) => typeof value === 'number' && Number.isFinite(value);

export const count = (value) => (known(value) ? whole.format(value) : NONE);

/** Three digits: 12.3K. */
export const compact = (value) => (known(value) ? short.format(value) : NONE);

export function bytes(value) {
  if (!known(value)) return NONE;
  let left = value;
  let unit = 0;
  while (left >= 1024 && unit < UNITS.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${unit === 0 || left >= 100 ? whole.format(left) : left.toFixed(1)} ${UNITS[unit]}`;
}

/** From 0 to 1. Nothing is rounded up to 100 %. */
export const share = (value) => (known(value) ? `${Math.floor(value * 1000) / 10} %` : NONE);

export const percent = (value) => (known(value) ? `${Math.round(value)} %` : NONE);

export function duration(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)} min ${all % 60} s`;
  return `${Math.floor(all / 3600)} h ${Math.floor((all % 3600) / 60)} min`;
}

/** A time of the document, in the reader's own zone. */
export function time(iso) {
  const at = new Date(iso ?? '');
  if (Number.isNaN(at.getTime())) return NONE;
  const now = new Date();
  const day = at.toDateString() === now.toDateString() ? {} : { month: 'short', day: 'numeric' };
  const year = at.getFullYear() === now.getFullYear() ? {} : { year: 'numeric' };
  return at.toLocaleString('en', {
    ...year,
    ...day,
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  });
}
