/** `parse_json`: a byte stream becomes JSON records, whichever way they stand in it. */
import * as z from 'zod/mini';
import type { Framing, StreamInfo } from '../../engine/contracts.ts';
import { skipSpace, skipValue } from '../../kernel/grammar.ts';
import { JsonStream } from '../../kernel/json-stream.ts';
import { LineFramer } from '../../kernel/lines.ts';
import { defineParser, field, only } from '../define.ts';

const MB = 1024 * 1024;

const config = () =>
  z.strictObject({
    framing: field(
      z._default(z.literal(['auto', 'lines', 'array', 'document']), 'auto'),
      'How records stand in the text. auto: lines for .ndjson and .jsonl; else an array where it begins with "["; else lines where the first line is a whole value; else one document.',
    ),
    strict: field(only(true), 'Records keep to RFC 8259.'),
    allow_comments: field(only(false), 'Comments in the text.'),
    allow_trailing_commas: field(only(false), 'Commas before a closing bracket.'),
    array_handling: field(only('preserve'), 'What becomes of arrays inside records.'),
    flatten: field(only(false), 'Nested objects become one level.'),
    max_record_mb: field(z._default(z.int().check(z.gte(1), z.lte(512)), 64), 'Largest record.', { unit: 'MB' }),
  });

export const parseJson = defineParser({
  name: 'parse_json',
  kind: 'parser',
  summary: 'Reads JSON: lines, an array or a document.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  detect: (c, first, name, select) => {
    const framing = c.framing === 'auto' ? guess(Buffer.from(first), name) : c.framing;
    return { framing, selected: select !== undefined && framing !== 'lines' } satisfies StreamInfo;
  },
  frame: (c, stream, select, at) => {
    const maxRecordBytes = c.max_record_mb * MB;
    if (stream.framing === 'lines') return new LineFramer(at.offset, maxRecordBytes);
    const path = stream.selected && select !== undefined ? select : { segments: [], strict: true };
    const spread = stream.selected
      ? select?.whole === true
        ? 'no'
        : 'yes'
      : stream.framing === 'array'
        ? 'must'
        : 'no';
    const mayBeBlank = c.framing === 'auto';
    return new JsonStream({ name: at.name, select: path, spread, maxRecordBytes, mayBeBlank }, at);
  },
  // Every record is validated when a stage loads it; parsing has nothing to add.
  make: () => ({ form: 'record', cardinality: 'one', touches: [], apply: () => 'keep' }),
});

function guess(first: Buffer, name: string): Framing {
  if (/\.(ndjson|jsonl)(\.(gz|zst))?$/i.test(name)) return 'lines';
  const start = first[0] === 0xef && first[1] === 0xbb && first[2] === 0xbf ? 3 : 0;
  const p = skipSpace(first, start, first.length);
  if (p === first.length) return 'lines';
  if (first[p] === 0x5b) return 'array';
  const lineEnd = first.indexOf(0x0a, p);
  // No line feed in all that was looked at: a text that long on one line is read as a document, which streams.
  if (lineEnd < 0 && first.length >= PEEK_BYTES) return 'document';
  const end = lineEnd < 0 ? first.length : lineEnd;
  const q = skipValue(first, p, end, 0);
  return q < 0 || skipSpace(first, q, end) < end ? 'document' : 'lines';
}

/** How much of a stream is looked at to find out its framing. */
const PEEK_BYTES = 64 * 1024;
