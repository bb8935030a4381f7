/** Text with comments and trailing commas: however it is cut, the records of the strict text, at the same offsets. */
import { describe, expect, test } from 'vitest';
import type { Framer } from '../../runner/engine/contracts.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import { JsonStream } from '../../runner/kernel/json-stream.ts';
import { LenientFramer, strictCopy } from '../../runner/kernel/lenient.ts';
import { LineFramer } from '../../runner/kernel/lines.ts';
import type { Json } from '../../runner/state/store.ts';
import { RandomJson } from './random-json.ts';

const SEED = Number(process.env.OXIFLOW_FUZZ_SEED ?? 20_260_301);
const BOTH = { comments: true, trailingCommas: true, lines: false };

function framer(lines: boolean, at: { offset: number; state: Json } = { offset: 0, state: null }): Framer {
  const options = { ...BOTH, lines, name: 'rides.json' };
  return new LenientFramer(options, at, (state) =>
    lines
      ? new LineFramer(at.offset, 1 << 20)
      : new JsonStream(
          { name: 'rides.json', select: { segments: [], strict: true }, spread: 'must', maxRecordBytes: 1 << 20 },
          { offset: at.offset, state },
        ),
  );
}

interface Position {
  offset: number;
  state: Json;
  before: number;
}

function read(make: Framer, bytes: Buffer, piece: number, from = 0): { records: string[]; positions: Position[] } {
  const records: string[] = [];
  const positions: Position[] = [];
  const take = ({ bytes: b, spans, offsets, count }: ReturnType<Framer['push']>): void => {
    for (let i = 0; i < count; i++)
      records.push(`${offsets[i]} ${Buffer.from(b).toString('utf8', spans[2 * i], spans[2 * i + 1])}`);
  };
  for (let at = from; at < bytes.length; at += piece) {
    const end = Math.min(bytes.length, at + piece);
    take(make.push(Uint8Array.from(bytes.subarray(at, end))));
    positions.push({ offset: end - make.pending, state: make.snapshot(), before: records.length });
  }
  take(make.end());
  return { records, positions };
}

const TABLE: [string, string][] = [
  ['// all of it\n1', '            \n1'],
  ['1//', '1  '],
  ['/**/1/***/', '    1     '],
  ['/* "a, ] */[1]', '           [1]'],
  ['["// no", "/* no */"]', '["// no", "/* no */"]'],
  ['["a\\"//",1]', '["a\\"//",1]'],
  ['[1,]', '[1 ]'],
  ['[1 , /* x */ ]', '[1           ]'],
  ['{"a":1,\n}', '{"a":1 \n}'],
  ['{"a":[1,],}', '{"a":[1 ] }'],
  ['[,]', '[,]'],
  ['[1,,]', '[1,,]'],
  ['{"a":,}', '{"a":,}'],
  ['{,}', '{,}'],
  ['[1,/', '[1,/'],
  ['1/2', '1/2'],
  ['/*é*/1', '      1'],
  ['// *\n"/*"', '    \n"/*"'],
  ['/*/ 1 */2', '        2'],
];

describe('as strict JSON, byte for byte', () => {
  test.each(TABLE)('%j', (text, strict) => {
    expect(strictCopy(Buffer.from(text), BOTH).toString()).toBe(strict);
  });

  test('only what is allowed goes', () => {
    const text = Buffer.from('[1,] // x');
    expect(strictCopy(text, { ...BOTH, comments: false }).toString()).toBe('[1 ] // x');
    expect(strictCopy(text, { ...BOTH, trailingCommas: false }).toString()).toBe('[1,]     ');
  });
});

/** Comments and trailing commas at places where white space may stand. */
function loosened(random: RandomJson, text: string): string {
  let out = '';
  let inText = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i] as string;
    const last = text[i - 1];
    if (!inText && (c === ']' || c === '}') && !'[{,:'.includes(last as string) && random.below(2) === 0) out += ',';
    if (!inText && ',:]}'.includes(c) && random.below(4) === 0)
      out += random.pick(['/* , ] " */', '/**/', '// "]\n', '/*é/*\n*/']);
    out += c;
    if (c === '"' && !isEscaped(text, i)) inText = !inText;
  }
  return out;
}

function isEscaped(text: string, i: number): boolean {
  let slashes = 0;
  while (text[i - 1 - slashes] === '\\') slashes++;
  return slashes % 2 === 1;
}

test(`an array is cut as its strict copy is, in pieces of any size, and goes on anywhere (seed ${SEED})`, () => {
  const random = new RandomJson(SEED);
  for (let round = 0; round < 300; round++) {
    const compact = `[${Array.from({ length: 1 + random.below(4) }, () => random.value().replaceAll(/[\n\t\r ]/g, '')).join(',')}]`;
    const bytes = Buffer.from(loosened(random, compact));
    const where = `seed ${SEED}, round ${round}: ${bytes}`;
    const strict = read(
      new JsonStream(
        { name: '', select: { segments: [], strict: true }, spread: 'must', maxRecordBytes: 1 << 20 },
        { offset: 0, state: null },
      ),
      strictCopy(bytes, BOTH),
      1 << 20,
    ).records;
    for (const piece of [1, 2, 3, 1 + random.below(40), 1 << 20]) {
      const { records, positions } = read(framer(false), bytes, piece);
      // A comma that waits may move within the white space of its record.
      expect(records.map(squeezed), where).toEqual(strict.map(squeezed));
      const at = positions[random.below(positions.length)];
      if (at === undefined) continue;
      const rest = read(framer(false, at), bytes, 1 << 20, at.offset).records;
      expect(rest.map(squeezed), `${where} from ${at.offset}`).toEqual(strict.slice(at.before).map(squeezed));
    }
  }
});

/** White space out of texts only: those of the table hold none that matters here. */
function squeezed(record: string): string {
  const at = record.indexOf(' ');
  return `${record.slice(0, at)} ${JSON.stringify(JSON.parse(record.slice(at + 1)))}`;
}

describe('lines', () => {
  const text = [
    '/* rides',
    '   of March */',
    '{"id":1,} // the first',
    '{"id":"unclosed',
    '{"id":2} /* from here',
    '{"id":3}',
    'to here */ {"id":4,"l":[1,],}',
    '{"id":5,',
    '}',
    '',
  ].join('\n');
  const expected = ['{"id":1 }', '{"id":"unclosed', '{"id":2}', '{"id":4,"l":[1 ] }', '{"id":5,', '}'];

  test.each([1, 2, 3, 7, 1000])('are cut at line feeds, in pieces of %d bytes', (piece) => {
    const { records } = read(framer(true), Buffer.from(text), piece);
    expect(records.map((record) => record.slice(record.indexOf(' ') + 1))).toEqual(expected);
    for (const record of records) {
      const offset = Number(record.slice(0, record.indexOf(' ')));
      expect(text.slice(offset)).toMatch(/^[{}]/);
    }
  });

  test('go on behind any byte, inside a comment too', () => {
    const bytes = Buffer.from(text);
    const { records, positions } = read(framer(true), bytes, 1);
    for (const at of positions)
      expect(read(framer(true, at), bytes, 5, at.offset).records).toEqual(records.slice(at.before));
  });

  test('a comment that is not closed is a broken record', () => {
    const open = framer(true);
    open.push(Buffer.from('{"id":1}\n/* and'));
    expect(open.end().broken).toEqual([expect.objectContaining({ reason: 'a comment is not closed' })]);
  });
});

test('a comment that is not closed breaks a document, with its name', () => {
  const open = framer(false);
  open.push(Buffer.from('[1] /* and'));
  expect(() => open.end()).toThrow(OxiError);
  expect(() => framer(false).end()).toThrow(/rides\.json/);
});

test('a comma finds out what follows it behind megabytes of comments', () => {
  for (const [end, records] of [
    ['*/]', 0],
    ['*/ 2]', 1],
  ] as const) {
    const open = framer(false);
    expect(open.push(Buffer.from('[1 ')).count).toBe(1);
    open.push(Buffer.from(', /*'));
    for (let i = 0; i < 64; i++) expect(open.push(Buffer.alloc(1 << 16, 0x78)).bytes).toHaveLength(0);
    expect(open.push(Buffer.from(end)).count).toBe(records);
    expect(open.end().count).toBe(0);
  }
});
