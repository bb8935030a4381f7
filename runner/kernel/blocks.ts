/** Parts of blocks, and blocks put together. */
import type { Block, RowRun } from '../engine/contracts.ts';
import { takeBuffer } from './buffers.ts';
import { SpanList } from './spans.ts';
import { ByteWriter } from './writer.ts';

const LF = 0x0a;

/** Records `from` to before `to`, over the same bytes: whoever owns the block owns the part. */
export function sliceBlock(block: Block, from: number, to: number): Block {
  if (from === 0 && to === block.count) return block;
  return {
    ...block,
    spans: block.spans.subarray(2 * from, 2 * to),
    offsets: block.offsets.subarray(from, to),
    count: to - from,
    ...runsWithin(block, from, to),
  };
}

/** The runs of the records `from` to before `to`, where they are rows that were laid out. */
function runsWithin({ runs }: Block, from: number, to: number): { runs?: RowRun[] } {
  if (runs === undefined) return {};
  const within: RowRun[] = [];
  let at = 0;
  for (const run of runs) {
    const count = Math.min(at + run.count, to) - Math.max(at, from);
    if (count > 0) within.push({ ...run, count });
    at += run.count;
  }
  return { runs: within };
}

/** Bytes of the records alone: what lies between them depends on where blocks were cut. */
export function bytesOf({ bytes: text, spans, count, areLines, put }: Block): number {
  if (put !== undefined) return put.bytes - count;
  if (areLines === true) return text.byteLength - count;
  let bytes = 0;
  for (let i = 0; i < 2 * count; i += 2) bytes += (spans[i + 1] as number) - (spans[i] as number);
  return bytes;
}

/** A copy of record `i`. */
export function recordAt({ bytes, spans }: Block, i: number): Uint8Array {
  // A Buffer's own slice is no copy, and the memory of the block is used again.
  return Uint8Array.prototype.slice.call(bytes, spans[2 * i], spans[2 * i + 1]);
}

/** A copy on memory of its own. */
export function copyBlock(block: Block): Block {
  const joiner = new BlockJoiner(block);
  joiner.add(block);
  return joiner.take();
}

/** Puts records of several blocks one behind the other into one, a byte apart. */
export class BlockJoiner {
  readonly #like: Block;
  readonly #out: ByteWriter;
  readonly #spans = new SpanList();
  #runs: RowRun[] | undefined;

  /** `like`: where split, columns and the rest come from. */
  constructor(like: Block, capacity = like.bytes.byteLength + 64) {
    this.#like = like;
    this.#out = new ByteWriter(capacity);
  }

  get count(): number {
    return this.#spans.count;
  }

  get bytes(): number {
    return this.#out.length;
  }

  /** Records that stand side by side are copied as one piece. */
  add(block: Block, from = 0, to = block.count): void {
    const bytes = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    const { spans, offsets } = block;
    const { runs } = runsWithin(block, from, to);
    if (runs !== undefined) this.#runs = [...(this.#runs ?? []), ...runs];
    let i = from;
    while (i < to) {
      const start = spans[2 * i] as number;
      let last = i;
      while (last + 1 < to && spans[2 * last + 2] === (spans[2 * last + 1] as number) + 1) last++;
      const shift = this.#out.length - start;
      this.#out.copy(bytes, start, spans[2 * last + 1] as number);
      this.#out.byte(LF);
      for (; i <= last; i++)
        this.#spans.add((spans[2 * i] as number) + shift, (spans[2 * i + 1] as number) + shift, offsets[i] as number);
    }
  }

  /** What was added so far, over the joiner's own bytes: to be read at once. */
  peek(): Block {
    return this.#block(this.#spans.peek());
  }

  take(): Block {
    return this.#block(this.#spans.take());
  }

  #block(records: Pick<Block, 'spans' | 'offsets' | 'count'>): Block {
    const runs = this.#runs === undefined ? {} : { runs: this.#runs };
    return { ...this.#like, bytes: this.#out.bytes.subarray(0, this.#out.length), ...records, ...runs };
  }
}

/** Records `from` to `to` (without it) as a block on memory of its own. */
export function cutBlock(block: Block, from: number, to: number): Block {
  const count = to - from;
  const start = count === 0 ? 0 : (block.spans[2 * from] as number);
  const end = count === 0 ? 0 : (block.spans[2 * to - 1] as number);
  const bytes = takeBuffer(end - start + 1).subarray(0, end - start + 1);
  bytes.set(block.bytes.subarray(start, end));
  bytes[end - start] = LF;
  const spans = block.spans.slice(2 * from, 2 * to);
  for (let i = 0; i < spans.length; i++) spans[i] = (spans[i] as number) - start;
  return { ...block, bytes, spans, offsets: block.offsets.slice(from, to), count, ...runsWithin(block, from, to) };
}

/** All records of some blocks of one split, in order, as one block; the blocks are not needed any more. */
export function joinBlocks(blocks: readonly [Block, ...Block[]]): Block {
  const [first] = blocks;
  if (blocks.length === 1) return first;
  const size = blocks.reduce((sum, { bytes }) => sum + bytes.byteLength + 1, 0);
  const count = blocks.reduce((sum, block) => sum + block.count, 0);
  const bytes = takeBuffer(size).subarray(0, size);
  const spans = new Uint32Array(2 * count);
  const offsets = new Float64Array(count);
  let at = 0;
  let record = 0;
  for (const block of blocks) {
    bytes.set(block.bytes, at);
    for (let i = 0; i < 2 * block.count; i++) spans[2 * record + i] = (block.spans[i] as number) + at;
    offsets.set(block.offsets.subarray(0, block.count), record);
    record += block.count;
    at += block.bytes.byteLength;
    bytes[at++] = LF;
  }
  const runs = blocks.flatMap((block) => block.runs ?? []);
  return { ...first, bytes, spans, offsets, count, ...(runs.length > 0 ? { runs } : {}) };
}
