/**
 * `batch` as a node of the flow: gathers records into batches. A batch is whole at a count, a size or a time; half of one is part
 * of every checkpoint, so that the next attempt goes on filling it.
 */
import { BlockJoiner, bytesOf } from '../kernel/blocks.ts';
import { giveBuffer } from '../kernel/buffers.ts';
import { SpanList } from '../kernel/spans.ts';
import { ByteWriter } from '../kernel/writer.ts';
import type { Json } from '../state/store.ts';
import { type ArrayPlace, ArraysInPlace } from './arrays-in-place.ts';
import { Channel } from './channel.ts';
import type { BatchSpec, Block } from './contracts.ts';
import type { StepCounters } from './counters.ts';
import { BARRIER_WEIGHT, type Barrier, type Flow, type Item, remember, weightOf } from './flow.ts';
import type { Letter } from './letters.ts';

export interface BatchNode {
  stepId: string;
  spec: BatchSpec;
  counters: StepCounters;
  /** The half batch of the checkpoint that this attempt goes on from. */
  state: Json | undefined;
  /** Nobody behind it works on one batch at a time: small ones are handed on together, since a block each would be dear. */
  together: boolean;
  /** Asks for a checkpoint. */
  checkpoint(): void;
  /** Where the threads of the stage before write them as arrays by themselves. */
  place?: ArrayPlace | undefined;
}

/** Arrays, and small batches of records, are handed on together once they are this large: a block each would be dear. */
const GROUP_BYTES = 256 << 10;
const EMPTY: Block = {
  bytes: new Uint8Array(),
  spans: new Uint32Array(),
  offsets: new Float64Array(),
  count: 0,
  split: 0,
};

/** What a half batch looks like in a checkpoint. */
export interface HalfBatch {
  records: string[];
  offsets: number[];
  split: number;
}

/** Gathers; `out` takes what is whole, and holds the intake when it is full. */
export async function runBatch(node: BatchNode, input: Flow, out: Flow): Promise<void> {
  const { spec } = node;
  if (spec.waiting === 0) {
    await gather(node, input, (item, weight) => out.send(item, weight));
    out.close();
    return;
  }
  // Intake and output side by side: so many batches may wait while the next one fills.
  const line = new Channel<{ item: Item; weight: { bytes: number; records: number } }>({
    bytes: spec.waiting,
    records: spec.waiting,
  });
  const one = { bytes: 1, records: 1 };
  const intake = gather(node, input, (item, weight) =>
    line.send({ item, weight }, item.kind === 'block' ? one : BARRIER_WEIGHT),
  ).then(() => line.close());
  const output = async (): Promise<void> => {
    for (let next = await line.receive(); next !== undefined; next = await line.receive())
      await out.send(next.item, next.weight);
    out.close();
  };
  const linked = (side: Promise<void>): Promise<void> =>
    side.catch((error) => {
      line.fail(error);
      throw error;
    });
  await Promise.all([linked(intake), linked(output())]);
}

type Send = (item: Item, weight: { bytes: number; records: number }) => Promise<void>;

async function gather(node: BatchNode, input: Flow, send: Send): Promise<void> {
  const batch = new Batch(node);
  let letters: Letter[] = [];
  // It waits while batches are handed on: a failure is seen by whoever awaits it next, and must not count as unhandled.
  const receive = (): Promise<Item | undefined> => {
    const item = input.receive();
    item.catch(() => undefined);
    return item;
  };
  let next = receive();
  const hand = async (): Promise<void> => {
    for (const block of batch.take()) {
      await send({ kind: 'block', block, broken: [], letters }, weightOf(block));
      letters = [];
    }
  };
  const handLetters = async (): Promise<void> => {
    if (letters.length > 0) await send({ kind: 'block', block: EMPTY, broken: [], letters }, BARRIER_WEIGHT);
    letters = [];
  };
  for (;;) {
    const item = await batch.untilDue(next);
    if (item === DUE) {
      batch.close();
      await hand();
      continue;
    }
    if (item === undefined) break;
    next = receive();
    if (item.kind === 'barrier') {
      if (item.barrier.last === 'finished') batch.close();
      batch.flushGroup();
      await hand();
      await handLetters();
      batch.pass(item.barrier);
      await send(item, BARRIER_WEIGHT);
      continue;
    }
    if (item.letters.length > 0) letters = letters.concat(item.letters);
    batch.add(item.block);
    await hand();
  }
}

const DUE = Symbol('due');

/** The batch that is being filled, and those that are whole and not yet taken. */
class Batch {
  readonly #node: BatchNode;
  readonly #spec: BatchSpec;
  #joiner: BlockJoiner | undefined;
  #bytes = 0;
  /** When its first record came, by the monotonic clock. */
  #since = 0;
  #whole: Block[] = [];
  #group: { out: ByteWriter; spans: SpanList; like: Block } | undefined;
  /** Small batches of records that are handed on together. */
  #small: BlockJoiner | undefined;
  /** A block is of one split. */
  #groupSplit = -1;
  #batches = 0;
  #split = 0;
  /** Arrays that others write; undefined where they are gathered here. */
  #inPlace: ArraysInPlace | undefined;

  constructor(node: BatchNode) {
    this.#node = node;
    this.#spec = node.spec;
    // What it holds of the half batch stands in the file already.
    if (node.place !== undefined) this.#inPlace = new ArraysInPlace(node.place);
    else if (node.state !== undefined) this.#hold(recordsOf(node.state as unknown as HalfBatch));
  }

  get #count(): number {
    return this.#joiner?.count ?? 0;
  }

  add(given: Block): void {
    const { counters } = this.#node;
    const block = this.#notWritten(given);
    if (block === undefined) return;
    counters.in += block.count;
    counters.bytes_in += bytesOf(block);
    let from = 0;
    while (from < block.count) {
      const to = this.#room(block, from);
      if (to > from) {
        if (this.#count === 0) this.#since = performance.now();
        this.#split = block.split;
        this.#joiner ??= new BlockJoiner(block, Math.min(block.bytes.byteLength, 64 << 10));
        this.#joiner.add(block, from, to);
        for (let i = from; i < to; i++)
          this.#bytes += (block.spans[2 * i + 1] as number) - (block.spans[2 * i] as number);
      }
      from = to;
      if (from < block.count || this.#isFull()) this.close();
    }
    giveBuffer(block.bytes);
  }

  /** Counts a block that is written; one that is not, and all behind it, are gathered here. */
  #notWritten(block: Block): Block | undefined {
    const arrays = this.#inPlace;
    const { put } = block;
    if (arrays === undefined || block.count === 0) return block;
    if (put !== undefined && !arrays.isLeft) {
      const { counters } = this.#node;
      const written = arrays.count(block, put);
      counters.in += block.count;
      counters.bytes_in += written.recordBytes;
      const { arrays: whole, bytes } = written;
      if (whole > 0) this.#passOn(whole, whole * this.#spec.maxRecords, bytes, { split: block.split, ms: put.ms });
      return undefined;
    }
    if (!arrays.isLeft) this.#gather(arrays);
    return arrays.fetched(block);
  }

  #gather(arrays: ArraysInPlace): void {
    const held = arrays.leave();
    if (held !== undefined) this.#hold(held);
  }

  /** So many arrays of so many records are whole, and stand in the output. */
  #passOn(arrays: number, records: number, bytes: number, { split, ms }: { split: number; ms: number }): void {
    const { counters } = this.#node;
    this.#whole.push({ ...EMPTY, split, count: arrays, put: { bytes, ms } });
    counters.collected += records;
    counters.added += arrays;
    counters.out += arrays;
    counters.bytes_out += bytes - arrays;
    this.#countBatches(arrays);
  }

  /** So many batches are whole: a checkpoint may be due. */
  #countBatches(batches: number): void {
    const { checkpointEvery } = this.#spec;
    for (let i = 0; i < batches; i++) {
      this.#batches++;
      if (checkpointEvery !== undefined && this.#batches % checkpointEvery === 0) this.#node.checkpoint();
    }
  }

  /** The first record of `block` behind those that still fit; one that is larger than a whole batch has a batch of its own. */
  #room({ spans, count }: Block, from: number): number {
    const most = Math.min(count, from + this.#spec.maxRecords - this.#count);
    let bytes = this.#bytes;
    let to = from;
    while (to < most) {
      bytes += (spans[2 * to + 1] as number) - (spans[2 * to] as number);
      if (bytes > this.#spec.maxBytes && (to > from || this.#count > 0)) break;
      to++;
    }
    return to;
  }

  #isFull(): boolean {
    return this.#count >= this.#spec.maxRecords || this.#bytes >= this.#spec.maxBytes;
  }

  /** What was gathered is a batch. */
  close(): void {
    const { counters, spec } = this.#node;
    if (this.#inPlace !== undefined && !this.#inPlace.isLeft) this.#endWritten(this.#inPlace);
    const count = this.#count;
    const joiner = this.#joiner;
    if (joiner === undefined || count === 0) return;
    const block = joiner.take();
    block.split = this.#split;
    this.#joiner = undefined;
    counters.bytes_out += this.#bytes;
    this.#bytes = 0;
    if (spec.emit === 'records') {
      counters.out += count;
      if (this.#node.together && block.bytes.length < GROUP_BYTES) this.#addRecords(block);
      else {
        this.flushGroup();
        this.#whole.push(block);
      }
    } else {
      counters.collected += count;
      counters.added++;
      counters.out++;
      counters.bytes_out += count + 1;
      this.#addArray(block);
    }
    this.#countBatches(1);
  }

  #endWritten(arrays: ArraysInPlace): void {
    const { open } = arrays;
    if (open === undefined) return;
    const bytes = arrays.end(open);
    if (bytes === undefined) this.#gather(arrays);
    else this.#passOn(1, open.records, bytes, { split: open.split, ms: 0 });
  }

  /** The records of a batch as one: in the joiner they stand one byte apart, and that byte is nobody's. */
  #addArray(block: Block): void {
    const { bytes, spans, count } = block;
    if (this.#groupSplit !== block.split) this.flushGroup();
    this.#groupSplit = block.split;
    for (let i = 1; i < count; i++) bytes[spans[2 * i - 1] as number] = COMMA;
    const end = spans[2 * count - 1] as number;
    this.#group ??= { out: new ByteWriter(GROUP_BYTES + bytes.length), spans: new SpanList(), like: block };
    const { out, spans: list } = this.#group;
    const at = out.length;
    out.byte(OPEN);
    out.copy(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, end);
    out.byte(CLOSE);
    list.add(at, out.length, block.offsets[0] as number);
    out.byte(LF);
    giveBuffer(bytes);
    if (out.length >= GROUP_BYTES) this.flushGroup();
  }

  #addRecords(block: Block): void {
    if (this.#groupSplit !== block.split) this.flushGroup();
    this.#groupSplit = block.split;
    this.#small ??= new BlockJoiner(block, GROUP_BYTES);
    this.#small.add(block);
    giveBuffer(block.bytes);
    if (this.#small.bytes >= GROUP_BYTES) this.flushGroup();
  }

  flushGroup(): void {
    if (this.#small !== undefined) this.#whole.push(this.#small.take());
    this.#small = undefined;
    const group = this.#group;
    if (group === undefined) return;
    this.#group = undefined;
    const { out, spans, like } = group;
    this.#whole.push({ ...like, bytes: out.bytes.subarray(0, out.length), ...spans.take() });
  }

  /** What is whole by now. With a time to keep, arrays do not wait for others. */
  take(): Block[] {
    if (this.#spec.maxMs !== undefined) this.flushGroup();
    const whole = this.#whole;
    this.#whole = [];
    return whole;
  }

  /** The next item, or DUE when the batch at hand has waited long enough. */
  async untilDue(next: Promise<Item | undefined>): Promise<Item | undefined | typeof DUE> {
    const { maxMs } = this.#spec;
    if (maxMs === undefined || this.#count === 0) return next;
    const left = this.#since + maxMs - performance.now();
    if (left <= 0) return DUE;
    const { promise, resolve } = Promise.withResolvers<typeof DUE>();
    const timer = setTimeout(() => resolve(DUE), left);
    try {
      return await Promise.race([next, promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Half a batch goes into the checkpoint. */
  pass(barrier: Barrier): void {
    const { stepId, counters } = this.#node;
    const open = this.#inPlace?.open;
    barrier.counters.set(stepId, { ...counters });
    remember(barrier, 2 * (open?.bytes ?? this.#bytes), () => {
      const half = open === undefined ? this.#half : this.#inPlace?.records();
      return half === undefined ? {} : { [stepId]: halfOf(half) as unknown as Json };
    });
  }

  get #half(): Block | undefined {
    return this.#joiner === undefined || this.#count === 0 ? undefined : { ...this.#joiner.peek(), split: this.#split };
  }

  /** Records that are in the batch at hand already, and counted. */
  #hold(block: Block): void {
    this.#bytes = bytesOf(block);
    this.#joiner = new BlockJoiner(block);
    this.#joiner.add(block);
    this.#split = block.split;
    this.#since = performance.now();
  }
}

function halfOf({ bytes: text, spans, offsets, count, split }: Block): HalfBatch {
  const bytes = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  const records = Array.from({ length: count }, (_, i) =>
    bytes.toString('utf8', spans[2 * i] as number, spans[2 * i + 1] as number),
  );
  return { records, offsets: [...offsets], split };
}

function recordsOf({ records, offsets, split }: HalfBatch): Block {
  const bytes = Buffer.from(records.map((record) => `${record}\n`).join(''));
  const spans = new SpanList();
  let at = 0;
  records.forEach((record, i) => {
    const end = at + Buffer.byteLength(record);
    spans.add(at, end, offsets[i] ?? 0);
    at = end + 1;
  });
  return { bytes, ...spans.take(), split };
}

const OPEN = 0x5b;
const CLOSE = 0x5d;
const COMMA = 0x2c;
const LF = 0x0a;
