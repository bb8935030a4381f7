/** Rows of CSV by the byte kernel are those that JavaScript lays out, byte by byte, and so is what is refused. */
import { expect, test, vi } from 'vitest';
import type { Block } from '../../runner/engine/contracts.ts';
import { RowKernel } from '../../runner/kernel/bytes/row-kernel.ts';
import type { CsvFormat } from '../../runner/kernel/csv-cell-writer.ts';
import { type ColumnRule, RowLayout } from '../../runner/kernel/csv-layout.ts';
import { blockOf } from '../contract/oxi-suite.ts';
import { randomOf, SEED } from '../fault/random.ts';

const FORMATS: readonly CsvFormat[] = [
  [',', '"', '', '\n'],
  [';', "'", '', '\r\n'],
  ['\t', '"', '\\', '\r'],
  ['|', '"', '', '\n'],
  ['-', '"', '', '\n'],
].map(([delimiter = '', quote = '', escaping = '', lineEnd = '']) => ({
  dialect: {
    delimiter: delimiter.charCodeAt(0),
    quote: quote.charCodeAt(0),
    escape: escaping === '' ? -1 : escaping.charCodeAt(0),
    comment: -1,
    trim: false,
  },
  style: 'minimal',
  lineEnd: Buffer.from(lineEnd),
  escapeFormulas: false,
}));

/** Texts of JSON, some of them as nobody has to write them. */
const TEXTS = [
  ...[
    '""',
    '"x"',
    '"a,b;c|d"',
    '"\\"q\\""',
    '"it\'s"',
    '"l\\nm"',
    '"\\r"',
    '"tab\\t"',
    '"back\\\\slash"',
    '"\\/"',
    '"é😀"',
  ],
  ...[
    '"\\u0041"',
    '"\\ud83d\\ude00"',
    '"\\b\\f"',
    '"fifteen, letters"',
    '"sixteen letters!"',
    '"-"',
    '"null"',
    '"{[\\"]}"',
  ],
];
const OTHERS = [
  'null',
  'true',
  'false',
  '0',
  '-2.5',
  '1e300',
  '[]',
  '{}',
  '[1,"a\\"]",{"b":[]}]',
  '{"z":"}","id":1}',
  '[["{"]]',
];
const KEYS = [
  '"id"',
  '"name"',
  '"a,b"',
  '"say \\"x\\""',
  '"é"',
  '"two\\nlines"',
  '"__proto__"',
  '"10"',
  '""',
  '"\\u0069d"',
  '"sixteen letters!"',
];
const NAMES = KEYS.map((key) => JSON.parse(key) as string);
const ODD = ['1', '[]', '"x"', 'null', '{}'];

/** What came of all blocks: rows, places, columns and refusals. */
function laidOut(layout: RowLayout, blocks: readonly Block[]): string[] {
  return blocks.map((block) => {
    const refused: string[] = [];
    // What lies between records belongs to nobody, and a layout may use it.
    const own = { ...block, bytes: Uint8Array.from(block.bytes) };
    const { bytes, spans, offsets, count, runs } = layout.layOut(own, (i, { message }) =>
      refused.push(`${i} ${message}`),
    );
    const texts = Array.from({ length: count }, (_, i) =>
      Buffer.from(bytes.subarray(spans[2 * i], spans[2 * i + 1])).toString('latin1'),
    );
    return JSON.stringify({ texts, all: Buffer.from(bytes).toString('latin1'), offsets: [...offsets], runs, refused });
  });
}

test('random records, in any dialect, whatever the columns', () => {
  const random = randomOf(SEED + 41);
  const next = vi.spyOn(RowKernel.prototype, 'next');
  let records = 0;
  for (let round = 0; round < 400; round++) {
    const format = random.pick(FORMATS);
    const rule: ColumnRule = random.pick(['given', 'all']);
    const columns = rule === 'given' ? random.shuffle([...new Set(NAMES)]).slice(0, 1 + random.below(8)) : [];
    // A record with one key that is written with escapes is left to JavaScript.
    const written = random.below(4) === 0 ? KEYS : KEYS.filter((key) => !key.includes('\\'));
    const keys = random.shuffle([...written]).slice(0, 1 + random.below(written.length));
    const texts = random.below(3) === 0 ? [...TEXTS, ...OTHERS] : ['"x"', '"plain text, and more"', '7', 'null'];
    const object = (): string => {
      const some = random.below(4) === 0 ? random.shuffle([...keys]) : keys;
      const members = some.filter(() => random.below(8) > 0).map((key) => `${key}:${random.pick(texts)}`);
      if (random.below(20) === 0 && members.length > 0) members.push(random.pick(members));
      return `{${members.join(',')}}`;
    };
    const blocks = Array.from({ length: 3 }, () =>
      blockOf(Array.from({ length: random.below(60) }, () => (random.below(50) === 0 ? random.pick(ODD) : object()))),
    );
    records += blocks.reduce((sum, { count }) => sum + count, 0);
    const [own, kernel] = [false, true].map((onKernel) =>
      laidOut(new RowLayout(format, rule, columns, onKernel), blocks),
    );
    expect(kernel, `seed ${SEED + 41}, round ${round}: ${rule} ${JSON.stringify(columns)}`).toEqual(own);
  }
  const done = next.mock.results.reduce((sum, { value }, i) => sum + value.to - (next.mock.calls[i]?.[0] as number), 0);
  process.stdout.write(`rows: ${done} of ${records} records by the kernel\n`);
  expect(done).toBeGreaterThan(records / 3);
  next.mockRestore();
});

test('records that are larger than the room for a block, and texts that double, come whole', () => {
  const quotes = JSON.stringify('"'.repeat(300_000));
  const records = [
    `{"a":1,"b":"x"}`,
    `{"a":${quotes},"b":${quotes}}`,
    ...Array.from({ length: 5000 }, () => `{"a":"\\"","b":2}`),
  ];
  const blocks = [blockOf(records), blockOf(records.slice(1, 2)), blockOf([]), blockOf(records.slice(0, 1))];
  const [format] = FORMATS as [CsvFormat];
  const [own, kernel] = [false, true].map((onKernel) =>
    laidOut(new RowLayout(format, 'given', ['b', 'a'], onKernel), blocks),
  );
  expect(kernel).toEqual(own);
});

test('more columns than the kernel takes, and columns that no record has', () => {
  const names = Array.from({ length: 3000 }, (_, i) => `column ${i}`);
  const wide = `{${names.map((name, i) => `"${name}":${i}`).join(',')}}`;
  const blocks = [blockOf([wide, '{"column 7":"x"}', wide])];
  const [format] = FORMATS as [CsvFormat];
  for (const columns of [names, names.slice(0, 2000), ['other'], ['column 7']]) {
    const [own, kernel] = [false, true].map((onKernel) =>
      laidOut(new RowLayout(format, 'given', columns, onKernel), blocks),
    );
    expect(kernel).toEqual(own);
  }
  const [own, kernel] = [false, true].map((onKernel) => laidOut(new RowLayout(format, 'all', [], onKernel), blocks));
  expect(kernel).toEqual(own);
});

test('cells in other quotes than they need, and formulas, are laid out in JavaScript', () => {
  const [format] = FORMATS as [CsvFormat];
  expect(RowKernel.takes(format)).toBe(true);
  for (const style of ['all', 'non_numeric', 'none'] as const)
    expect(RowKernel.takes({ ...format, style })).toBe(false);
  expect(RowKernel.takes({ ...format, escapeFormulas: true })).toBe(false);
});
