/** Several files under one parser: how records stand is found out from the first that holds any, and the others keep to it. */
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import type { ParserOxi, RawBlock, Source, Split } from '../../runner/engine/contracts.ts';
import { noCounters } from '../../runner/engine/counters.ts';
import { detectStream } from '../../runner/engine/first-look.ts';
import { newChannel, type Position } from '../../runner/engine/flow.ts';
import { runSource } from '../../runner/engine/flow-source.ts';
import { parseCsv } from '../../runner/oxis/formats/parse-csv.ts';
import { parseJson } from '../../runner/oxis/formats/parse-json.ts';
import { recordsOf } from './oxi-suite.ts';

/** Bytes of a block: small enough that positions fall inside of files. */
const PIECE = 4;
const START: Position = { split: 0, offset: 0, records: 0, framer: null };

class Files implements Source {
  readonly kind = 'offset';
  readonly bounded = true;
  readonly binary: boolean;
  readonly #files: readonly (readonly [name: string, text: string])[];

  constructor(files: readonly (readonly [string, string])[], binary: boolean) {
    this.#files = files;
    this.binary = binary;
  }

  #bytes(split: Split): Buffer {
    return Buffer.from(this.#files[split.index]?.[1] ?? '');
  }

  async splits(): Promise<Split[]> {
    return this.#files.map(([name, text], index) => ({ index, name, size: Buffer.byteLength(text) }));
  }

  async recorded(): Promise<Split[]> {
    return this.splits();
  }

  async peek(split: Split, length: number): Promise<Uint8Array> {
    return this.#bytes(split).subarray(0, length);
  }

  async *open(split: Split, from: number): AsyncGenerator<RawBlock> {
    const bytes = this.#bytes(split);
    for (let at = from; at < bytes.length; at += PIECE) {
      const part = Uint8Array.from(bytes.subarray(at, at + PIECE));
      yield { bytes: part, after: at + part.length };
    }
  }

  async close(): Promise<void> {}
}

interface Read {
  framing: string;
  records: string[];
  /** Names of the columns of each record, where it has any. */
  columns: (readonly string[])[];
  positions: Position[];
}

async function read(
  files: readonly (readonly [string, string])[],
  {
    oxi = parseJson,
    config = {},
    from = START,
    binary = false,
  }: { oxi?: ParserOxi; config?: object; from?: Position; binary?: boolean } = {},
): Promise<Read> {
  const source = new Files(files, binary);
  const splits = await source.splits();
  const parser = { oxi, config: z.parse(oxi.config as z.ZodType, config), select: undefined };
  const stream = await detectStream(source, splits, parser);
  const out = newChannel();
  const seen: Read = { framing: stream.framing, records: [], columns: [], positions: [] };
  let barriers = 0;
  const never = new AbortController().signal;
  const reading = runSource(
    {
      source,
      splits,
      stepId: 'read',
      parser: { ...parser, stream },
      cutsLater: false,
      direct: undefined,
      counters: noCounters(),
      from,
      limit: Number.POSITIVE_INFINITY,
      due: () => 'soft',
      nextBarrier: () => ++barriers,
      stop: never,
      enough: never,
      reading: never,
      progress: () => undefined,
      busy: () => undefined,
      say: () => undefined,
    },
    out,
  ).catch((error) => out.fail(error));
  for (let item = await out.receive(); item !== undefined; item = await out.receive()) {
    if (item.kind === 'block') {
      const records = recordsOf(item.block);
      seen.records.push(...records);
      for (const _ of records) if (item.block.columns !== undefined) seen.columns.push(item.block.columns);
    } else seen.positions.push(item.barrier.position);
  }
  await reading;
  return seen;
}

const ARRAY = '[{"a":1},\n {"a":2}]\n';
const DOCUMENT = '{\n  "a": 3\n}\n';
const LINES = '{"a":4}\n{"a":5}\n';

describe('several files', () => {
  const cases: [title: string, files: [string, string][], framing: string, records: string[]][] = [
    [
      'an empty one before an array',
      [
        ['a.json', ''],
        ['b.json', ARRAY],
      ],
      'array',
      ['{"a":1}', '{"a":2}'],
    ],
    [
      'a blank one behind an array',
      [
        ['a.json', ARRAY],
        ['b.json', ' \n\t\r\n '],
      ],
      'array',
      ['{"a":1}', '{"a":2}'],
    ],
    [
      'a byte order mark alone, then a document',
      [
        ['a.json', '\ufeff'],
        ['b.json', DOCUMENT],
      ],
      'document',
      [DOCUMENT.trim()],
    ],
    [
      'documents, one of them on a line',
      [
        ['a.json', DOCUMENT],
        ['b.json', ''],
        ['c.json', '{"a":6}\n'],
      ],
      'document',
      [DOCUMENT.trim(), '{"a":6}'],
    ],
    [
      'arrays with an empty one between them',
      [
        ['a.json', ARRAY],
        ['b.json', ''],
        ['c.json', '\ufeff [ 7 ]'],
      ],
      'array',
      ['{"a":1}', '{"a":2}', '7'],
    ],
    [
      'lines with an empty one between them',
      [
        ['a.json', LINES],
        ['b.json', ''],
        ['c.json', '8'],
      ],
      'lines',
      ['{"a":4}', '{"a":5}', '8'],
    ],
    [
      'nothing in any of them',
      [
        ['a.json', ''],
        ['b.json', '\n'],
      ],
      'lines',
      [],
    ],
  ];
  test.each(cases)('%s', async (_title, files, framing, records) => {
    const whole = await read(files);
    expect(whole).toMatchObject({ framing, records });
    // From wherever a checkpoint stood, what is left.
    for (const from of whole.positions) {
      const rest = await read(files, { from });
      expect(rest.records, JSON.stringify(from)).toEqual(records.slice(from.records));
    }
  });

  test.each([
    ['lines', LINES, 'an array', ARRAY],
    ['lines', LINES, 'one document', DOCUMENT],
    ['an array', ARRAY, 'lines', LINES],
    ['one document', DOCUMENT, 'an array', ARRAY],
  ])('%s and then %s are refused', async (before, first, here, second) => {
    await expect(
      read([
        ['a.json', first],
        ['b.json', second],
      ]),
    ).rejects.toMatchObject({
      code: 'DOCUMENT_BROKEN',
      message: `b.json: its records stand as ${here}, those of the files before it as ${before}: set "framing" on parse_json or read them apart`,
      place: { file: 'b.json', offset: 0 },
    });
  });

  test.each([
    ['array', ARRAY],
    ['document', DOCUMENT],
  ])('an empty one is refused where the framing %s is asked for', async (framing, text) => {
    await expect(
      read(
        [
          ['a.json', text],
          ['b.json', '\n'],
        ],
        { config: { framing } },
      ),
    ).rejects.toMatchObject({
      code: 'DOCUMENT_BROKEN',
      message: 'b.json: byte 1: the document ends too early',
    });
  });

  test('lines are read as lines where that is asked for, whatever they look like', async () => {
    const { records } = await read(
      [
        ['a.json', LINES],
        ['b.json', '[1]\n[2]\n'],
      ],
      { config: { framing: 'lines' } },
    );
    expect(records).toEqual(['{"a":4}', '{"a":5}', '[1]', '[2]']);
  });
});

test('a byte order mark is skipped, but not in bytes without a meaning', async () => {
  const files: [string, string][] = [['a.ndjson', '\ufeff1\n2\n']];
  expect((await read(files)).records).toEqual(['1', '2']);
  expect((await read(files, { binary: true })).records).toEqual(['\ufeff1', '2']);
});

test('each file of CSV has a header of its own, and a run that goes on knows it', async () => {
  const files: [string, string][] = [
    ['a.csv', '\ufeffid,fare\n1,10\n2,20\n'],
    ['b.csv', ''],
    ['c.csv', 'fare,id,tip\r\n30,3,1\r\n40,4,2'],
  ];
  const whole = await read(files, { oxi: parseCsv });
  expect(whole).toMatchObject({ framing: 'rows', records: ['1,10', '2,20', '30,3,1', '40,4,2'] });
  const before = ['id', 'fare'];
  const after = ['fare', 'id', 'tip'];
  expect(whole.columns).toEqual([before, before, after, after]);
  for (const from of whole.positions) {
    const rest = await read(files, { oxi: parseCsv, from });
    expect(rest.records, JSON.stringify(from)).toEqual(whole.records.slice(from.records));
    expect(rest.columns, JSON.stringify(from)).toEqual(whole.columns.slice(from.records));
  }
});
