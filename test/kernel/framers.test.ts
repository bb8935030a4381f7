/** Framers: however the bytes are cut, the same records; from every position the rest; and no more work or memory than needed. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { FramedRecords, Framer, SelectPath } from '../../runner/engine/contracts.ts';
import { OxiError } from '../../runner/engine/errors.ts';
import { JsonStream } from '../../runner/kernel/json-stream.ts';
import { LineFramer } from '../../runner/kernel/lines.ts';
import type { Json } from '../../runner/state/store.ts';

/** Bytes that the grammar walked over in strings, numbers and containers. */
const work = vi.hoisted(() => ({ scanned: 0 }));
vi.mock('../../runner/kernel/grammar.ts', async (original) => {
  const grammar = await original<typeof import('../../runner/kernel/grammar.ts')>();
  return {
    ...grammar,
    skipString: (b: Uint8Array, p: number, end: number): number => {
      const q = grammar.skipString(b, p, end);
      work.scanned += (q < 0 ? grammar.lastFailure().at : q) - p;
      return q;
    },
  };
});
afterEach(() => {
  vi.restoreAllMocks();
});

interface At {
  offset: number;
  state: Json;
}
type Make = (at: At) => Framer;

interface Seen {
  /** Offset in the split, text, and whether it is a value on its own. */
  records: string[];
  broken: string[];
  error: string | undefined;
  /** Behind each push: what a checkpoint would keep, and how many records came before it. */
  positions: (At & { before: number })[];
}

function feed(make: Make, bytes: Buffer, cuts: readonly number[], from: At = { offset: 0, state: null }): Seen {
  const seen: Seen = { records: [], broken: [], error: undefined, positions: [] };
  const framer = make(from);
  const take = (framed: FramedRecords): void => {
    for (let i = 0; i < framed.count; i++) {
      const text = Buffer.from(framed.bytes).toString('latin1', framed.spans[2 * i], framed.spans[2 * i + 1]);
      seen.records.push(`${framed.offsets[i]} ${framed.whole === true ? 'whole ' : ''}${text}`);
    }
    for (const { offset, reason } of framed.broken ?? []) seen.broken.push(`${offset} ${reason}`);
  };
  try {
    const ends = [...cuts.filter((cut) => cut > from.offset), bytes.length];
    let at = from.offset;
    for (const end of ends) {
      take(framer.push(Uint8Array.from(bytes.subarray(at, end))));
      at = end;
      const offset = end - framer.pending;
      seen.positions.push({ offset, state: framer.snapshot(), before: seen.records.length + seen.broken.length });
    }
    take(framer.end());
  } catch (error) {
    if (!(error instanceof OxiError)) throw error;
    seen.error = `${error.code} ${error.place.offset} ${error.message}`;
  }
  return seen;
}

const select = (segments: SelectPath['segments'], more: Partial<SelectPath> = {}): SelectPath => ({
  segments,
  strict: true,
  ...more,
});
const stream =
  (path: SelectPath, spread: 'no' | 'yes' | 'must' = 'yes', maxRecordBytes = 1000): Make =>
  (at) =>
    new JsonStream({ name: 'rides.json', select: path, spread, maxRecordBytes }, at);
const lines =
  (maxRecordBytes = 1000): Make =>
  (at) =>
    new LineFramer(at.offset, maxRecordBytes);
const ROOT = select([]);
const data = select(['data', 'items']);

const cases: [promise: string, make: Make, text: string | Buffer, records: string[], end?: string][] = [
  ['lines', lines(), '{"a":1}\n\n {"b":"é"} \r\n\r\n3', ['0 {"a":1}', '10 {"b":"Ã©"}', '25 3']],
  ['lines that end with a line feed', lines(), '1\n2\n', ['0 1', '2 2']],
  ['only blank lines', lines(), '\n \r\n\t\n', []],
  [
    'a document',
    stream(ROOT, 'no'),
    ' {"a" : [1,"é😀\\u00e9"]} \n',
    ['1 whole {"a" : [1,"Ã©ð\u009f\u0098\u0080\\u00e9"]}'],
  ],
  ['a scalar document', stream(ROOT, 'no'), ' -1.5e3', ['1 whole -1.5e3']],
  ['a literal document', stream(ROOT, 'no'), 'false', ['0 whole false']],
  [
    'an array',
    stream(ROOT, 'must'),
    '[ {"a":1} , [2,[]],"x\\"]", -4.5 ,true]\n',
    ['2 {"a":1}', '12 [2,[]]', '19 "x\\"]"', '27 -4.5', '33 true'],
  ],
  ['an empty array', stream(ROOT, 'must'), ' [ ] ', []],
  [
    'surrogate pairs and escapes',
    stream(ROOT, 'must'),
    '["\\ud83d\\ude00\\\\","\\\\\\""]',
    ['1 "\\ud83d\\ude00\\\\"', '18 "\\\\\\""'],
  ],
  [
    'a path',
    stream(data),
    '{"n":{"items":0},"data":{"x":[[1]],"items":[1,{"items":2}],"y":"é"},"z":null}',
    ['44 1', '46 {"items":2}'],
  ],
  [
    'a path to an object',
    stream(select(['data'])),
    '{"x":"é\\n","data":{"items":[1]} , "y":"ü"}',
    ['19 whole {"items":[1]}'],
  ],
  ['a path to a text', stream(select(['d', 'n'])), '{"d":{"n":"a\\u00e9b","m":1}}', ['10 whole "a\\u00e9b"']],
  ['a path to a number', stream(select(['d', 1])), '{"d":[0,1.50,2]}', ['8 whole 1.50']],
  ['a path to a null', stream(select(['d'])), '{"d":null}', ['5 whole null']],
  [
    'a path through arrays',
    stream(select([1, 'u', 0])),
    '[{"u":[9]},{"u":[{"k":[]},8]},{"u":[7]}]',
    ['17 whole {"k":[]}'],
  ],
  ['an escaped key on the path', stream(select(['é', 'x'])), '{"\\u00e9":{"\\u0078":[1,2]}}', ['21 1', '23 2']],
  ['an element that is not there', stream(select([2])), '[0,1]', [], 'DOCUMENT_BROKEN 5'],
  ['nothing at the path', stream(data), '{"data":{"item":[1]},"items":[2]}', [], 'DOCUMENT_BROKEN 33'],
  ['nothing at the path, not strict', stream(select(['data', 'items'], { strict: false })), '{"data":5}', []],
  ['nothing at the path, a default', stream(select(['a'], { fallback: '{"n":0}' })), '{"b":1} ', ['8 whole {"n":0}']],
  [
    'a selected key that stands twice',
    stream(select(['a'])),
    '{"a":[1,2],"b":3,"a":[4]}',
    ['6 1', '8 2'],
    'DOCUMENT_BROKEN 21',
  ],
  [
    'an object on the path that stands twice',
    stream(data),
    '{"data":{"items":[1]},"data":0}',
    ['18 1'],
    'DOCUMENT_BROKEN 29',
  ],
  ['an earlier object on the path without it', stream(data), '{"data":{"x":1},"data":{"items":[1]}}', ['33 1']],
  ['text behind the end', stream(ROOT, 'must'), '[1,2] [3]', ['1 1', '3 2'], 'DOCUMENT_BROKEN 6'],
  ['text behind a document', stream(ROOT, 'no'), '{"a":1}\n{"a":2}', ['0 whole {"a":1}'], 'DOCUMENT_BROKEN 8'],
  ['no array where there must be one', stream(ROOT, 'must'), ' {"a":1}', [], 'DOCUMENT_BROKEN 1'],
  ['an empty text', stream(ROOT, 'must'), ' \n', [], 'DOCUMENT_BROKEN 2'],
  ['a truncated array', stream(ROOT, 'must'), '[{"a":1},{"b":[2', ['1 {"a":1}'], 'DOCUMENT_BROKEN 16'],
  ['a truncated string in a record', stream(ROOT, 'must'), '[1,"abc', ['1 1'], 'DOCUMENT_BROKEN 7'],
  ['a truncated string outside records', stream(data), '{"x":"aé', [], 'DOCUMENT_BROKEN 9'],
  ['a truncated key', stream(data), '{"da', [], 'DOCUMENT_BROKEN 4'],
  ['a string cut inside a character', stream(data), Buffer.from('7b2278223a2261c3', 'hex'), [], 'DOCUMENT_BROKEN 7'],
  [
    'invalid UTF-8 in a skipped string',
    stream(data),
    Buffer.from('7b2278223a2261ff6262626262626262626262626262227d', 'hex'),
    [],
    'DOCUMENT_BROKEN 7',
  ],
  ['invalid UTF-8 in a skipped key', stream(data), Buffer.from('7b226180223a317d', 'hex'), [], 'DOCUMENT_BROKEN 3'],
  [
    'a lone surrogate in a skipped string',
    stream(data),
    '{"x":"a\\ud83d and some more text"}',
    [],
    'DOCUMENT_BROKEN 7',
  ],
  ['a control character in a skipped string', stream(data), '{"x":"a\tb","y":0}', [], 'DOCUMENT_BROKEN 7'],
  ['a broken literal', stream(ROOT, 'must'), '[true,nul,1]', ['1 true'], 'DOCUMENT_BROKEN 6'],
  ['a broken number', stream(ROOT, 'must'), '[1,2.,3]', ['1 1'], 'DOCUMENT_BROKEN 5'],
  ['two values without a comma', stream(ROOT, 'must'), '[1 2]', ['1 1'], 'DOCUMENT_BROKEN 3'],
  ['a comma before the end', stream(ROOT, 'must'), '[1,]', ['1 1'], 'DOCUMENT_BROKEN 3'],
  ['a key that is no string', stream(data), '{data:1}', [], 'DOCUMENT_BROKEN 1'],
  ['a colon that is missing', stream(data), '{"data" 1}', [], 'DOCUMENT_BROKEN 8'],
  ['the wrong bracket', stream(ROOT, 'must'), '[[1}]', [], 'DOCUMENT_BROKEN 3'],
  [
    'a record as long as allowed',
    stream(ROOT, 'must', 12),
    '["1234567890",[1,2,3,4,5]]',
    ['1 "1234567890"', '14 [1,2,3,4,5]'],
  ],
  [
    'a record that is too long',
    stream(ROOT, 'must', 20),
    '[1,{"a":"1234567890","b":[1,2,3,4,5,6,7,8,9]},2]',
    ['1 1'],
    'DOCUMENT_BROKEN 3',
  ],
  ['a record one byte too long', stream(ROOT, 'must', 11), '[1,"1234567890"]', ['1 1'], 'DOCUMENT_BROKEN 3'],
  ['a number that is too long', stream(ROOT, 'must', 20), `[1,0${'7'.repeat(40)}]`, ['1 1'], 'DOCUMENT_BROKEN 3'],
  [
    'a too long record that is broken behind the limit',
    stream(ROOT, 'must', 20),
    `["${'y'.repeat(40)}\t"]`,
    [],
    'DOCUMENT_BROKEN 1',
  ],
  [
    'a too long record that is broken before the limit',
    stream(ROOT, 'must', 20),
    `["yyyyy\t${'y'.repeat(40)}"]`,
    [],
    'DOCUMENT_BROKEN 7',
  ],
  [
    'a skipped string beyond the limit',
    stream(select(['d']), 'yes', 20),
    `{"x":"${'é'.repeat(40)}","d":[1]}`,
    ['93 1'],
  ],
  [
    'a skipped object beyond the limit',
    stream(select(['d']), 'yes', 20),
    `{"x":{"y":[${'7,'.repeat(40)}8]},"d":[1]}`,
    ['100 1'],
  ],
];

/** Positions to cut at: one at every byte, and all of them at once. */
function* cuttings(length: number): Generator<number[]> {
  for (let cut = 0; cut <= length; cut++) yield [cut];
  yield Array.from({ length: length - 1 }, (_, i) => i + 1);
  for (const step of [2, 3, 7]) yield Array.from({ length: Math.floor((length - 1) / step) }, (_, i) => step * (i + 1));
}

describe('cut at every byte', () => {
  test.each(cases)('%s', (_promise, make, text, records, end) => {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    const whole = feed(make, bytes, []);
    expect(whole.records).toEqual(records);
    expect(whole.error?.split(' ').slice(0, 2).join(' ')).toBe(end);
    for (const cuts of cuttings(bytes.length)) {
      const { records: found, error, positions } = feed(make, bytes, cuts);
      expect({ cuts, found, error }).toEqual({ cuts, found: records, error: whole.error });
      for (const { offset, state, before } of positions) {
        const rest = feed(make, bytes, cuts, { offset, state });
        const at = { cuts, offset, before };
        expect({ ...at, rest: rest.records, error: rest.error }).toEqual({
          ...at,
          rest: records.slice(before),
          error: whole.error,
        });
      }
    }
  });
});

describe('lines that are too long', () => {
  const text = `{"a":1}\n"${'é'.repeat(10)}"\n{"a":2}\n"${'x'.repeat(19)}"\r\n"${'x'.repeat(18)}"\n[3]\n"${'y'.repeat(30)}`;
  const bytes = Buffer.from(text);
  const broken = [8, 39, 87].map((offset) => `${offset} a line is longer than 20 bytes`);
  // 22 bytes; 21 and a carriage return; 20; no line feed behind the last one.
  const records = ['0 {"a":1}', '31 {"a":2}', `62 "${'x'.repeat(18)}"`, '83 [3]'];

  test('are reported with their place, in whatever pieces they come, and the others are given out', () => {
    const whole = feed(lines(20), bytes, []);
    expect(whole.records).toEqual(records);
    expect(whole.broken).toEqual(broken);
    for (const cuts of cuttings(bytes.length)) {
      const seen = feed(lines(20), bytes, cuts);
      expect({ cuts, records: seen.records, broken: seen.broken }).toEqual({ cuts, records, broken });
      for (const { offset, state, before } of seen.positions) {
        const rest = feed(lines(20), bytes, cuts, { offset, state });
        const together = [...rest.records, ...rest.broken].toSorted();
        const behind = [...records, ...broken].filter((record) => Number.parseInt(record, 10) >= offset).toSorted();
        expect({ cuts, offset, together }).toEqual({ cuts, offset, together: behind });
        expect(together).toHaveLength(records.length + broken.length - before);
      }
    }
  });
});

const PIECE = 64 * 1024;

/** Pushes the parts in pieces; returns how many records came, and what the framer did with the bytes meanwhile. */
function effort(
  framer: Framer,
  parts: Iterable<Buffer>,
): { records: number; copied: number; largest: number; fed: number } {
  let records = 0;
  let copied = 0;
  let largest = 0;
  let fed = 0;
  const { copy } = Buffer.prototype;
  vi.spyOn(Buffer.prototype, 'copy').mockImplementation(function (this: Buffer, ...args: unknown[]) {
    const size = copy.apply(this, args as Parameters<Buffer['copy']>);
    copied += size;
    return size;
  });
  const alloc = Buffer.allocUnsafeSlow;
  vi.spyOn(Buffer, 'allocUnsafeSlow').mockImplementation((size) => {
    largest = Math.max(largest, size);
    return alloc(size);
  });
  const concat = Buffer.concat;
  vi.spyOn(Buffer, 'concat').mockImplementation((list, size) => {
    const joined = concat(list, size);
    copied += joined.length;
    largest = Math.max(largest, joined.length);
    return joined;
  });
  work.scanned = 0;
  for (const part of parts)
    for (let at = 0; at < part.length; at += PIECE) {
      const piece = Uint8Array.from(part.subarray(at, at + PIECE));
      fed += piece.length;
      records += framer.push(piece).count;
    }
  records += framer.end().count;
  return { records, copied, largest, fed };
}

function* repeated(part: Buffer, times: number): Generator<Buffer> {
  for (let i = 0; i < times; i++) yield part;
}

describe('work and memory', () => {
  const MB = 1 << 20;
  const big = (path: SelectPath): Framer =>
    new JsonStream({ name: 'big', select: path, spread: 'yes', maxRecordBytes: 64 * MB }, { offset: 0, state: null });

  test('50 MB in a list that nobody wants are never held', () => {
    const list = Buffer.from(`[${`12.5,"${'été'.repeat(25)}",`.repeat(PIECE / 128)}0],`);
    const parts = [Buffer.from('{"skip":['), ...repeated(list, 800), Buffer.from('0],"data":[1,2]}')];
    const { records, largest, fed } = effort(big(select(['data'])), parts);
    expect(fed).toBeGreaterThan(50 * MB);
    expect(records).toBe(2);
    expect(largest).toBeLessThan(2 * PIECE);
  });

  test('50 MB in one text that nobody wants are never held, and looked at once', () => {
    const text = Buffer.from('0123456789abcdeé'.repeat(PIECE / 8));
    const parts = [Buffer.from('{"skip":"'), ...repeated(text, 400), Buffer.from('","data":[1,2]}')];
    const { records, largest, fed } = effort(big(select(['data'])), parts);
    expect(fed).toBeGreaterThan(50 * MB);
    expect(records).toBe(2);
    expect(largest).toBeLessThan(2 * PIECE);
    expect(work.scanned).toBeLessThan(1.1 * fed);
  });

  test('a text of 20 MB in a record is copied and looked at a few times, not once a piece', () => {
    const text = Buffer.from('0123456789abcdeé'.repeat(PIECE / 8));
    const parts = [Buffer.from('{"data":["'), ...repeated(text, 160), Buffer.from('",1]}')];
    const { records, copied, fed } = effort(big(select(['data'])), parts);
    expect(fed).toBeGreaterThan(20 * MB);
    expect(records).toBe(2);
    expect(copied).toBeLessThan(4 * fed);
    expect(work.scanned).toBeLessThan(4 * fed);
  });

  test('a record of 20 MB in many members is copied a few times and looked at once', () => {
    const member = Buffer.from(`"k":[${`"${'v'.repeat(60)}",`.repeat(PIECE / 64)}0],`);
    const parts = [Buffer.from('[{'), ...repeated(member, 330), Buffer.from('"z":0}]')];
    const { records, copied, fed } = effort(big(ROOT), parts);
    expect(fed).toBeGreaterThan(20 * MB);
    expect(records).toBe(1);
    expect(copied).toBeLessThan(4 * fed);
    expect(work.scanned).toBeLessThan(1.1 * fed);
  });

  test('a line of 20 MB is copied once, a line beyond the limit not at all', () => {
    const text = Buffer.from('0123456789abcdeé'.repeat(PIECE / 8));
    const parts = [Buffer.from('1\n"'), ...repeated(text, 160), Buffer.from('"\n2')];
    const held = effort(new LineFramer(0, 64 * MB), parts);
    expect(held.records).toBe(3);
    expect(held.copied).toBeLessThan(1.1 * held.fed);
    vi.restoreAllMocks();
    const refused = effort(new LineFramer(0, MB), parts);
    expect(refused.records).toBe(2);
    expect(refused.copied).toBeLessThan(2 * MB);
  });
});
