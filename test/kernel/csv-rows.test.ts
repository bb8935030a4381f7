/** Rows of CSV: however the bytes are cut, the same rows; from every position the rest; and bounds that hold. */
import { describe, expect, test } from 'vitest';
import type { FramedRecords, Piece } from '../../runner/engine/contracts.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import type { CsvDialect } from '../../runner/kernel/csv-dialect.ts';
import { CsvChunker, CsvCutter, CsvFramer, type CsvRowOptions } from '../../runner/kernel/csv-rows.ts';
import type { Json } from '../../runner/state/store.ts';
import { randomness } from './random-json.ts';

const SEED = 20_260_301;
const code = (text: string): number => text.charCodeAt(0);
const PLAIN: CsvDialect = { delimiter: code(','), quote: code('"'), escape: -1, comment: -1, trim: false };
const HEADED: CsvRowOptions = { dialect: PLAIN, headers: true, columns: undefined, skipRows: 0, maxRecordBytes: 1000 };

interface At {
  offset: number;
  state: Json;
}

interface Half {
  push(bytes: Uint8Array, headroom?: number): FramedRecords;
  end(): FramedRecords;
  readonly pending: number;
  snapshot(): Json;
}

/** The two halves as another thread would have them: a piece crosses as a copy. */
class Halves implements Half {
  readonly #chunker: CsvChunker;
  readonly #options: CsvRowOptions;

  constructor(options: CsvRowOptions, at: At & { name: string }) {
    this.#chunker = new CsvChunker(options, at);
    this.#options = options;
  }

  get pending(): number {
    return this.#chunker.pending;
  }

  snapshot(): Json {
    return this.#chunker.snapshot();
  }

  #cut(piece: Piece | undefined): FramedRecords {
    const cutter = new CsvCutter(this.#options);
    return cutter.cut(structuredClone(piece ?? { bytes: new Uint8Array(), offset: 0 }));
  }

  push(bytes: Uint8Array, headroom?: number): FramedRecords {
    return this.#cut(this.#chunker.push(bytes, headroom));
  }

  end(): FramedRecords {
    return this.#cut(this.#chunker.end());
  }
}

interface Seen {
  /** Offset in the split, text, and the columns. */
  rows: string[];
  broken: string[];
  error: string | undefined;
  /** Behind each push: what a checkpoint would keep, and how many rows came before it. */
  positions: (At & { rows: number; broken: number })[];
}

function read(
  options: CsvRowOptions,
  bytes: Buffer,
  piece: () => number,
  { from = { offset: 0, state: null }, room = 0, halves = false }: { from?: At; room?: number; halves?: boolean } = {},
): Seen {
  const seen: Seen = { rows: [], broken: [], error: undefined, positions: [] };
  const at = { ...from, name: 'rides.csv' };
  const take = (framed: FramedRecords): void => {
    for (let i = 0; i < framed.count; i++) {
      const text = Buffer.from(framed.bytes).toString('latin1', framed.spans[2 * i], framed.spans[2 * i + 1]);
      seen.rows.push(`${framed.offsets[i]} ${JSON.stringify(framed.columns)} ${text}`);
    }
    for (const { offset, reason } of framed.broken ?? []) seen.broken.push(`${offset} ${reason}`);
  };
  try {
    const framer: Half = halves ? new Halves(options, at) : new CsvFramer(options, at);
    for (let offset = from.offset; offset < bytes.length; ) {
      const part = bytes.subarray(offset, offset + piece());
      const memory = Buffer.alloc(room + part.length);
      part.copy(memory, room);
      take(framer.push(memory.subarray(room), room));
      offset += part.length;
      const state = JSON.parse(JSON.stringify(framer.snapshot())) as Json;
      const counts = { rows: seen.rows.length, broken: seen.broken.length };
      seen.positions.push({ offset: offset - framer.pending, state, ...counts });
    }
    take(framer.end());
  } catch (error) {
    if (!(error instanceof OxiError)) throw error;
    seen.error = `${error.code} ${error.message}`;
  }
  return seen;
}

const whole = (): number => Number.MAX_SAFE_INTEGER;
const outcome = ({ rows, broken, error }: Seen) => ({ rows, broken, error });

const VARIANTS: [name: string, options: Partial<CsvRowOptions>, dialect: Partial<CsvDialect>][] = [
  ['a header', {}, {}],
  ['no header', { headers: false }, {}],
  ['columns that are named', { headers: false, columns: ['a', 'b'] }, {}],
  ['lines to skip', { skipRows: 2 }, {}],
  ['lines to skip and no header', { skipRows: 1, headers: false }, {}],
  ['lines to skip before columns that are named', { skipRows: 1, headers: false, columns: ['a', 'b'] }, {}],
  ['comments', {}, { comment: code('#') }],
  ['blanks that go', {}, { trim: true }],
  ['an escape', {}, { escape: code('\\') }],
  ['no quotes', {}, { quote: -1 }],
  ['short rows only', { maxRecordBytes: 12 }, {}],
  [
    'short rows and all the rest',
    { maxRecordBytes: 15, skipRows: 1 },
    { trim: true, comment: code('#'), escape: code('\\') },
  ],
];

describe.each(VARIANTS)('rows with %s', (_name, more, dialect) => {
  const options: CsvRowOptions = { ...HEADED, ...more, dialect: { ...PLAIN, ...dialect } };
  const PARTS = [
    'a',
    'bc',
    ',',
    ',',
    '\n',
    '\n',
    '\r\n',
    '\r',
    '"',
    '"',
    '""',
    '","',
    '\\',
    '#',
    ' ',
    '"x,y"',
    '"p\nq"',
    'é',
  ];

  test('are the same rows however the bytes are cut, and from every position the rest', () => {
    const random = randomness(SEED);
    for (let round = 0; round < 40; round++) {
      const text = Array.from({ length: 1 + random() * 40 }, () => PARTS[Math.floor(random() * PARTS.length)]).join('');
      const bytes = Buffer.from(`id,n\n${text}`);
      const where = `seed ${SEED}, round ${round}: ${JSON.stringify(text)}`;
      const expected = outcome(read(options, bytes, whole));
      expect(outcome(read(options, bytes, whole, { halves: true })), where).toEqual(expected);
      const bytewise = read(options, bytes, () => 1);
      expect(outcome(bytewise), where).toEqual(expected);
      for (const room of [0, 3, 64]) {
        const some = read(options, bytes, () => 1 + Math.floor(random() * 9), { room, halves: room === 3 });
        expect(outcome(some), where).toEqual(expected);
      }
      for (const from of bytewise.positions) {
        const rest = read(options, bytes, () => 5, { from });
        expect(rest.rows, `${where} from ${JSON.stringify(from)}`).toEqual(expected.rows.slice(from.rows));
        expect(rest.broken, where).toEqual(expected.broken.slice(from.broken));
      }
    }
  });
});

test('a row that is longer than allowed is told with its offset, and reading goes on behind it', () => {
  const long = `7,"${'x'.repeat(30)}\n${'y'.repeat(40)}"`;
  const bytes = Buffer.from(`id,n\n1,2\n${long}\n3,4\n`);
  for (const piece of [1, 7, 64, 1000]) {
    const seen = read({ ...HEADED, maxRecordBytes: 40 }, bytes, () => piece);
    expect(seen.rows).toEqual(['5 ["id","n"] 1,2', `${10 + long.length} ["id","n"] 3,4`]);
    expect(seen.broken).toEqual(['9 a row is longer than 40 bytes: a quote may not be closed']);
  }
});

test('a header that is longer than allowed, broken or no text ends the run and names the file', () => {
  const refused = (text: string | Buffer): string | undefined =>
    read({ ...HEADED, maxRecordBytes: 20 }, Buffer.from(text), () => 3).error;
  const says = 'DOCUMENT_BROKEN rides.csv: its first row tells no columns: ';
  expect(refused(`"${'x'.repeat(50)}"\n1\n`)).toBe(`${says}a row is longer than 20 bytes: a quote may not be closed`);
  expect(refused('a,"b"c\n1,2\n')).toBe(`${says}text stands behind a closing quote`);
  expect(refused(Buffer.from([0x61, 0xff, 0x0a]))).toBe(`${says}invalid UTF-8`);
});

const UNCLOSED =
  /^DOCUMENT_BROKEN rides\.csv: byte (\d+): a quote opens here and is not closed to the end of the file: /;

test('a quote that is open at the end of the file is told with its byte, however the bytes are cut', () => {
  const dialect = { ...PLAIN, quote: code("'"), escape: code('\\'), trim: true, comment: code('#') };
  const tales: [text: string, at: number, options?: Partial<CsvRowOptions>][] = [
    ['id,n\n1,2\n3,"4\n5,6\n', 11],
    ['id,n\n1,"2"\n3,"4""', 13],
    ['a,"b', 2],
    ['"', 0],
    ['left out "\nid,n\n1,"', 18, { skipRows: 1 }],
    ['1,2\n"3,4\n', 4, { headers: false }],
    ['"1', 0, { headers: false, columns: ['a', 'b'] }],
    ["id,n\n#'\n1, 'a\\'", 11, { dialect }],
    ["id,n\n1,'a\\", 7, { dialect }],
    // Longer than a row may be: where it began is known all the same, and a quote before it is none of its own.
    [`id,n\n"1","${'x'.repeat(60)}\n`, 9, { maxRecordBytes: 20 }],
    [`id,n\n1,2\n"a","${'x'.repeat(60)}","${'y'.repeat(60)}`, 76, { maxRecordBytes: 20 }],
  ];
  for (const [text, at, more] of tales)
    for (const piece of [1, 3, 7, 1000])
      for (const halves of [false, true]) {
        const { error } = read({ ...HEADED, ...more }, Buffer.from(text), () => piece, { halves });
        expect(UNCLOSED.exec(error ?? '')?.[1], `${text} in pieces of ${piece}: ${error}`).toBe(String(at));
      }
});

test('a quote that is open at the end of the file is told from a position behind the beginning, too', () => {
  const bytes = Buffer.from('id,n\n1,2\n3,"4\n5,6\n');
  const { positions } = read(HEADED, bytes, () => 9);
  const [from] = positions;
  expect(UNCLOSED.exec(read(HEADED, bytes, () => 4, { from: from as At }).error ?? '')?.[1]).toBe('11');
});

test('a quote that is never closed costs no more memory than a row may have, and is told at the end', () => {
  const MB = 1 << 20;
  const framer = new CsvFramer({ ...HEADED, maxRecordBytes: 4 * MB }, { offset: 0, state: null, name: 'rides.csv' });
  framer.push(Buffer.from('id,n\n1,2\n3,"4\n'));
  let most = 0;
  for (let i = 0; i < 256; i++) {
    expect(framer.push(Buffer.alloc(MB, '5,6\n')).count).toBe(0);
    most = Math.max(most, process.memoryUsage().arrayBuffers);
  }
  // 256 MB went through; what waits for the garbage collector is part of what is measured.
  expect(most).toBeLessThan(192 * MB);
  expect(() => framer.end()).toThrow(
    /^rides\.csv: byte 11: a quote opens here and is not closed to the end of the file/,
  );
});

test('a position in the middle of a file holds the columns', () => {
  const bytes = Buffer.from('id,n\n1,2\n3,4\n');
  const { positions } = read(HEADED, bytes, () => 9);
  expect(positions[0]).toEqual({ offset: 9, state: { columns: ['id', 'n'] }, rows: 1, broken: 0 });
});
