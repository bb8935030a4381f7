/** `tee` as a node of the flow: every record goes on, and a copy of it goes into a second chain. */
import { copyBlock } from '../kernel/blocks.ts';
import type { StepCounters } from './counters.ts';
import { BARRIER_WEIGHT, type Flow, weightOf } from './flow.ts';

export interface TeeNode {
  stepId: string;
  counters: StepCounters;
}

/** A barrier goes both ways, and is whole when it has come out at both ends. Letters stay with the first chain. */
export async function runTee(
  { stepId, counters }: TeeNode,
  input: Flow,
  out: Flow,
  branch: Flow,
  barriers: BranchBarriers,
): Promise<void> {
  for (let item = await input.receive(); item !== undefined; item = await input.receive()) {
    if (item.kind === 'barrier') {
      item.barrier.counters.set(stepId, { ...counters });
      item.barrier.branches.push(barriers.expect(item.barrier.n));
      await branch.send(item, BARRIER_WEIGHT);
      await out.send(item, BARRIER_WEIGHT);
      continue;
    }
    const { count, bytes } = item.block;
    const size = bytesIn(item.block.spans, count);
    counters.in += count;
    counters.added += count;
    counters.out += 2 * count;
    counters.bytes_in += size;
    counters.bytes_out += 2 * size;
    if (count > 0 && bytes.byteLength > 0) {
      const copy = copyBlock(item.block);
      await branch.send({ kind: 'block', block: copy, broken: [], letters: [] }, weightOf(copy));
    }
    await out.send(item, weightOf(item.block));
  }
  branch.close();
  out.close();
}

function bytesIn(spans: Uint32Array, count: number): number {
  let bytes = 0;
  for (let i = 0; i < 2 * count; i += 2) bytes += (spans[i + 1] as number) - (spans[i] as number);
  return bytes;
}

/** Barriers that are on their way through a second chain. */
export class BranchBarriers {
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();

  expect(n: number): Promise<void> {
    const waiting = Promise.withResolvers<void>();
    this.#waiting.set(n, waiting);
    return waiting.promise;
  }

  /** Barrier `n` has come out at the end of the chain. */
  arrived(n: number): void {
    this.#waiting.get(n)?.resolve();
    this.#waiting.delete(n);
  }
}
