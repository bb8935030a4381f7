/** Reads the cells of one row, and makes names of columns from those of a header. */
import { isUtf8 } from 'node:buffer';
import { type CsvDialect, isBlank } from './csv-dialect.ts';

/** One cell after the other: `source[start, end)` is the text of the last one that was read. */
export class CellReader {
  readonly #d: CsvDialect;
  source: Buffer = Buffer.alloc(0);
  start = 0;
  end = 0;
  /** The cell stood in quotes. */
  quoted = false;
  /** After -1: why the row can't be read, and where in the bytes. */
  reason = '';
  at = 0;
  #scratch: Buffer = Buffer.alloc(256);

  constructor(dialect: CsvDialect) {
    this.#d = dialect;
  }

  /** The cell at `p` of a row that ends at `end`; returns the offset behind it (of a delimiter, or `end`), or -1. */
  read(b: Buffer, p: number, end: number): number {
    const d = this.#d;
    if (d.trim) while (p < end && isBlank(d, b[p] as number)) p++;
    this.quoted = d.quote >= 0 && p < end && b[p] === d.quote;
    if (this.quoted) return this.#quoted(b, p, end);
    this.source = b;
    this.start = p;
    while (p < end && b[p] !== d.delimiter) p++;
    let stop = p;
    if (d.trim) while (stop > this.start && isBlank(d, b[stop - 1] as number)) stop--;
    this.end = stop;
    return p;
  }

  #quoted(b: Buffer, open: number, end: number): number {
    const d = this.#d;
    let p = open + 1;
    while (p < end && b[p] !== d.quote && b[p] !== d.escape) p++;
    if (p < end && b[p] === d.quote && (p + 1 === end || b[p + 1] !== d.quote)) {
      this.source = b;
      this.start = open + 1;
      this.end = p;
      return this.#behind(b, p + 1, end);
    }
    // Something in it is doubled or escaped: its text has other bytes.
    if (this.#scratch.length < end - open) this.#scratch = Buffer.allocUnsafeSlow(2 * (end - open));
    const out = this.#scratch;
    let o = 0;
    p = open + 1;
    for (; p < end; p++) {
      const c = b[p] as number;
      if (c === d.escape) {
        if (++p < end) out[o++] = b[p] as number;
      } else if (c !== d.quote) out[o++] = c;
      else if (p + 1 < end && b[p + 1] === d.quote) out[o++] = b[p++] as number;
      else break;
    }
    if (p >= end) return this.#fail(open, 'a quote is not closed');
    this.source = out;
    this.start = 0;
    this.end = o;
    return this.#behind(b, p + 1, end);
  }

  /** `p` is behind a closing quote. */
  #behind(b: Buffer, p: number, end: number): number {
    const d = this.#d;
    if (d.trim) while (p < end && isBlank(d, b[p] as number)) p++;
    return p === end || b[p] === d.delimiter ? p : this.#fail(p, 'text stands behind a closing quote');
  }

  #fail(at: number, reason: string): -1 {
    this.at = at;
    this.reason = reason;
    return -1;
  }
}

/** The texts of the cells of the row `b[start, end)`, or why there are none. */
export function cellsOf(dialect: CsvDialect, b: Buffer, start: number, end: number): string[] | string {
  if (!isUtf8(b.subarray(start, end))) return 'invalid UTF-8';
  const reader = new CellReader(dialect);
  const cells: string[] = [];
  for (let p = start; ; p++) {
    p = reader.read(b, p, end);
    if (p < 0) return reader.reason;
    cells.push(reader.source.toString('utf8', reader.start, reader.end));
    if (p >= end) return cells;
  }
}

/** How many cells the row `b[start, end)` has; 0 where it can't be read. */
export function countCells(reader: CellReader, b: Buffer, start: number, end: number): number {
  let count = 1;
  for (let p = reader.read(b, start, end); p < end; p = reader.read(b, p + 1, end)) {
    if (p < 0) return 0;
    count++;
  }
  return count;
}

/**
 * Every column gets a name of its own: one without a name is called by its place (`column_3`), and of several with one name the
 * second and further ones are numbered (`fare`, `fare_2`).
 */
export function nameColumns(cells: readonly string[]): string[] {
  const given = new Set(cells);
  const taken = new Set<string>();
  const next = new Map<string, number>();
  return cells.map((cell, i) => {
    const wanted = cell === '' ? `column_${i + 1}` : cell;
    let name = wanted;
    let n = next.get(wanted) ?? 2;
    while (taken.has(name) || (name !== cell && given.has(name))) name = `${wanted}_${n++}`;
    next.set(wanted, n);
    taken.add(name);
    return name;
  });
}

export function numberColumns(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `column_${i + 1}`);
}
