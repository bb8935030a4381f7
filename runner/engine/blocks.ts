/** Parts of blocks, and blocks put together: for those who work on a few records of a block at a time. */
import { takeBuffer } from '../kernel/buffers.ts';
import type { Block } from './contracts.ts';

/** Stands behind every record: whoever looks for line feeds finds them. */
const LF = 0x0a;

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
  return { ...block, bytes, spans, offsets: block.offsets.slice(from, to), count };
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
  return { ...first, bytes, spans, offsets, count };
}
