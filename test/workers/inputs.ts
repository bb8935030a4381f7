/** Seeded inputs with everything that makes it hard to tell where a record begins. */
import { randomness } from '../kernel/random-json.ts';

/** Seeded choices. */
export class Chance {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = randomness(seed);
  }

  /** A whole number from 0 to below `n`. */
  below(n: number): number {
    return Math.floor(this.#next() * n);
  }

  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

const WORDS = ['tea', 'Öl', '€ 5', '日本茶', '🫖', 'a "quote"', 'line\nfeed', 'back\\slash', '', ','];

function words(chance: Chance): string {
  if (chance.oneIn(50)) return 'x'.repeat(chance.below(4000));
  return Array.from({ length: chance.below(6) }, () => chance.pick(WORDS)).join(' ');
}

/** Lines with every ending, blank ones, and sometimes none at the end of the last. */
export function jsonLines(chance: Chance, count: number): string {
  let text = chance.oneIn(4) ? '\ufeff' : '';
  const end = chance.pick(['\n', '\r\n', 'mixed']);
  for (let i = 0; i < count; i++) {
    text += JSON.stringify({ order: i, name: words(chance), n: chance.below(1000) });
    text += end === 'mixed' ? chance.pick(['\n', '\r\n', '\n\n', '\n  \t\n']) : end;
  }
  return chance.oneIn(3) ? text.trimEnd() : text;
}

/** Rows with quoted line ends, short ones, empty ones and every line end; `columns`: those of the header. */
export function csvRows(chance: Chance, count: number, columns = ['order', 'name', 'n']): string {
  let text = chance.oneIn(4) ? '\ufeff' : '';
  const end = chance.pick(['\n', '\r\n', 'mixed']);
  const lineEnd = (): string => (end === 'mixed' ? chance.pick(['\n', '\r\n', '\n\n']) : end);
  const cell = (value: string): string =>
    /["\n,]/.test(value) || chance.oneIn(5) ? `"${value.replaceAll('"', '""')}"` : value;
  text += columns.join(',') + lineEnd();
  for (let i = 0; i < count; i++) {
    const cells = columns.map((_, k) => (k === 0 ? String(i) : cell(words(chance).trim())));
    text += cells.slice(0, chance.oneIn(10) ? 1 + chance.below(columns.length) : columns.length).join(',') + lineEnd();
  }
  return chance.oneIn(3) ? text.trimEnd() : text;
}
