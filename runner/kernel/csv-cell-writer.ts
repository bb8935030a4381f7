/** Cells of CSV out of JSON values, byte by byte: strings are text, anything else is its own JSON text. */
import type { CsvDialect } from './csv-dialect.ts';
import { decodeString } from './decode.ts';
import type { ByteWriter } from './writer.ts';

export const QUOTE_STYLES = ['minimal', 'all', 'non_numeric', 'none'] as const;

export interface CsvFormat {
  dialect: CsvDialect;
  style: (typeof QUOTE_STYLES)[number];
  lineEnd: Buffer;
  /** Text that a spreadsheet would take for a formula gets an apostrophe in front. */
  escapeFormulas: boolean;
}

const QUOTE = 0x22;
/** What a byte means in a cell: it is copied, makes quotes needed, or is one of JSON's escapes. */
const COPY = 0;
const QUOTED = 1;
const ESCAPE = 2;
/** Writes cells; whoever calls makes room for twice the bytes of the cell and four more. */
export class CellWriter {
  readonly #f: CsvFormat;
  readonly #meaning = new Uint8Array(256);

  constructor(format: CsvFormat) {
    this.#f = format;
    const { delimiter, quote, escape: escaping } = format.dialect;
    this.#meaning[0x5c] = ESCAPE;
    for (const c of [0x0a, 0x0d, delimiter, quote, escaping]) if (c >= 0) this.#meaning[c] = QUOTED;
  }

  /** A cell with nothing in it; `alone`: without quotes its row would be an empty line, which is no row. */
  empty(out: Buffer, o: number, alone: boolean): number {
    const { style, dialect } = this.#f;
    if (style === 'none' || (style === 'minimal' && !alone)) return o;
    out[o++] = dialect.quote;
    out[o++] = dialect.quote;
    return o;
  }

  /** The JSON value `b[start, end)`, which is not null; returns the offset behind what was written, or -1 where quotes are needed and not allowed. */
  value(b: Buffer, start: number, end: number, out: Buffer, o: number, alone: boolean): number {
    const { style, escapeFormulas } = this.#f;
    const c = b[start] as number;
    if (c !== QUOTE) {
      const isNumber = c === 0x2d || (c >= 0x30 && c <= 0x39);
      return this.#raw(b, start, end, out, o, style === 'all' || (style === 'non_numeric' && !isNumber));
    }
    if (end === start + 2)
      return style === 'non_numeric' ? this.#raw(b, 0, 0, out, o, true) : this.empty(out, o, alone);
    if (!escapeFormulas && (style === 'minimal' || style === 'none')) {
      // Most text is plain: it is copied while it is looked at.
      const meaning = this.#meaning;
      let q = o;
      let p = start + 1;
      for (; p < end - 1; p++) {
        const t = b[p] as number;
        if (meaning[t] !== COPY) break;
        out[q++] = t;
      }
      if (p === end - 1) return q;
    }
    const text = textOf(b, start, end, escapeFormulas);
    return this.#raw(text, 0, text.length, out, o, style === 'all' || style === 'non_numeric');
  }

  /** A name in the header. */
  name(name: string, out: ByteWriter): void {
    const text = Buffer.from(name);
    out.room(2 * text.length + 4);
    const { style } = this.#f;
    if (text.length === 0) out.length = this.empty(out.bytes, out.length, true);
    else
      out.length = this.#raw(text, 0, text.length, out.bytes, out.length, style === 'all' || style === 'non_numeric');
  }

  /** It can stand in a row. */
  takes(name: string): boolean {
    if (this.#f.style !== 'none') return true;
    return Buffer.from(name).every((c) => this.#meaning[c] !== QUOTED);
  }

  #raw(b: Buffer, start: number, end: number, out: Buffer, o: number, mustQuote: boolean): number {
    const meaning = this.#meaning;
    const { quote, escape: escaping } = this.#f.dialect;
    if (!mustQuote) {
      let p = start;
      let q = o;
      for (; p < end && meaning[b[p] as number] !== QUOTED; p++) out[q++] = b[p] as number;
      if (p === end) return q;
      if (this.#f.style === 'none') return -1;
    }
    out[o++] = quote;
    for (let p = start; p < end; p++) {
      const c = b[p] as number;
      if (c === quote || c === escaping) out[o++] = escaping < 0 ? quote : escaping;
      out[o++] = c;
    }
    out[o++] = quote;
    return o;
  }
}

function textOf(b: Buffer, start: number, end: number, escapeFormulas: boolean): Buffer {
  const text = decodeString(b, start, end);
  return Buffer.from(escapeFormulas && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
}
