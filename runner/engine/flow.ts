/**
 * The flow of one run: source, stages and sinks as nodes that channels join. Blocks and barriers travel in one order; a barrier
 * that has come out at the end stands behind everything that the position in it covers, so committing it loses nothing.
 */
import { giveBuffer } from '../kernel/buffers.ts';
import type { Grade, Json } from '../state/store.ts';
import { Channel } from './channel.ts';
import type {
  Block,
  Encoder,
  Framer,
  Mark,
  ParserOxi,
  SelectPath,
  Sink,
  Source,
  Split,
  StreamInfo,
} from './contracts.ts';
import { noCounters, type StepCounters } from './counters.ts';
import { crashpoint } from './crashpoint.ts';
import type { Failure, StageResult } from './stage.ts';
import { addAll } from './stage.ts';

/** Where reading goes on: the split and the byte in it, the records that were cut before, and the framer's state there. */
export interface Position {
  split: number;
  offset: number;
  /** Records cut so far, over all splits. */
  records: number;
  framer: Json;
}

export interface Barrier {
  n: number;
  grade: Grade;
  /** Nothing comes behind it. `interrupted`: the input was not read to its end. */
  last: 'no' | 'finished' | 'interrupted';
  position: Position;
  counters: Map<string, StepCounters>;
  encoders: Record<string, Json>;
  marks: Record<string, Mark>;
}

/** A record that nobody could cut; it counts as one that the parser refused. */
interface BrokenRecord {
  offset: number;
  message: string;
}

type BlockItem = { kind: 'block'; block: Block; broken: readonly BrokenRecord[] };
type Item = BlockItem | { kind: 'barrier'; barrier: Barrier };

/** Between two nodes, at most. Blocks of 512 KB: enough to keep both sides busy, little enough to stay in constant memory. */
const BOUNDS = { bytes: 2 << 20, records: 1 << 20 };

export type Flow = Channel<Item>;

export function newChannel(): Flow {
  return new Channel<Item>(BOUNDS);
}

const BARRIER_WEIGHT = { bytes: 0, records: 0 };

function weightOf(block: Block): { bytes: number; records: number } {
  return { bytes: block.bytes.byteLength, records: block.count };
}

// ---------------------------------------------------------------- source

export interface SourceNode {
  source: Source;
  splits: readonly Split[];
  stepId: string;
  parser: { oxi: ParserOxi; config: unknown; stream: StreamInfo; select: SelectPath | undefined } | undefined;
  counters: StepCounters;
  from: Position;
  /** Records to read at most, over the whole run. */
  limit: number;
  /** Whether a barrier is due now, and of which grade. */
  due(): Grade | undefined;
  nextBarrier(): number;
  /** Aborted: stop reading, send the last barrier. */
  stop: AbortSignal;
  /** Aborted by `stop`, and by a failure elsewhere in the flow: whoever waits for input gives up. */
  reading: AbortSignal;
  progress(bytes: number, records: number): void;
  /** Milliseconds spent cutting records. */
  busy(ms: number): void;
}

/** Reads splits in order, cuts records, and injects barriers between blocks. */
export async function runSource(node: SourceNode, out: Flow): Promise<void> {
  let position = node.from;
  const barrier = async (grade: Grade, last: Barrier['last']): Promise<void> => {
    const counters = new Map([[node.stepId, { ...node.counters }]]);
    const item: Item = {
      kind: 'barrier',
      barrier: { n: node.nextBarrier(), grade, last, position, counters, encoders: {}, marks: {} },
    };
    await out.send(item, BARRIER_WEIGHT);
  };

  for (const split of node.splits.slice(position.split)) {
    if (node.stop.aborted || position.records >= node.limit) break;
    position = await readSplit(node, split, position, out, (at) => {
      position = at;
      const grade = node.due();
      return grade === undefined ? undefined : barrier(grade, 'no');
    });
  }
  await barrier('hard', node.stop.aborted && position.split < node.splits.length ? 'interrupted' : 'finished');
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
  const start = from.offset > 0 ? from.offset : await textStart(node, split);
  const framer = openFramer(node, split, start, from.framer);
  let after = start;
  let counted = start;
  // What is read and not cut yet is read again by whoever goes on from here: it counts when it is cut.
  const countBytes = (upTo: number): void => {
    node.counters.bytes_in += upTo - counted;
    node.counters.bytes_out += upTo - counted;
    counted = upTo;
  };
  const take = async (framed: ReturnType<Framer['push']>): Promise<void> => {
    const room = node.limit - records;
    const broken = (framed.broken ?? [])
      .slice(0, room)
      .map(({ offset, reason }) => ({ offset, message: `${split.name}: record at byte ${offset}: ${reason}` }));
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
    };
    await out.send({ kind: 'block', block, broken }, weightOf(block));
  };

  for await (const raw of node.source.open(split, start, node.reading)) {
    crashpoint('read');
    const size = raw.after - after;
    after = raw.after;
    const started = performance.now();
    const framed = framer.push(raw.bytes, raw.headroom);
    node.busy(performance.now() - started);
    countBytes(after - framer.pending);
    await take(framed);
    node.progress(size, records);
    if (records >= node.limit) return { split: node.splits.length, offset: 0, records, framer: null };
    await between({ split: split.index, offset: after - framer.pending, records, framer: framer.snapshot() });
    if (node.stop.aborted) break;
  }
  if (node.stop.aborted && (split.size === undefined || after < split.size || framer.pending > 0))
    return { split: split.index, offset: after - framer.pending, records, framer: framer.snapshot() };
  await take(framer.end());
  countBytes(after);
  node.progress(0, records);
  return { split: split.index + 1, offset: 0, records, framer: null };
}

/** Where the text of a split begins: behind a byte order mark, if a parser will read it. */
async function textStart(node: SourceNode, split: Split): Promise<number> {
  if (node.parser === undefined) return 0;
  const first = await node.source.peek(split, 3);
  return first[0] === 0xef && first[1] === 0xbb && first[2] === 0xbf ? 3 : 0;
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

// ---------------------------------------------------------------- stage

export interface StageNode {
  /** Ids of its steps, in order. */
  steps: readonly string[];
  counters: readonly StepCounters[];
  /** Threads at most; blocks come back in any order and leave in theirs. */
  threads: number;
  inline(block: Block): Promise<StageResult>;
  /** Starts the pool; called when a second block has come. */
  startPool(): (block: Block) => Promise<StageResult>;
  done(result: StageResult): void;
  failed(failures: readonly Failure[]): void;
  /** Counts records that the framer could not cut as refused by the first step; throws where such a record stops the run. */
  refuse(result: StageResult, broken: readonly BrokenRecord[]): void;
}

/** Works on blocks, on this thread or on a pool, and passes them on in order. */
export async function runStage(node: StageNode, input: Flow, out: Flow): Promise<void> {
  const finish = async (result: StageResult): Promise<void> => {
    crashpoint('apply');
    addAll(node.counters, result.counters);
    node.done(result);
    if (result.failures.length > 0) node.failed(result.failures);
    if (result.block.count > 0)
      await out.send({ kind: 'block', block: result.block, broken: [] }, weightOf(result.block));
    else giveBuffer(result.block.bytes);
  };
  const work = async (item: BlockItem, how: (block: Block) => Promise<StageResult>): Promise<StageResult> => {
    const result = await how(item.block);
    if (item.broken.length > 0) node.refuse(result, item.broken);
    return result;
  };
  const inline = (item: BlockItem): Promise<StageResult> => work(item, (block) => node.inline(block));
  const pass = async (barrier: Barrier): Promise<void> => {
    node.steps.forEach((id, i) => {
      barrier.counters.set(id, { ...(node.counters[i] ?? noCounters()) });
    });
    await out.send({ kind: 'barrier', barrier }, BARRIER_WEIGHT);
  };
  if (node.threads === 1) {
    for (let item = await input.receive(); item !== undefined; item = await input.receive()) {
      if (item.kind === 'barrier') await pass(item.barrier);
      else await finish(await inline(item));
    }
  } else {
    const pooled = (): ((item: BlockItem) => Promise<StageResult>) => {
      const pool = node.startPool();
      return (item) => work(item, pool);
    };
    await runPooled(node.threads, { inline, pooled, finish, pass }, input);
  }
  out.close();
}

interface Pooled {
  inline(item: BlockItem): Promise<StageResult>;
  pooled(): (item: BlockItem) => Promise<StageResult>;
  finish(result: StageResult): Promise<void>;
  pass(barrier: Barrier): Promise<void>;
}

/** As many blocks at work as there are threads, and one waiting for each: a small input never starts a thread. */
async function runPooled(threads: number, { inline, pooled, finish, pass }: Pooled, input: Flow): Promise<void> {
  const held: Item[] = [];
  let item: Item | undefined;
  let blocks = 0;
  while (blocks < 2) {
    item = await input.receive();
    if (item === undefined) break;
    held.push(item);
    if (item.kind === 'block') blocks++;
  }
  if (blocks < 2) {
    for (const one of held) {
      if (one.kind === 'barrier') await pass(one.barrier);
      else await finish(await inline(one));
    }
    return;
  }
  const work = pooled();
  // In the order of arrival; each entry is a promise of a result, or a barrier between two.
  const line = new Channel<{ result: Promise<StageResult> } | { barrier: Barrier }>({
    bytes: 2 * threads,
    records: 2 * threads,
  });
  const one = { bytes: 1, records: 1 };
  const enqueue = async (entry: Item): Promise<void> => {
    if (entry.kind === 'barrier') return line.send({ barrier: entry.barrier }, BARRIER_WEIGHT);
    const result = work(entry);
    // Whoever takes it from the line sees the failure; until then it must not count as unhandled.
    result.catch(() => undefined);
    return line.send({ result }, one);
  };
  const intake = async (): Promise<void> => {
    for (const entry of held) await enqueue(entry);
    for (let next = await input.receive(); next !== undefined; next = await input.receive()) await enqueue(next);
    line.close();
  };
  const output = async (): Promise<void> => {
    for (let next = await line.receive(); next !== undefined; next = await line.receive()) {
      if ('barrier' in next) await pass(next.barrier);
      else await finish(await next.result);
    }
  };
  const linked = (work: Promise<void>): Promise<void> =>
    work.catch((error) => {
      line.fail(error);
      throw error;
    });
  await Promise.all([linked(intake()), linked(output())]);
}

// ---------------------------------------------------------------- sink

export interface SinkNode {
  stepId: string;
  sink: Sink;
  encoder: Encoder | undefined;
  /** Indentation and order of keys, where no step of a stage saw to them. */
  layOut: ((block: Block) => Promise<Block>) | undefined;
  counters: StepCounters;
  /** Records that the sink has already, beyond the checkpoint: they are not written again. */
  skip: number;
  /** Milliseconds spent laying out and writing. */
  busy(ms: number): void;
}

/** Lays out, writes, and answers barriers with its mark; `out` gets every block too (a sink in the middle). */
export async function runSink(
  node: SinkNode,
  input: Flow,
  out: Flow | undefined,
  commit: (barrier: Barrier) => Promise<void>,
): Promise<void> {
  for (let item = await input.receive(); item !== undefined; item = await input.receive()) {
    if (item.kind === 'block') {
      const started = performance.now();
      await writeBlock(node, item.block);
      node.busy(performance.now() - started);
      if (out === undefined) giveBuffer(item.block.bytes);
      else await out.send(item, weightOf(item.block));
      continue;
    }
    const { barrier } = item;
    if (barrier.last === 'finished') await writePieces(node, node.encoder?.end() ?? [], 0);
    if (node.encoder !== undefined) barrier.encoders[node.stepId] = node.encoder.snapshot();
    crashpoint('prepare');
    barrier.marks[node.stepId] = await node.sink.prepare(barrier.n, barrier.grade);
    barrier.counters.set(node.stepId, { ...node.counters });
    if (out === undefined) await commit(barrier);
    else await out.send(item, BARRIER_WEIGHT);
  }
  out?.close();
}

async function writeBlock(node: SinkNode, block: Block): Promise<void> {
  const skipped = Math.min(node.skip, block.count);
  node.skip -= skipped;
  const rest: Block =
    skipped === 0
      ? block
      : {
          ...block,
          spans: block.spans.subarray(2 * skipped),
          offsets: block.offsets.subarray(skipped),
          count: block.count - skipped,
        };
  if (rest.count > 0) {
    const laidOut = node.layOut === undefined ? rest : await node.layOut(rest);
    if (node.encoder !== undefined) await writePieces(node, node.encoder.encode(laidOut), rest.count);
    else await writePieces(node, [rest.bytes.subarray(rest.spans[0], rest.spans[2 * rest.count - 1])], rest.count);
    if (laidOut.bytes.buffer !== rest.bytes.buffer) giveBuffer(laidOut.bytes);
  }
  node.counters.in += block.count;
  node.counters.out += block.count;
}

async function writePieces(node: SinkNode, pieces: readonly Uint8Array[], records: number): Promise<void> {
  let due = records;
  for (const piece of pieces) {
    crashpoint('write');
    await node.sink.write(piece, due);
    node.counters.bytes_in += piece.byteLength;
    node.counters.bytes_out += piece.byteLength;
    due = 0;
  }
}

/** How long a node may take to notice that the flow was aborted; one that hangs in a write is left behind. */
const LEAVE_MS = 500;

/**
 * Runs all nodes to their end; the first failure fails every channel, aborts `halt`, and is thrown once all of them have
 * stopped. After `abort` nobody is waited for longer than a moment.
 */
export async function runTogether(
  nodes: readonly Promise<void>[],
  channels: readonly Flow[],
  abort: AbortSignal,
  halt: AbortController,
): Promise<void> {
  let first: { error: unknown } | undefined;
  const stopAll = (error: unknown): void => {
    first ??= { error };
    halt.abort();
    for (const channel of channels) channel.fail(error);
  };
  const all = Promise.all(nodes.map((node) => node.catch(stopAll)));
  const left = Promise.withResolvers<void>();
  let late: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    stopAll(abort.reason);
    late = setTimeout(left.resolve, LEAVE_MS);
  };
  if (abort.aborted) onAbort();
  else abort.addEventListener('abort', onAbort, { once: true });
  await Promise.race([all, left.promise]);
  clearTimeout(late);
  abort.removeEventListener('abort', onAbort);
  if (first !== undefined) throw first.error;
}
