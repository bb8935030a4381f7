/** Random rows of CSV: columns of every type, cells of every form, and rows that are broken in every way. */
import { RandomJson } from './random-json.ts';

/** Cells as they stand in the text, quotes and all; the delimiter is a comma. */
export const CELLS: Readonly<Record<string, readonly string[]>> = {
  empty: ['', '""'],
  'whole number': ['0', '1', '7', '42', '-3', '100', '999999999999999', '"12"', '"-5"'],
  'number with decimals': ['0.5', '1.25', '-12.75', '0.00', '-0.10', '2.50', '"3.75"', '12345678901.25'],
  'long number': [
    '1234567890123456',
    '123456789012345678',
    '0.12345678901234567890',
    '-1234567.8901234567',
    '9007199254740993',
  ],
  'longest number': [`1${'0'.repeat(298)}`, `1${'0'.repeat(299)}`, `1${'0'.repeat(310)}`, `0.${'1'.repeat(400)}`],
  'number in other form': [
    '1e3',
    '1E-7',
    '-0',
    '-0.0',
    '+1',
    '007',
    '-01',
    '.5',
    '5.',
    '1e400',
    '1_000',
    '0x10',
    '--1',
    '1.2.3',
    '1-2',
    '-',
    '.',
  ],
  'number with blanks': [' 1', '1 ', ' 2.5 ', '\t3', '" 4"'],
  'almost a number': ['2019-01-01', '12:30', '1.5x', '3a', '5 km', '1e', '9'.repeat(320)],
  truth: ['true', 'false', '1', '0', '"true"', '"0"'],
  'truth in other form': ['True', 'FALSE', ' true', 'yes', 'no', 't', 'nul', 'null', 'truely', 'falsehood'],
  'plain text': [
    'a',
    'Faro',
    'New York',
    "it's",
    'a rather long text, without its comma'.replace(',', ''),
    'x'.repeat(15),
    'y'.repeat(16),
    'z'.repeat(17),
    'w'.repeat(70),
  ],
  'text in quotes': [
    '"a"',
    '"a,b"',
    '"Lisbon, Portugal"',
    '","',
    '" "',
    '"\n"',
    '"a\r\nb"',
    '"\r"',
    `"${'q,'.repeat(40)}"`,
  ],
  'text with doubled quotes': [
    '""""',
    '"say ""hi"""',
    '"""a"""',
    '"a""b"',
    '"a"",""b"',
    '""","""',
    `"${'""'.repeat(40)}"`,
  ],
  'text that JSON escapes': [
    'C:\\tmp',
    '\\',
    '"\\"',
    'a\tb',
    '\u0001',
    '\u001f',
    '"\b\f"',
    '\u0000',
    'a\\"'.slice(0, 2),
    '\u007f',
  ],
  'text beyond ASCII': ['é', '漢字', '😀 ok', '"é,"', '\u2028', '\ufeff', 'ﬂ', `${'é'.repeat(40)}`],
  'bad quotes': ['a"b', '"a"b', '"a" ', ' "a"', 'a""', '"a"b"', 'x"y,"z', '"', '"a'],
};
export const CELL_FORMS = Object.keys(CELLS);
const TYPES = ['int', 'float', 'decimal', 'bool', 'string'] as const;
const NAMES = [
  'id',
  'km',
  'fare',
  'city',
  'open',
  'note',
  'é',
  'a b',
  'say "hi"',
  'a column with a name of more than thirty-two bytes',
  '',
  'id',
];

/** What usually stands in a column of a type. */
const USUAL: Readonly<Record<string, readonly string[]>> = {
  int: ['whole number', 'whole number', 'empty'],
  float: ['number with decimals', 'whole number', 'empty', 'long number'],
  decimal: ['number with decimals', 'long number'],
  bool: ['truth'],
  string: ['plain text', 'text in quotes', 'text beyond ASCII'],
  text: [
    'plain text',
    'plain text',
    'text in quotes',
    'text with doubled quotes',
    'text that JSON escapes',
    'text beyond ASCII',
    'empty',
  ],
  infer: ['whole number', 'number with decimals', 'truth', 'plain text', 'text in quotes', 'empty', 'almost a number'],
};
const LINE_ENDS = ['\n', '\n', '\n', '\n', '\r\n', '\r\n', '\r'];
/** Bytes that are put in anywhere. */
const INSERTS = [
  '"',
  ',',
  '\n',
  '\r',
  '\r\n',
  '\\',
  '\u0000',
  '""',
  '","',
  '\xff',
  '\xc3',
  '\xe2\x82',
  '\xf0\x9f\x98',
  '\x80',
  'e',
  '-',
  '0',
  '.',
];

export interface RandomTable {
  columns: string[];
  config: Record<string, unknown>;
  /** Without a header. */
  rows: Buffer;
}

export class RandomRows extends RandomJson {
  /** How many of 100 cells are of any form, and of 100 rows broken. */
  readonly #odd: number;

  constructor(seed: number, odd: number) {
    super(seed);
    this.#odd = odd;
  }

  table(count: number): RandomTable {
    const columns = Array.from(
      { length: 1 + this.below(9) },
      (_, i) => (i < NAMES.length ? NAMES[i] : `c${i}`) as string,
    );
    const wide = this.below(20) === 0;
    if (wide) for (let i = 0; i < 60; i++) columns.push(`c${i}`);
    const unique = [...new Set(columns)];
    const isInferred = this.below(5) === 0;
    const types = Object.fromEntries(unique.flatMap((name) => (this.below(3) > 0 ? [[name, this.pick(TYPES)]] : [])));
    const config: Record<string, unknown> = this.below(6) === 0 ? {} : { types: isInferred ? 'infer' : types };
    if (this.below(3) === 0) config.empty = 'null';
    const kinds = unique.map((name) =>
      config.types === undefined ? 'text' : isInferred ? 'infer' : (types[name] ?? 'text'),
    );
    const rows = Array.from({ length: count }, () => this.#row(kinds));
    // The last may lack its end.
    const text = Buffer.concat(rows.map((row) => Buffer.concat([row, Buffer.from(this.pick(LINE_ENDS))])));
    return { columns: unique, config, rows: this.below(2) === 0 ? text : text.subarray(0, text.length - 1) };
  }

  #row(kinds: readonly string[]): Buffer {
    if (this.below(25) === 0) return Buffer.alloc(0);
    const isOdd = this.below(100) < this.#odd;
    const cells = kinds.map((kind) => {
      const forms = USUAL[kind] as readonly string[];
      const form = isOdd && this.below(3) === 0 ? this.pick(CELL_FORMS) : this.pick(forms);
      return this.pick(CELLS[form] as readonly string[]);
    });
    if (isOdd && this.below(6) === 0) cells.pop();
    if (isOdd && this.below(6) === 0) cells.push(this.pick(CELLS['plain text'] as readonly string[]));
    const row = Buffer.from(cells.join(','));
    if (!isOdd || this.below(3) > 0) return row;
    const at = this.below(row.length + 1);
    return Buffer.concat([
      row.subarray(0, at),
      Buffer.from(this.pick(INSERTS), 'latin1'),
      row.subarray(at + this.below(2)),
    ]);
  }

  /** Steps over the columns of a table. */
  steps(columns: readonly string[]): { oxi: 'filter' | 'map'; config: Record<string, unknown> }[] {
    const name = (): string => this.pick([...columns, 'absent', columns[0] as string]);
    const field = (): string => `record[${JSON.stringify(name())}]`;
    const truth = (): string =>
      this.pick([
        () => `${field()} ${this.pick(['>', '<', '>=', '=='])} ${this.pick(['0', '10', '1.25', '"a"'])}`,
        () => `${field()} == ${field()}`,
        () => `has(${field()}) && ${field()} != null`,
        () => `${field()}.${this.pick(['contains', 'startsWith'])}("a")`,
        () => `default(${field()}, "") != ""`,
        () => `has(${field()}.deep)`,
      ])();
    return Array.from({ length: this.below(4) }, () => {
      if (this.below(2) === 0) return { oxi: 'filter' as const, config: { where: truth() } };
      const config: Record<string, unknown> = {};
      if (this.below(2) === 0)
        config.set = new Map([
          [
            this.pick(['total', columns[0] as string]),
            this.pick([`${field()} * 2`, `string(${field()}) + "!"`, field(), truth()]),
          ],
        ]);
      if (this.below(3) === 0) config.rename = new Map([[name(), this.pick(['renamed', 'id'])]]);
      if (this.below(4) === 0) config.select = [...new Set([name(), name(), 'total'])];
      if (this.below(3) === 0 || Object.keys(config).length === 0) config.drop = [name()];
      return { oxi: 'map' as const, config };
    });
  }
}
