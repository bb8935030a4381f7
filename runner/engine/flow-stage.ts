/** A stage as a node of the flow: blocks are worked on here or on a pool, and leave in the order in which they came. */
import { giveBuffer } from '../kernel/buffers.ts';
import { Channel } from './channel.ts';
import type { Block } from './contracts.ts';
import { noCounters, type StepCounters } from './counters.ts';
import { crashpoint } from './crashpoint.ts';
import {
  BARRIER_WEIGHT,
  type Barrier,
  type BlockItem,
  type BrokenRecord,
  type Flow,
  type Item,
  weightOf,
} from './flow.ts';
import { addAll, type Failure, type StageResult } from './stage.ts';

export interface StageNode {
  /** Ids of its steps, in order. */
  steps: readonly string[];
  counters: readonly StepCounters[];
  /** Threads at most; blocks come back in any order and leave in theirs. */
  threads: number;
  inline(block: Block): Promise<StageResult>;
  /** Starts the pool; called when a second block has come. */
  startPool(): (block: Block) => Promise<StageResult>;
  /** All blocks have been worked on. Throws what the steps find wrong only now. */
  end(): Promise<void>;
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
    if (barrier.last !== 'no') await node.end();
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
