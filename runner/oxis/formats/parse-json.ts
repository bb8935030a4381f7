/** `parse_json`: a byte stream becomes JSON records, whichever way they stand in it. */
import * as z from 'zod/mini';
import type {
  Block,
  BlockStep,
  FailRecord,
  Framer,
  Framing,
  SelectPath,
  Step,
  StepContext,
  StreamInfo,
} from '../../engine/contracts.ts';
import { Pass } from '../../engine/fuse.ts';
import { giveBuffer } from '../../kernel/buffers.ts';
import { skipSpace, skipValue } from '../../kernel/grammar.ts';
import { JsonStream } from '../../kernel/json-stream.ts';
import { LenientFramer, type LenientOptions, strictCopy } from '../../kernel/lenient.ts';
import { LineChunker, LineCutter, LineFramer } from '../../kernel/lines.ts';
import type { Json } from '../../state/store.ts';
import { defineParser, field } from '../define.ts';
import { FlattenStep } from '../transforms/flatten.ts';
import { isLinesName } from './lines-name.ts';

const MB = 1024 * 1024;

const config = () =>
  z.strictObject({
    framing: field(
      z._default(z.literal(['auto', 'lines', 'array', 'document']), 'auto'),
      'How records stand in the text. auto: lines for .ndjson and .jsonl; else an array where it begins with "["; else lines where the first line is a whole value; else one document.',
    ),
    strict: field(
      z._default(z.boolean(), true),
      'The text keeps to RFC 8259; false allows comments and trailing commas, unless the next two fields say otherwise.',
    ),
    allow_comments: field(z.optional(z.boolean()), 'Comments in the text, // to the end of a line and /* to */.'),
    allow_trailing_commas: field(z.optional(z.boolean()), 'A comma behind the last element or member.'),
    array_handling: field(
      z._default(z.literal(['preserve', 'flatten']), 'preserve'),
      'flatten: an array in a field of the record becomes one string of its values, as the oxi flatten makes it.',
    ),
    flatten: field(
      z._default(z.boolean(), false),
      'Objects inside a record become one level, their keys joined by "_"; what becomes of arrays says array_handling.',
    ),
    max_record_mb: field(z._default(z.int().check(z.gte(1), z.lte(512)), 64), 'Largest record.', { unit: 'MB' }),
  });

type Config = z.output<ReturnType<typeof config>>;

export const parseJson = defineParser({
  name: 'parse_json',
  kind: 'parser',
  summary: 'Reads JSON: lines, an array or a document.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  detect: (c, first, name, select) => {
    const allowed = leniency(c, 'document');
    const text = allowed === undefined ? Buffer.from(first) : strictCopy(first, allowed);
    const framing = c.framing === 'auto' ? guess(text, name) : c.framing;
    return { framing, selected: select !== undefined && framing !== 'lines' } satisfies StreamInfo;
  },
  frame: (c, stream, select, at) => {
    const allowed = leniency(c, stream.framing);
    if (allowed === undefined) return strictFramer(c, stream, select, at);
    return new LenientFramer({ ...allowed, name: at.name }, at, (state) =>
      strictFramer(c, stream, select, { ...at, state }),
    );
  },
  cutting: (c, { framing, selected }, select) => {
    // Comments may reach over line ends, and are held back where the bytes that show what they are are still to come.
    if (leniency(c, framing) !== undefined || (selected && select?.whole === true)) return undefined;
    return framing === 'lines' ? 'lines' : framing === 'array' || selected ? 'scan' : undefined;
  },
  chunk: (c, stream, at) =>
    stream.framing === 'lines' && !stream.selected && leniency(c, stream.framing) === undefined && isPlain(c)
      ? new LineChunker(at.offset, c.max_record_mb * MB)
      : undefined,
  within: (c, most) => ({ ...c, max_record_mb: Math.min(c.max_record_mb, most) }),
  // Every record is validated when a stage loads it; plain parsing has nothing to add.
  make: (c): Step => {
    const cutter = new LineCutter(c.max_record_mb * MB);
    return isPlain(c)
      ? {
          form: 'record',
          cardinality: 'one',
          touches: [],
          cutter,
          forms: { bytes: { do: 'pass' } },
          apply: () => 'keep',
        }
      : new ParseFlat(c);
  },
});

/** Nothing is done to a record but to check it. */
function isPlain(c: Config): boolean {
  return !c.flatten && c.array_handling === 'preserve';
}

function strictFramer(
  c: Config,
  stream: StreamInfo,
  select: SelectPath | undefined,
  at: { offset: number; state: Json; name: string },
): Framer {
  const maxRecordBytes = c.max_record_mb * MB;
  if (stream.framing === 'lines') return new LineFramer(at.offset, maxRecordBytes);
  const path = stream.selected && select !== undefined ? select : { segments: [], strict: true };
  const spread = stream.selected ? (select?.whole === true ? 'no' : 'yes') : stream.framing === 'array' ? 'must' : 'no';
  const mayBeBlank = c.framing === 'auto';
  return new JsonStream({ name: at.name, select: path, spread, maxRecordBytes, mayBeBlank }, at);
}

/** What the text may hold beside JSON; undefined where that is nothing. */
function leniency(c: Config, framing: Framing): LenientOptions | undefined {
  const comments = c.allow_comments ?? !c.strict;
  const trailingCommas = c.allow_trailing_commas ?? !c.strict;
  return comments || trailingCommas ? { comments, trailingCommas, lines: framing === 'lines' } : undefined;
}

/** Parsing that leaves records with one level. */
class ParseFlat implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'one';
  readonly state = 'none';
  readonly #pass = new Pass([], { parser: 0, checked: false });
  readonly #flatten: FlattenStep;

  constructor(c: Config) {
    this.#flatten = new FlattenStep({
      objects: c.flatten,
      arrays: c.array_handling === 'flatten' ? 'explode' : 'keep',
      delimiter: '_',
      index: { before: '', after: '' },
      maxDepth: Number.POSITIVE_INFINITY,
    });
  }

  process(block: Block, context: StepContext, fail: FailRecord): Block {
    const broken: number[] = [];
    const parsed = this.#pass.run(block, context, {
      filtered: () => undefined,
      failed: (_owner, index, error) => {
        broken.push(index);
        fail(index, error);
        return false;
      },
    });
    const flat = this.#flatten.process(parsed, context, (index, error) => {
      // The broken ones in front of it are no longer there.
      let original = index;
      for (const gone of broken) if (gone <= original) original++;
      fail(original, error);
    });
    if (parsed.bytes.buffer !== block.bytes.buffer) giveBuffer(parsed.bytes);
    return flat;
  }
}

function guess(first: Buffer, name: string): Framing {
  if (isLinesName(name)) return 'lines';
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
