/**
 * The flow of one run: source, stages and sinks as nodes that channels join. Blocks and barriers travel in one order; a barrier
 * that has come out at the end stands behind everything that the position in it covers, so committing it loses nothing.
 */
import type { Grade, Json } from '../state/store.ts';
import { Channel } from './channel.ts';
import type { Block, Mark } from './contracts.ts';
import type { StepCounters } from './counters.ts';

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
export interface BrokenRecord {
  offset: number;
  message: string;
}

export type BlockItem = { kind: 'block'; block: Block; broken: readonly BrokenRecord[] };
export type Item = BlockItem | { kind: 'barrier'; barrier: Barrier };

/** Between two nodes, at most. Blocks of 512 KB: enough to keep both sides busy, little enough to stay in constant memory. */
const BOUNDS = { bytes: 2 << 20, records: 1 << 20 };

export type Flow = Channel<Item>;

export function newChannel(): Flow {
  return new Channel<Item>(BOUNDS);
}

export const BARRIER_WEIGHT = { bytes: 0, records: 0 };

export function weightOf(block: Block): { bytes: number; records: number } {
  return { bytes: block.bytes.byteLength, records: block.count };
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
