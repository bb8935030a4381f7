/** Seeded JSON texts, valid and broken, with everything that is rare in data and common in bugs. */

/** A small generator of numbers below 1 (mulberry32). */
export function randomness(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const SPACES = ['', '', '', '', ' ', '\n', '\t', '\r', '  '];
const KEYS = ['a', 'b', 'c', 't', 'ab', '', '__proto__', '10', '\\u0061', 'a\\/b', 'é', '\\u00e9', '\\ud83d\\ude00'];
const TEXTS = [
  '',
  'x',
  'x y',
  '\\n',
  '\\"',
  '\\\\',
  '\\/',
  '\\u00E9',
  'é',
  'ﬂ',
  '😀',
  '\\uD83D\\uDE00',
  ']}',
  '{\\"a\\":1}',
];
const NUMBERS = ['0', '-0', '1.50', '1e400', '1E-5', '2e+07', '-12.0', '12345678901234567890', '0.1', '10'];
const LITERALS = ['true', 'false', 'null'];
const INSERTS = [
  '"',
  '\\',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '0',
  '-',
  '.',
  'e',
  ' ',
  '\n',
  '\u0000',
  '\u001f',
  '\u007f',
  'tru',
  '\\u',
  '\\ud800',
  '\\udc00',
  '//',
  "'",
  '\ufeff',
  '\u00a0',
  '\u2028',
];

export class RandomJson {
  readonly random: () => number;

  constructor(seed: number) {
    this.random = randomness(seed);
  }

  below(n: number): number {
    return Math.floor(this.random() * n);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  space(): string {
    return this.pick(SPACES);
  }

  /** A value with white space around its tokens. */
  value(depth = 0): string {
    const kind = this.below(depth > 3 ? 3 : 6);
    if (kind === 0) return this.pick(NUMBERS);
    if (kind === 1) return this.pick(LITERALS);
    if (kind === 2) return `"${this.pick(TEXTS)}${this.pick(TEXTS)}"`;
    return kind === 3 ? this.array(depth) : this.object(depth);
  }

  array(depth: number): string {
    const items = Array.from({ length: this.below(4) }, () => `${this.space()}${this.value(depth + 1)}${this.space()}`);
    return `[${items.join(',') || this.space()}]`;
  }

  object(depth: number): string {
    const members = Array.from(
      { length: this.below(5) },
      () => `${this.space()}"${this.pick(KEYS)}"${this.space()}:${this.space()}${this.value(depth + 1)}${this.space()}`,
    );
    return `{${members.join(',') || this.space()}}`;
  }

  /** The bytes with one to three changes, most of which break it. */
  mutated(bytes: Buffer): Buffer {
    let out = bytes;
    for (let n = 1 + this.below(3); n > 0; n--) {
      const at = this.below(out.length + 1);
      const to = Math.min(out.length, at + 1 + this.below(3));
      const kind = this.below(5);
      if (kind === 0) out = Buffer.concat([out.subarray(0, at), out.subarray(to)]);
      else if (kind === 1)
        out = Buffer.concat([out.subarray(0, at), Buffer.from(this.pick(INSERTS)), out.subarray(at)]);
      else if (kind === 2) out = Buffer.from(out.subarray(0, at));
      else if (kind === 3) out = Buffer.concat([out.subarray(0, to), out.subarray(at)]);
      else if (at < out.length) {
        out = Buffer.from(out);
        out[at] = this.below(256);
      }
    }
    return out;
  }
}
