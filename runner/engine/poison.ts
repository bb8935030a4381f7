/**
 * Records that nobody survives: a program or a thread hangs on one, or dies. Whoever works on blocks and can be started again tries
 * such a block in ever smaller parts until the one record is known. The bounds of that, and the parts.
 */
import { cutBlock } from '../kernel/blocks.ts';
import { giveBuffer } from '../kernel/buffers.ts';
import type { Block } from './contracts.ts';

/** A block is tried in so many parts: a guilty record among thousands is found in three rounds. */
const PARTS = 32;
/** Records that ended what worked on them. More are no accident: every one costs a deadline. */
export const MOST_POISON = 100;

/** Ends one after the other while no block was finished: so many, and as many again for each two that work side by side. */
export function mostInARow(workers: number): number {
  return 12 * (1 + workers / 2);
}

/** The records of a block in parts, in order, each on memory of its own; the block is used up. */
export function partsOf(block: Block): Block[] {
  const parts: Block[] = [];
  const size = Math.ceil(block.count / PARTS);
  for (let from = 0; from < block.count; from += size)
    parts.push(cutBlock(block, from, Math.min(from + size, block.count)));
  giveBuffer(block.bytes);
  return parts;
}
