/**
 * The flow of one run: source, stages and sinks as nodes that channels join. Blocks and barriers travel in one order; a barrier
 * that has come out at the end stands behind everything that the position in it covers, so committing it loses nothing.
 */
import { isShared } from '../kernel/buffers.ts';
import type { Grade, Json } from '../state/store.ts';
import { Channel } from './channel.ts';
import type { Block, Mark, RecordError } from './contracts.ts';
import type { StepCounters } from './counters.ts';
import type { Letter } from './letters.ts';
import type { TextPlace } from './source-text.ts';

/** Where reading goes on: the split and the byte in it, the records that were cut before, and the framer's state there. */
export interface Position {
  split: number;
  /** Bytes of the split that were read; where reading goes on, too, unless there is a `text`. */
  offset: number;
  text?: TextPlace;
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
  /** What steps remember, and half a batch, by id of the step. */
  snapshots: Record<string, Json>;
  encoders: Record<string, Json>;
  marks: Record<string, Mark>;
  /** A step has too much to remember to save it this often: nothing is saved, and the next barrier asks again. */
  declined: boolean;
  /** Ends of second chains: the barrier has come out behind all of their sinks. */
  branches: Promise<void>[];
  /** Resolves when it is committed, or declined. */
  over: PromiseWithResolvers<void>;
}

/** A record that nobody could cut; it counts as one that the parser refused. */
export interface BrokenRecord {
  split: number;
  offset: number;
  error: RecordError;
}

export interface BlockItem {
  kind: 'block';
  block: Block;
  broken: readonly BrokenRecord[];
  /** What steps gave up of these records: it travels with them to the end of the chain. */
  letters: Letter[];
  /** Its bytes stand elsewhere: called when they have been read. */
  read?: () => Promise<void> | undefined;
}
export type Item = BlockItem | { kind: 'barrier'; barrier: Barrier };

/** Between two nodes, at most. Blocks of 256 KB: enough to keep both sides busy, little enough to stay in constant memory. */
const BOUNDS = { bytes: 1 << 20, records: 1 << 20 };

/** Each piece that is still to be read holds a file open: of small files no more than a few wait. */
const STORED_BYTES = 64 << 10;

export type Flow = Channel<Item>;

export function newChannel(): Flow {
  return new Channel<Item>(BOUNDS);
}

export const BARRIER_WEIGHT = { bytes: 0, records: 0 };

/** A soft checkpoint with more than so many bytes of memories of steps is left out; the hard ones are made. */
const SOFT_BYTES = 4 << 20;

/** Puts what a node remembers into a barrier, or declines it: `bytes` is asked before `take`, which may be dear. */
export function remember(barrier: Barrier, bytes: number, take: () => Record<string, Json>): void {
  if (barrier.grade === 'soft' && bytes > SOFT_BYTES) barrier.declined = true;
  if (!barrier.declined) Object.assign(barrier.snapshots, take());
}

/** What counts is the memory that it holds. */
export function weightOf({ bytes, count, stored }: Block): { bytes: number; records: number } {
  if (stored !== undefined) return { bytes: Math.max(stored.size, STORED_BYTES), records: 0 };
  return { bytes: isShared(bytes) ? bytes.buffer.byteLength : bytes.byteLength, records: count };
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
