/** What a stage is made of: fused steps over records, and steps that take whole blocks. */
import type { Block, BlockStep } from './contracts.ts';
import { type Op, Pass } from './fuse.ts';

export type Part = Pass | { owner: number; step: BlockStep };

/** Places of the steps that a part belongs to, in order. */
export function ownersOf(part: Part): number[] {
  return part instanceof Pass ? [...new Set(part.ops.map((op: Op) => op.owner))] : [part.owner];
}

/** The same records, which are not said to be lines. */
export function notLines({ areLines: _, ...block }: Block): Block {
  return block;
}
