/** CSV against parsers and texts that others wrote: `csv-spectrum`, `csv-parse`, and a writer that quotes as it likes. */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { describe, expect, test } from 'vitest';
import { randomness } from '../kernel/random-json.ts';
import { type GoldenStep, runInMemory } from './golden-flow.ts';
import { TIERS } from './oxi-suite.ts';

const SEED = 20_260_303;
const PIECES = [1, 7, 64 << 10];

async function through(text: string | Buffer, piece: number, steps: readonly GoldenStep[]): Promise<string> {
  const flow = { name: 'a.csv', bytes: Buffer.from(text), piece, steps, output: 'a.ndjson' };
  const made = await Promise.all(TIERS.map(async (tier) => String((await runInMemory({ ...flow, tier })).bytes)));
  expect(new Set(made).size).toBe(1);
  return made[0] as string;
}

function objects(lines: string): unknown[] {
  return lines.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
}

describe('csv-spectrum', () => {
  const require = createRequire(import.meta.url);
  const folder = dirname(require.resolve('csv-spectrum'));
  const names = readdirSync(join(folder, 'csvs')).map((name) => name.replace('.csv', ''));
  test.each(names)('%s', async (name) => {
    // One of its files was made anonymous in one place and not in the other, and is no list.
    const json = readFileSync(join(folder, 'json', `${name}.json`), 'utf8').replace('1234567890', '2095257564');
    const expected = [JSON.parse(json)].flat();
    const bytes = readFileSync(join(folder, 'csvs', `${name}.csv`));
    for (const piece of PIECES) expect(objects(await through(bytes, piece, [{ oxi: 'parse_csv' }]))).toEqual(expected);
  });
});

const DELIMITERS = [',', ';', '\t', '|'];
const QUOTES = ['"', "'"];
const ESCAPES = [undefined, '\\'];
const LINE_ENDS = { unix: '\n', windows: '\r\n', mac: '\r' };
const DIALECTS = DELIMITERS.flatMap((delimiter) =>
  QUOTES.flatMap((quote_char) =>
    ESCAPES.flatMap((escape_char) =>
      Object.entries(LINE_ENDS).map(([line_ending, end]) => ({
        title: `${JSON.stringify(delimiter)} ${quote_char} ${escape_char ?? 'doubled'} ${line_ending}`,
        dialect: { delimiter, quote_char, ...(escape_char === undefined ? {} : { escape_char }) },
        line_ending,
        end,
      })),
    ),
  ),
);

const BITS = [
  'a',
  'é',
  '😀',
  '1',
  '.5',
  ',',
  ';',
  '\t',
  '|',
  '"',
  "'",
  '""',
  '\\',
  '\n',
  '\r\n',
  '\r',
  ' ',
  '#',
  '=',
  '\u0000',
  '\u2028',
];

/** Names of columns, and rows of texts. */
function randomTable(seed: number): { names: string[]; rows: string[][] } {
  const random = randomness(seed);
  const text = (most: number): string =>
    Array.from({ length: Math.floor(random() * most) }, () => BITS[Math.floor(random() * BITS.length)]).join('');
  const width = 1 + Math.floor(random() * 6);
  const names = Array.from({ length: width }, (_, i) => `${text(3)}${i}`);
  return { names, rows: Array.from({ length: 12 }, () => names.map(() => text(6))) };
}

describe.each(DIALECTS)('with $title', ({ dialect, line_ending, end }) => {
  const { delimiter, quote_char: quote, escape_char: escaping = quote } = { escape_char: undefined, ...dialect };

  test.each(['minimal', 'all', 'non_numeric'])(
    'what format_csv writes is what another parser reads (%s)',
    async (quote_style) => {
      for (const seed of [SEED, SEED + 1, SEED + 2]) {
        const { names, rows } = randomTable(seed);
        // Fields that are missing here and there, so that columns come up late.
        const kept = rows.map((row, i) => row.map((cell, k) => ((i * 7 + k) % 5 === 0 && i > 0 ? undefined : cell)));
        const lines = kept
          .map((row) =>
            JSON.stringify(
              Object.fromEntries(row.flatMap((cell, k) => (cell === undefined ? [] : [[`_${names[k]}`, cell]]))),
            ),
          )
          .join('\n');
        const steps = [
          { oxi: 'parse_json', config: { framing: 'lines' } },
          { oxi: 'format_csv', config: { ...dialect, quote_style, line_ending } },
        ];
        const texts = await Promise.all(PIECES.map((piece) => through(lines, piece, steps)));
        const expected = [names.map((name) => `_${name}`), ...kept.map((row) => row.map((cell) => cell ?? ''))];
        const read: unknown = parse(texts[0] ?? '', {
          delimiter,
          quote,
          escape: escaping,
          record_delimiter: end,
          skip_empty_lines: false,
        });
        expect(read, `seed ${seed}`).toEqual(expected);
        expect(new Set(texts).size, `seed ${seed}`).toBe(1);
      }
    },
  );

  test('what another writer writes is what parse_csv reads', async () => {
    for (const seed of [SEED + 10, SEED + 11]) {
      const { names, rows } = randomTable(seed);
      const random = randomness(seed);
      const cell = (text: string): string => {
        const needs =
          [delimiter, quote, escaping, '\n', '\r'].some((part) => text.includes(part)) || names.length === 1;
        if (!needs && random() < 0.7) return text;
        const inside = [...text].map((c) => (c === quote || c === escaping ? `${escaping}${c}` : c)).join('');
        return `${quote}${inside}${quote}`;
      };
      const lines = [names, ...rows].map((row) => row.map(cell).join(delimiter));
      const text = lines.join(end) + (random() < 0.5 ? end : '');
      const expected = rows.map((row) => Object.fromEntries(row.map((value, k) => [names[k], value])));
      for (const piece of PIECES) {
        const records = objects(await through(text, piece, [{ oxi: 'parse_csv', config: dialect }]));
        expect(records, `seed ${seed}`).toEqual(expected);
      }
    }
  });
});

test('numbers, text and emptiness survive a way through CSV that quotes all but numbers', async () => {
  const lines = '{"id":1.50,"zip":"02139","note":"x, y"}\n{"id":-0,"zip":"1e5","note":"true"}\n';
  const steps = [{ oxi: 'parse_json' }, { oxi: 'format_csv', config: { quote_style: 'non_numeric' } }];
  const csv = await through(lines, 64, steps);
  expect(await through(csv, 64, [{ oxi: 'parse_csv', config: { types: 'infer' } }])).toBe(lines);
});
