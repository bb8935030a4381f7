/** Parts of blocks, and blocks put together. */
import type { Block } from '../engine/contracts.ts';
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
  };
}

/** Bytes of the records alone: what lies between them depends on where blocks were cut. */
export function bytesOf({ spans, count }: Block): number {
  let bytes = 0;
  for (let i = 0; i < 2 * count; i += 2) bytes += (spans[i + 1] as number) - (spans[i] as number);
  return bytes;
}

/** A copy of record `i`. */
export function recordAt({ bytes, spans }: Block, i: number): Uint8Array {
  return bytes.slice(spans[2 * i], spans[2 * i + 1]);
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
    return { ...this.#like, bytes: this.#out.bytes.subarray(0, this.#out.length), ...this.#spans.peek() };
  }

  take(): Block {
    return { ...this.#like, bytes: this.#out.bytes.subarray(0, this.#out.length), ...this.#spans.take() };
  }
}
