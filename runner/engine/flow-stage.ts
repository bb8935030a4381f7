/** A stage as a node of the flow: blocks are worked on here or on a pool, and leave in the order in which they came. */
import { giveBuffer } from '../kernel/buffers.ts';
import { Channel } from './channel.ts';
import { type Block, RecordError } from './contracts.ts';
import { noCounters, type StepCounters } from './counters.ts';
import { crashpoint } from './crashpoint.ts';
import {
  BARRIER_WEIGHT,
  type Barrier,
  type BlockItem,
  type BrokenRecord,
  type Flow,
  type Item,
  remember,
  weightOf,
} from './flow.ts';
import type { Lane } from './lane.ts';
import type { Letter } from './letters.ts';
import type { OnlyRecord } from './only-record.ts';
import type { StageProgram } from './stage.ts';
import { addAll, type Failure, type StageResult } from './stage-spec.ts';

export interface StageNode {
  /** Ids of its steps, in order. */
  steps: readonly string[];
  counters: readonly StepCounters[];
  /** Threads at most, or blocks side by side. */
  threads: number;
  /** Blocks that came in any order leave in that in which they came. */
  keepsOrder: boolean;
  /** It never works here: a pool is started for the first block. */
  apart: boolean;
  /** The program that works here, made at its first use. */
  program(): StageProgram;
  /** It remembers something: its program is there from the start. */
  ordered: boolean;
  /** Starts the pool; called when a second block has come. */
  startPool(): (block: Block) => Promise<StageResult>;
  /** All blocks have been worked on. Throws what the steps find wrong only now. */
  end(): Promise<void>;
  done(result: StageResult): void;
  /** Records that it cut out of a piece in which one of them ends the run. */
  found(cut: NonNullable<StageResult['cut']>): void;
  failed(failures: readonly Failure[]): void;
  lettersSent(letters: readonly Letter[]): void;
  /** Counts records that the framer could not cut as refused by the first step; throws where such a record stops the run. */
  refuse(result: StageResult, broken: readonly BrokenRecord[]): void;
  /** It cuts what the source reads: puts what was read up to a barrier into it. */
  countedTo(barrier: Barrier): void;
  /** Nothing that comes from here on leaves it. */
  enough(): void;
  /** What leaves it goes there, where a thread can write it by itself. */
  lane: Lane | undefined;
  /** Looks into the record that leaves it alone, where somebody refers to its fields. */
  only: OnlyRecord | undefined;
}

/** Works on blocks, on this thread or on a pool, and passes them on in order. */
export async function runStage(node: StageNode, input: Flow, out: Flow): Promise<void> {
  let turns = 0;
  const finish = async (result: StageResult, before: Letter[], turn?: number): Promise<void> => {
    crashpoint('apply');
    addAll(node.counters, result.counters);
    node.only?.take(result.block);
    node.done(result);
    if (result.failures.length > 0) node.failed(result.failures);
    if (result.letters.length > 0) node.lettersSent(result.letters);
    const letters = before.length === 0 ? result.letters : before.concat(result.letters);
    // Those before it have finished, so its place is known.
    const block = turn === undefined ? result.block : (node.lane?.put(result.block, turn) ?? result.block);
    if (block.count > 0 || letters.length > 0)
      await out.send({ kind: 'block', block, broken: [], letters }, weightOf(block));
    else giveBuffer(block.bytes);
  };
  const work = async (item: BlockItem, how: (block: Block) => Promise<StageResult>): Promise<Worked> => {
    const turn = node.lane === undefined ? undefined : turns++;
    const block = turn === undefined ? item.block : { ...item.block, turn };
    const result = await how(block).finally(item.read);
    if (turn !== undefined) node.lane?.publish(result.block, turn);
    const broken = item.broken.concat(brokenIn(result, item.block.split));
    try {
      if (broken.length > 0) node.refuse(result, broken);
    } catch (error) {
      // It ends the run: what was found up to here counts all the same.
      if (result.cut !== undefined) node.found(result.cut);
      throw error;
    }
    return { result, before: item.letters, turn };
  };
  const inline = (item: BlockItem): Promise<Worked> =>
    work(item, (block) => {
      const program = node.program();
      return program.process(block).catch((error) => {
        if (program.cut !== undefined) node.found(program.cut);
        throw error;
      });
    });
  const pass = async (barrier: Barrier): Promise<void> => {
    if (barrier.last !== 'no') await node.end();
    if (node.ordered) {
      const program = node.program();
      if (barrier.last === 'finished') {
        const held = await program.flush();
        if (held !== undefined) await finish(held, []);
      }
      remember(barrier, program.snapshotBytes, () => program.snapshot());
    }
    node.only?.into(barrier);
    node.countedTo(barrier);
    node.steps.forEach((id, i) => {
      barrier.counters.set(id, { ...(node.counters[i] ?? noCounters()) });
    });
    await out.send({ kind: 'barrier', barrier }, BARRIER_WEIGHT);
  };
  if (node.threads === 1 && !node.apart) {
    for (let item = await input.receive(); item !== undefined; item = await input.receive()) {
      if (item.kind === 'barrier') {
        await pass(item.barrier);
        continue;
      }
      const { result, before, turn } = await inline(item);
      await finish(result, before, turn);
      if (node.ordered && node.program().enough) node.enough();
    }
  } else {
    const pooled = (): ((item: BlockItem) => Promise<Worked>) => {
      const pool = node.startPool();
      return (item) => work(item, pool);
    };
    const order = node.keepsOrder ? runInOrder : runAsTheyCome;
    await runPooled(
      node.threads,
      node.apart,
      { hasLane: node.lane !== undefined, inline, pooled, finish, pass, order },
      input,
    );
  }
  out.close();
}

/** Records that the stage itself found to be too long when it cut a piece. */
function brokenIn({ cut }: StageResult, split: number): BrokenRecord[] {
  return (cut?.broken ?? []).map(({ offset, reason }) => ({
    split,
    offset,
    error: new RecordError(reason, undefined, 'TOO_LARGE'),
  }));
}

/** A result, and the letters of the steps before. */
interface Worked {
  result: StageResult;
  before: Letter[];
  /** Of its block, where the stage has a lane. */
  turn: number | undefined;
}

interface Pooled {
  /** Blocks that wait hold no memory. */
  hasLane: boolean;
  inline(item: BlockItem): Promise<Worked>;
  pooled(): (item: BlockItem) => Promise<Worked>;
  finish(result: StageResult, before: Letter[], turn: number | undefined): Promise<void>;
  pass(barrier: Barrier): Promise<void>;
  order(
    items: AsyncIterable<Item>,
    work: (item: BlockItem) => Promise<Worked>,
    threads: number,
    p: Pooled,
  ): Promise<void>;
}

/**
 * As many blocks at work as there are threads, and one waiting for each. The first block is worked on here, at once: a small input
 * never starts a thread, and of a slow one nothing waits for what has yet to come.
 */
async function runPooled(threads: number, apart: boolean, p: Pooled, input: Flow): Promise<void> {
  let here = apart ? 0 : 1;
  for (let item = await input.receive(); item !== undefined; item = await input.receive()) {
    if (item.kind === 'barrier') await p.pass(item.barrier);
    else if (here-- > 0) {
      const { result, before, turn } = await p.inline(item);
      await p.finish(result, before, turn);
    } else return p.order(all(item, input), p.pooled(), threads, p);
  }
}

async function* all(first: Item, input: Flow): AsyncGenerator<Item> {
  yield first;
  for (let next = await input.receive(); next !== undefined; next = await input.receive()) yield next;
}

async function runInOrder(
  items: AsyncIterable<Item>,
  work: (item: BlockItem) => Promise<Worked>,
  threads: number,
  { finish, pass, hasLane }: Pooled,
): Promise<void> {
  // In the order of arrival; each entry is a promise of a result, or a barrier between two.
  const atOnce = hasLane ? 4 * threads : threads + 1;
  const line = new Channel<{ worked: Promise<Worked> } | { barrier: Barrier }>({
    bytes: atOnce,
    records: atOnce,
  });
  const one = { bytes: 1, records: 1 };
  const intake = async (): Promise<void> => {
    for await (const item of items) {
      if (item.kind === 'barrier') {
        await line.send({ barrier: item.barrier }, BARRIER_WEIGHT);
        continue;
      }
      const worked = work(item);
      // Whoever takes it from the line sees the failure; until then it must not count as unhandled.
      worked.catch(() => undefined);
      await line.send({ worked }, one);
    }
    line.close();
  };
  const output = async (): Promise<void> => {
    for (let next = await line.receive(); next !== undefined; next = await line.receive()) {
      if ('barrier' in next) await pass(next.barrier);
      else {
        const { result, before, turn } = await next.worked;
        await finish(result, before, turn);
      }
    }
  };
  const linked = (side: Promise<void>): Promise<void> =>
    side.catch((error) => {
      line.fail(error);
      throw error;
    });
  await Promise.all([linked(intake()), linked(output())]);
}

/** Blocks leave as soon as they are done; a barrier waits for all that came before it. */
async function runAsTheyCome(
  items: AsyncIterable<Item>,
  work: (item: BlockItem) => Promise<Worked>,
  threads: number,
  { finish, pass }: Pooled,
): Promise<void> {
  const atWork = new Set<Promise<void>>();
  // A block may fail while nobody waits for it.
  const failure = Promise.withResolvers<never>();
  let sending = Promise.resolve();
  const start = (item: BlockItem): void => {
    const done = work(item).then(async ({ result, before, turn }) => {
      // One at a time: the channel has one sender.
      sending = sending.then(() => finish(result, before, turn));
      await sending;
    });
    const entry = done.finally(() => atWork.delete(entry));
    entry.catch(failure.reject);
    atWork.add(entry);
  };
  const intake = async (): Promise<void> => {
    for await (const item of items) {
      if (item.kind === 'barrier') {
        await Promise.all(atWork);
        await pass(item.barrier);
        continue;
      }
      while (atWork.size >= 2 * threads) await Promise.race(atWork);
      start(item);
    }
    await Promise.all(atWork);
  };
  await Promise.race([intake(), failure.promise]);
}
