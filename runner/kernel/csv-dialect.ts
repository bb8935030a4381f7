/** How a text of CSV is written, as single bytes; and where its rows end, quotes considered. */

const LF = 0x0a;
const CR = 0x0d;

/** All characters are ASCII, so each is one byte that no longer character of UTF-8 has in it. */
export interface CsvDialect {
  delimiter: number;
  /** -1: no quotes, every such byte is text. */
  quote: number;
  /** Inside quotes the byte behind it is text, whatever it is; -1: a quote is doubled, and nothing else is special. */
  escape: number;
  /** A line that begins with it is none of the rows; -1: there are no such lines. */
  comment: number;
  /** Blanks around cells, outside of quotes, do not count. */
  trim: boolean;
}

export function isBlank(dialect: CsvDialect, c: number): boolean {
  return (c === 0x20 || c === 0x09) && c !== dialect.delimiter;
}

/** Where a scanner stands between two bytes. */
export const ROW_START = 0;
/** Before the first byte of a cell: a quote opens. */
const CELL_START = 1;
const UNQUOTED = 2;
const QUOTED = 3;
/** Behind a quote inside quotes: the end of them, or the first half of a doubled one. */
const QUOTE_SEEN = 4;
const ESCAPED = 5;
const COMMENT = 6;

/** Below this many bytes a loop finds one faster than a call into the runtime. */
const LOOP_LIMIT = 32;

/**
 * Finds the ends of rows in bytes that come in pieces. A row ends with LF, CRLF or CR outside of quotes; a quote that is not at
 * the beginning of a cell is text. A line feed that comes in the piece after its CR makes an empty row, which counts for nothing.
 */
export class RowScanner {
  readonly #d: CsvDialect;
  /** Where it stands: what the bytes before the next one mean for it. */
  state: number = ROW_START;
  /** Where in the bytes at hand the last quote opened, whether it is closed or not; -1: none has since it was set so. */
  opened = -1;
  /** Bytes outside of quotes that change the state: the quote, CR, LF. */
  readonly #stops = new Uint8Array(256);
  /** Regions outside of quotes of the bytes at hand: start and end of each. */
  readonly #regions: number[] = [];

  constructor(dialect: CsvDialect) {
    this.#d = dialect;
    for (const c of [LF, CR, dialect.quote]) if (c >= 0) this.#stops[c] = 1;
  }

  /** The next byte stands inside of quotes. */
  get isQuoted(): boolean {
    return this.state === QUOTED || this.state === ESCAPED;
  }

  /** Behind the first end of a row in `b`, from `p` on, where the scanner then stands; else -1, and it stands at the end of `b`. */
  first(b: Buffer, p: number): number {
    const { quote, comment } = this.#d;
    const stops = this.#stops;
    const end = b.length;
    let from = p;
    if (this.state === ROW_START && comment >= 0 && p < end && b[p] === comment) this.state = COMMENT;
    while (p < end) {
      if (this.state >= QUOTED && this.state !== COMMENT) {
        p = this.#quoted(b, p, end);
        from = p;
        continue;
      }
      while (p < end && stops[b[p] as number] === 0) p++;
      if (p >= end) break;
      const c = b[p] as number;
      if (c === LF || c === CR) {
        this.state = ROW_START;
        return c === CR && p + 1 < end && b[p + 1] === LF ? p + 2 : p + 1;
      }
      if (this.state !== COMMENT) {
        this.state = c === quote && this.#opens(b, from, p) ? QUOTED : UNQUOTED;
        if (this.state === QUOTED) this.opened = p;
        from = p + 1;
      }
      p++;
    }
    if (this.state < QUOTED) this.state = this.#outside(b, from, end);
    return -1;
  }

  /** Behind the last end of a row in `b`, or -1; the scanner then stands at the end of `b`. */
  last(b: Buffer): number {
    const end = b.length;
    let last = -1;
    if (this.#d.comment >= 0) {
      for (let p = this.first(b, 0); p >= 0; p = this.first(b, p)) last = p;
      return last;
    }
    const { quote } = this.#d;
    const regions = this.#regions;
    let n = 0;
    let p = 0;
    while (p < end) {
      if (this.state >= QUOTED) {
        p = this.#quoted(b, p, end);
        continue;
      }
      const q = quote < 0 ? end : find(b, quote, p, end);
      regions[n++] = p;
      regions[n++] = q;
      this.state = q === end ? this.#outside(b, p, end) : this.#opens(b, p, q) ? QUOTED : UNQUOTED;
      if (this.state === QUOTED) this.opened = q;
      p = q + 1;
    }
    for (let r = n - 2; r >= 0; r -= 2) {
      const start = regions[r] as number;
      for (let i = (regions[r + 1] as number) - 1; i >= start; i--) if (b[i] === LF || b[i] === CR) return i + 1;
    }
    return -1;
  }

  /** Goes on inside of quotes; returns where it stopped: behind them, or at `end`. */
  #quoted(b: Buffer, p: number, end: number): number {
    const { quote, escape: escaping } = this.#d;
    while (p < end) {
      if (this.state === QUOTE_SEEN) {
        this.state = b[p] === quote ? QUOTED : UNQUOTED;
        if (this.state === UNQUOTED) return p;
        p++;
      } else if (this.state === ESCAPED) {
        this.state = QUOTED;
        p++;
      } else if (escaping < 0) {
        p = find(b, quote, p, end) + 1;
        if (p <= end) this.state = QUOTE_SEEN;
      } else {
        while (p < end && b[p] !== quote && b[p] !== escaping) p++;
        if (p < end) this.state = b[p] === quote ? QUOTE_SEEN : ESCAPED;
        p++;
      }
    }
    return end;
  }

  /** A quote at `q` is the first byte of its cell; `b[from, q)` lies outside of quotes, behind what the state tells of. */
  #opens(b: Buffer, from: number, q: number): boolean {
    return this.#outside(b, from, q) < UNQUOTED;
  }

  /** The state behind `b[from, end)`, in which no quote stands. */
  #outside(b: Buffer, from: number, end: number): number {
    const d = this.#d;
    let i = end - 1;
    if (d.trim) while (i >= from && isBlank(d, b[i] as number)) i--;
    if (i < from) return this.state === ROW_START && end > from ? CELL_START : this.state;
    const c = b[i];
    if (c === LF || c === CR) return i === end - 1 ? ROW_START : CELL_START;
    return c === d.delimiter ? CELL_START : UNQUOTED;
  }
}

/** The first `byte` in `b[p, end)`, or `end`. */
function find(b: Buffer, byte: number, p: number, end: number): number {
  const near = Math.min(p + LOOP_LIMIT, end);
  for (; p < near; p++) if (b[p] === byte) return p;
  if (p === end) return end;
  const found = b.indexOf(byte, p);
  return found < 0 || found > end ? end : found;
}
