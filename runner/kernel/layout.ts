/** Lays a compact JSON text out anew: indentation, keys in order. Tokens keep their text. */
import { decodeString } from './decode.ts';
import { skipString } from './grammar.ts';
import type { ByteWriter } from './writer.ts';

export interface LayoutOptions {
  /** Spaces a level; 0 leaves everything on one line. */
  indent: number;
  sortKeys: boolean;
}

/** Writes the valid compact JSON text `b[start, end)` to `out`; `level` is the depth that its first line stands at. */
export function layOut(
  b: Buffer,
  start: number,
  end: number,
  options: LayoutOptions,
  level: number,
  out: ByteWriter,
): void {
  new Layout(b, options, out, containerEnds(b, start, end)).value(start, end, level);
}

/** Offset behind each container, by its first byte: found once, so that depth costs nothing. */
function containerEnds(b: Buffer, start: number, end: number): ReadonlyMap<number, number> {
  const ends = new Map<number, number>();
  const open: number[] = [];
  for (let p = start; p < end; p++) {
    const c = b[p];
    if (c === 0x22) p = skipString(b, p + 1, end) - 1;
    else if (c === 0x7b || c === 0x5b) open.push(p);
    else if (c === 0x7d || c === 0x5d) ends.set(open.pop() as number, p + 1);
  }
  return ends;
}

class Layout {
  readonly #b: Buffer;
  readonly #o: LayoutOptions;
  readonly #out: ByteWriter;
  readonly #ends: ReadonlyMap<number, number>;

  constructor(b: Buffer, options: LayoutOptions, out: ByteWriter, ends: ReadonlyMap<number, number>) {
    this.#b = b;
    this.#o = options;
    this.#out = out;
    this.#ends = ends;
  }

  value(start: number, end: number, level: number): void {
    const c = this.#b[start];
    if (c === 0x7b) this.#container(start, end, level, 0x7b, 0x7d);
    else if (c === 0x5b) this.#container(start, end, level, 0x5b, 0x5d);
    else this.#out.copy(this.#b, start, end);
  }

  #newLine(level: number): void {
    if (this.#o.indent === 0) return;
    this.#out.text(`\n${' '.repeat(this.#o.indent * level)}`);
  }

  #container(start: number, end: number, level: number, open: number, close: number): void {
    const out = this.#out;
    out.byte(open);
    const members = this.#members(start, end, open === 0x7b);
    if (open === 0x7b && this.#o.sortKeys)
      members.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.start - b.start));
    members.forEach((member, i) => {
      if (i > 0) out.byte(0x2c);
      this.#newLine(level + 1);
      if (open === 0x7b) {
        out.copy(this.#b, member.start, member.value - 1);
        out.text(this.#o.indent === 0 ? ':' : ': ');
      }
      this.value(member.value, member.end, level + 1);
    });
    if (members.length > 0) this.#newLine(level);
    out.byte(close);
  }

  /** Spans of what stands between the brackets. */
  #members(
    start: number,
    end: number,
    isObject: boolean,
  ): { key: string; start: number; value: number; end: number }[] {
    const b = this.#b;
    const members: { key: string; start: number; value: number; end: number }[] = [];
    let p = start + 1;
    while (p < end - 1) {
      const at = p;
      let key = '';
      if (isObject) {
        p = skipString(b, p + 1, end);
        if (this.#o.sortKeys) key = decodeString(b, at, p);
        p++;
      }
      const value = p;
      p = this.#valueEnd(p, end);
      members.push({ key, start: at, value, end: p });
      p++;
    }
    return members;
  }

  /** Behind the value at `p`, inside a container that ends at `end`. */
  #valueEnd(p: number, end: number): number {
    const b = this.#b;
    const c = b[p];
    if (c === 0x22) return skipString(b, p + 1, end);
    if (c === 0x7b || c === 0x5b) return this.#ends.get(p) as number;
    while (b[p] !== 0x2c && p < end - 1) p++;
    return p;
  }
}
