/** What reading of a source needs to know, and how reading of a split begins. */
import type { Grade, Json } from '../state/store.ts';
import type { Chunker, Framer, Framing, ParserOxi, SelectPath, Source, Split, StreamInfo } from './contracts.ts';
import type { StepCounters } from './counters.ts';
import type { DirectSplit } from './direct-lines.ts';
import { OxiError } from './errors.ts';
import { hasByteOrderMark, isBlank, PEEK_BYTES } from './first-look.ts';
import type { Position } from './flow.ts';
import type { PauseGate } from './pause.ts';
import type { SourceText, SplitPosition } from './source-text.ts';

export interface SourceNode {
  source: Source;
  splits: readonly Split[];
  stepId: string;
  parser: { oxi: ParserOxi; config: unknown; stream: StreamInfo; select: SelectPath | undefined } | undefined;
  /** The first stage cuts the pieces that the parser's chunker finds, on its threads, and counts the records. */
  cutsLater: boolean;
  /** Opens a split whose pieces it reads there too; undefined where they are read here. */
  direct: ((split: Split) => Promise<DirectSplit>) | undefined;
  counters: StepCounters;
  from: Position;
  /** Records to read at most, over the whole run. */
  limit: number;
  /** Whether a barrier is due now, and of which grade. */
  due(): Grade | undefined;
  nextBarrier(): number;
  /** Aborted: stop reading, send the last barrier. */
  stop: AbortSignal;
  /** Aborted: no step wants more of the input. */
  enough: AbortSignal;
  /** Aborted by `stop`, and by a failure elsewhere in the flow: whoever waits for input gives up. */
  reading: AbortSignal;
  /** Closed: a hard checkpoint, and then nothing until it opens again. */
  pause?: PauseGate | undefined;
  /** It waits, or goes on, for no reason of the flow. */
  waits?: ((waits: boolean) => void) | undefined;
  /** `records`: cut so far; undefined where the stage counts them. */
  progress(bytes: number, records: number | undefined): void;
  /** Milliseconds spent cutting records. */
  busy(ms: number): void;
  /** A sentence for people. */
  say(message: string): void;
}

/** Where reading begins, and the state of the framer there. */
export interface Begun {
  start: SplitPosition;
  state: Json;
}

export async function beginning(node: SourceNode, split: Split, text: SourceText, from: Position): Promise<Begun> {
  if (from.offset > 0 || from.text !== undefined) return { start: from, state: from.framer };
  const { range } = split;
  if (range !== undefined && range.from > 0) return { start: { offset: range.from }, state: range.framer };
  return { start: text.begin(await textStart(node, split, text)), state: from.framer };
}

/** Where the text of a split begins: behind a byte order mark, if a parser will read it. Refuses a split framed unlike those before. */
async function textStart(node: SourceNode, split: Split, text: SourceText): Promise<number> {
  const { parser, source } = node;
  if (parser === undefined) return 0;
  // Whoever works on a part of the input has another first split than that which told how records stand.
  const isLooked = (split.place ?? split.index) > 0;
  const first = await text.peek(isLooked ? PEEK_BYTES : 3);
  if (isLooked && !isBlank(first)) {
    const { framing } = parser.oxi.detect(parser.config as never, first, split.name, parser.select);
    const run = parser.stream.framing;
    // A document on one line looks like a line.
    if (framing !== run && !(run === 'document' && framing === 'lines'))
      throw new OxiError(
        'DOCUMENT_BROKEN',
        `${split.name}: its records stand as ${FRAMED[framing]}, those of the files before it as ${FRAMED[run]}: set "framing" on parse_json or read them apart`,
        { place: { file: split.name, offset: 0 } },
      );
  }
  return source.binary !== true && hasByteOrderMark(first) ? 3 : 0;
}

const FRAMED: Readonly<Record<Framing, string>> = {
  lines: 'lines',
  array: 'an array',
  document: 'one document',
  rows: 'rows of CSV',
};

/** A block of which no record is known before a stage has cut it. */
export const UNCUT = { bytes: new Uint8Array(), spans: new Uint32Array(), offsets: new Float64Array(), count: 0 };

/** Its range ends before the file does. */
export function isCutOff({ range, size = 0 }: Split): boolean {
  return range !== undefined && range.to < size;
}

/** What has become of a split since it was opened is said. Throws OxiError INPUT_REWRITTEN. */
export async function lookAgain({ source, say }: SourceNode, split: Split): Promise<void> {
  const notice = await source.recheck?.(split);
  if (notice !== undefined) say(notice);
}

export function openChunker(node: SourceNode, split: Split, offset: number, state: Json): Chunker | undefined {
  const { parser } = node;
  if (!node.cutsLater || parser === undefined) return undefined;
  return parser.oxi.chunk?.(parser.config as never, parser.stream, { offset, state, name: split.name });
}

export function openFramer(node: SourceNode, split: Split, offset: number, state: Json): Framer {
  const { parser } = node;
  if (parser === undefined) return new Unframed(offset);
  return parser.oxi.frame(parser.config as never, parser.stream, parser.select, { offset, state, name: split.name });
}

/** Bytes that nobody cuts: each piece is passed on as one record. */
class Unframed implements Framer {
  #offset: number;
  readonly pending = 0;

  constructor(offset: number) {
    this.#offset = offset;
  }

  push(bytes: Uint8Array): ReturnType<Framer['push']> {
    const offsets = new Float64Array([this.#offset]);
    this.#offset += bytes.byteLength;
    return { bytes, spans: new Uint32Array([0, bytes.byteLength]), offsets, count: 1 };
  }

  end(): ReturnType<Framer['push']> {
    return { bytes: new Uint8Array(), spans: new Uint32Array(), offsets: new Float64Array(), count: 0 };
  }

  snapshot(): Json {
    return null;
  }
}
