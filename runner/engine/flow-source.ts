/** The first node of a flow: reads splits in order, cuts records, and injects barriers between blocks. */
import { setImmediate } from 'node:timers/promises';
import { giveBuffer, takeBuffer } from '../kernel/buffers.ts';
import { READ_HEADROOM } from '../kernel/lines.ts';
import type { Grade, Json } from '../state/store.ts';
import type {
  Block,
  Chunker,
  Framer,
  Framing,
  ParserOxi,
  Piece,
  SelectPath,
  Source,
  Split,
  StreamInfo,
} from './contracts.ts';
import { RecordError } from './contracts.ts';
import type { StepCounters } from './counters.ts';
import { crashpoint } from './crashpoint.ts';
import { type DirectSplit, nextPiece } from './direct-lines.ts';
import { OxiError } from './errors.ts';
import { hasByteOrderMark, isBlank, PEEK_BYTES } from './first-look.ts';
import { BARRIER_WEIGHT, type Barrier, type Flow, type Position, weightOf } from './flow.ts';
import { aborted, type PauseGate } from './pause.ts';
import { SourceText, type SplitPosition } from './source-text.ts';

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

/** Bytes that are looked at in one go: in the cache of a processor with what comes of them. */
const SEEN_BYTES = 224 << 10;

/** Reads splits in order, cuts records, and injects barriers between blocks. */
export async function runSource(node: SourceNode, out: Flow): Promise<void> {
  let position = node.from;
  let latest = Promise.resolve();
  const barrier = async (grade: Grade, last: Barrier['last']): Promise<void> => {
    const counters = new Map([[node.stepId, { ...node.counters }]]);
    const barrier: Barrier = {
      n: node.nextBarrier(),
      grade,
      last,
      position,
      counters,
      snapshots: {},
      encoders: {},
      marks: {},
      declined: false,
      branches: [],
      over: Promise.withResolvers(),
    };
    latest = barrier.over.promise;
    await out.send({ kind: 'barrier', barrier }, BARRIER_WEIGHT);
  };
  const paused = async (gate: PauseGate): Promise<void> => {
    // One barrier at a time; one that fails ends the flow elsewhere.
    await Promise.race([latest, aborted(node.reading)]);
    if (gate.closedBy === undefined || node.reading.aborted) return;
    await barrier('hard', 'no');
    await Promise.race([latest, aborted(node.reading)]);
    if (node.reading.aborted) return;
    node.say(`paused by ${gate.closedBy}: a checkpoint is saved, nothing is read until "oxiflow resume"`);
    node.waits?.(true);
    await gate.opened(node.reading);
    node.waits?.(false);
    if (!node.reading.aborted) node.say('going on');
  };

  for (const split of node.splits.slice(position.split)) {
    if (node.stop.aborted || node.enough.aborted || position.records >= node.limit) break;
    position = await readSplit(node, split, position, out, (at) => {
      position = at;
      if (node.pause?.closedBy !== undefined) return paused(node.pause);
      const grade = node.due();
      return grade === undefined ? undefined : barrier(grade, 'no');
    });
  }
  await barrier(
    'hard',
    node.stop.aborted && !node.enough.aborted && position.split < node.splits.length ? 'interrupted' : 'finished',
  );
  out.close();
}

/** Reads one split from `from`; returns the position at its end, or where the run was stopped. */
async function readSplit(
  node: SourceNode,
  split: Split,
  from: Position,
  out: Flow,
  between: (position: Position) => Promise<void> | undefined,
): Promise<Position> {
  let records = from.records;
  const text = new SourceText(node.source, split, node.parser !== undefined);
  const begun = await beginning(node, split, text, from);
  const read = await readDirect(node, split, begun, records, out, between);
  if (read !== undefined && 'split' in read) return read;
  const { start, state } = read ?? begun;
  let after = start.text?.at ?? start.offset;
  const chunker = openChunker(node, split, after, state);
  const framer = chunker ?? openFramer(node, split, after, state);
  let counted = start;
  // What is read and not cut yet is read again by whoever goes on from here: it counts when it is cut.
  const countTo = (at: number): SplitPosition => {
    const position = text.position(at);
    node.counters.bytes_in += position.offset - counted.offset;
    node.counters.bytes_out += (position.text?.at ?? position.offset) - (counted.text?.at ?? counted.offset);
    counted = position;
    return position;
  };
  const take = async (framed: ReturnType<Framer['push']>): Promise<void> => {
    const room = node.limit - records;
    const broken = (framed.broken ?? []).slice(0, room).map(({ offset, reason }) => ({
      split: split.index,
      offset,
      error: new RecordError(reason, undefined, 'TOO_LARGE'),
    }));
    const count = Math.min(framed.count, room - broken.length);
    if (count + broken.length === 0) return;
    records += count + broken.length;
    node.counters.added += count + broken.length;
    node.counters.out += count + broken.length;
    const { bytes, spans, offsets } = framed;
    const block: Block = {
      bytes,
      spans: spans.subarray(0, 2 * count),
      offsets: offsets.subarray(0, count),
      count,
      split: split.index,
      whole: framed.whole === true,
      ...(framed.columns === undefined ? {} : { columns: framed.columns }),
    };
    await out.send({ kind: 'block', block, broken, letters: [] }, weightOf(block));
  };

  const sendPiece = async (piece: Piece | undefined): Promise<void> => {
    if (piece === undefined) return;
    const { bytes, offset, columns, broken = [] } = piece;
    if (bytes.byteLength === 0 && broken.length === 0) return;
    const block: Block = { ...UNCUT, bytes, split: split.index, uncut: { offset, broken } };
    if (columns !== undefined) block.columns = columns;
    await out.send({ kind: 'block', block, broken: [], letters: [] }, weightOf(block));
  };

  let readTo = start.offset;
  for await (const raw of text.open(start, node.reading)) {
    crashpoint('read');
    const size = text.raw - readTo;
    readTo = text.raw;
    after = raw.after;
    const started = performance.now();
    const piece = chunker?.push(raw.bytes, raw.headroom);
    const framed = chunker === undefined ? (framer as Framer).push(raw.bytes, raw.headroom) : undefined;
    node.busy(performance.now() - started);
    const position = countTo(after - framer.pending);
    await (framed === undefined ? sendPiece(piece) : take(framed));
    node.progress(size, node.cutsLater ? undefined : records);
    if (records >= node.limit || node.enough.aborted)
      return { split: node.splits.length, offset: 0, records, framer: null };
    await between({ split: split.index, ...position, records, framer: framer.snapshot() });
    if (node.stop.aborted) break;
  }
  if (text.ended) await lookAgain(node, split);
  if (node.stop.aborted && (!text.ended || framer.pending > 0))
    return { split: split.index, ...countTo(after - framer.pending), records, framer: framer.snapshot() };
  // What follows the last record of a range is the matter of whoever reads the next one.
  if (!isCutOff(split) || framer.pending > 0)
    await (chunker === undefined ? take((framer as Framer).end()) : sendPiece(chunker.end()));
  countTo(after);
  node.progress(text.raw - readTo, node.cutsLater ? undefined : records);
  return { split: split.index + 1, offset: 0, records, framer: null };
}

/**
 * The pieces of a split of lines go on unread, for the threads of the stage. Returns the position at its end, or where the run was
 * stopped; where reading has to go on here, before a line that is longer than a piece may be; undefined where that is all of it.
 */
async function readDirect(
  node: SourceNode,
  split: Split,
  begun: Begun,
  records: number,
  out: Flow,
  between: (position: Position) => Promise<void> | undefined,
): Promise<Position | Begun | undefined> {
  if (node.direct === undefined) return undefined;
  const from = begun.start.offset;
  const chunker = openChunker(node, split, from, begun.state);
  if (chunker?.seesAll === true) return readSeen(node, split, chunker, from, records, out, between);
  const longest = chunker?.longestLine;
  if (longest === undefined) return undefined;
  const opened = await node.direct(split);
  const to = split.range?.to ?? Number.POSITIVE_INFINITY;
  let at = from;
  try {
    for (;;) {
      const piece = await nextPiece(opened.input, at, to, longest);
      if (piece === undefined) break;
      crashpoint('read');
      const { size, isLast } = piece;
      const block = storedBlock(split, { fd: opened.input.fd, at, size }, []);
      at += size;
      node.counters.bytes_in += size;
      node.counters.bytes_out += size;
      await out.send({ kind: 'block', block, broken: [], letters: [], read: opened.hold() }, weightOf(block));
      node.progress(size, undefined);
      if (node.enough.aborted) return { split: node.splits.length, offset: 0, records, framer: null };
      if (isLast) {
        await lookAgain(node, split);
        return { split: split.index + 1, offset: 0, records, framer: null };
      }
      await between({ split: split.index, offset: at, records, framer: null });
      if (node.stop.aborted) return { split: split.index, offset: at, records, framer: null };
    }
  } finally {
    opened.end();
  }
  return { start: { offset: at }, state: null };
}

/**
 * The same of a split whose bytes have to be seen here to find where records end: they are read, and the threads of the stage read
 * them again, which costs less than memory that goes to them.
 */
async function readSeen(
  node: SourceNode,
  split: Split,
  chunker: Chunker,
  from: number,
  records: number,
  out: Flow,
  between: (position: Position) => Promise<void> | undefined,
): Promise<Position> {
  const opened = await (node.direct as NonNullable<SourceNode['direct']>)(split);
  const { input } = opened;
  const to = split.range?.to ?? Number.POSITIVE_INFINITY;
  let at = from;
  let counted = from;
  const count = (done: number): void => {
    const more = done - counted;
    node.counters.bytes_in += more;
    node.counters.bytes_out += more;
    counted = done;
    node.progress(more, undefined);
  };
  const send = async ({ bytes, offset, columns, broken = [] }: Piece): Promise<void> => {
    const block = storedBlock(split, { fd: input.fd, at: offset, size: bytes.byteLength }, broken);
    if (columns !== undefined) block.columns = columns;
    await out.send({ kind: 'block', block, broken: [], letters: [], read: opened.hold() }, weightOf(block));
  };
  try {
    for (;;) {
      const wanted = Math.min(SEEN_BYTES, to - at);
      const bytes = input.read(at, wanted);
      if (bytes.length < wanted) await input.check();
      if (bytes.length === 0) {
        await lookAgain(node, split);
        // What follows the last record of a range is the matter of whoever reads the next one.
        const rest = !isCutOff(split) || chunker.pending > 0 ? chunker.end() : undefined;
        if (rest !== undefined) await send(rest);
        count(at);
        return { split: split.index + 1, offset: 0, records, framer: null };
      }
      crashpoint('read');
      at += bytes.length;
      const started = performance.now();
      const memory = takeBuffer(READ_HEADROOM + SEEN_BYTES);
      memory.set(bytes, READ_HEADROOM);
      const piece = chunker.push(memory.subarray(READ_HEADROOM, READ_HEADROOM + bytes.length), READ_HEADROOM);
      // Of what it gave out it keeps nothing.
      const size = piece?.bytes.byteLength ?? 0;
      if (size > 0) giveBuffer(memory);
      node.busy(performance.now() - started);
      const done = at - chunker.pending;
      // Reading waits for nobody here: signals, leases and what threads answer have to come in between.
      if (piece === undefined) await setImmediate();
      else await send(piece);
      count(done);
      if (node.enough.aborted) return { split: node.splits.length, offset: 0, records, framer: null };
      await between({ split: split.index, offset: done, records, framer: chunker.snapshot() });
      if (node.stop.aborted) return { split: split.index, offset: done, records, framer: chunker.snapshot() };
    }
  } finally {
    opened.end();
  }
}

/** A piece that whoever works on it reads. */
function storedBlock(
  split: Split,
  stored: NonNullable<Block['stored']>,
  broken: NonNullable<Block['uncut']>['broken'],
): Block {
  return { ...UNCUT, bytes: NOTHING, split: split.index, uncut: { offset: stored.at, broken }, stored };
}

/** What has become of a split since it was opened is said. Throws OxiError INPUT_REWRITTEN. */
async function lookAgain({ source, say }: SourceNode, split: Split): Promise<void> {
  const notice = await source.recheck?.(split);
  if (notice !== undefined) say(notice);
}

/** Where reading begins, and the state of the framer there. */
interface Begun {
  start: SplitPosition;
  state: Json;
}

async function beginning(node: SourceNode, split: Split, text: SourceText, from: Position): Promise<Begun> {
  if (from.offset > 0 || from.text !== undefined) return { start: from, state: from.framer };
  const { range } = split;
  if (range !== undefined && range.from > 0) return { start: { offset: range.from }, state: range.framer };
  return { start: text.begin(await textStart(node, split, text)), state: from.framer };
}

/** Its range ends before the file does. */
function isCutOff({ range, size = 0 }: Split): boolean {
  return range !== undefined && range.to < size;
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

/** No record of it is known before a stage has cut it. */
const NOTHING = new Uint8Array();
const UNCUT = { spans: new Uint32Array(), offsets: new Float64Array(), count: 0 };

function openChunker(node: SourceNode, split: Split, offset: number, state: Json): Chunker | undefined {
  const { parser } = node;
  if (!node.cutsLater || parser === undefined) return undefined;
  return parser.oxi.chunk?.(parser.config as never, parser.stream, { offset, state, name: split.name });
}

function openFramer(node: SourceNode, split: Split, offset: number, state: Json): Framer {
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
