/** `sample`: a part of the records: a share that chance picks, the same ones in every attempt, or every n-th. */
import * as z from 'zod/mini';
import type { Block, BlockStep, StepContext } from '../../engine/contracts.ts';
import { bufferOf, keepRecords } from '../../kernel/keep.ts';
import type { Json } from '../../state/store.ts';
import { defineStep, field } from '../define.ts';

const config = () =>
  z
    .strictObject({
      rate: field(
        z.optional(z.number().check(z.gte(0), z.lte(1))),
        'The share of records that stay, from 0 to 1. Which ones is decided by seed and by where a record stands in its input: threads, batches and attempts change nothing.',
      ),
      every: field(z.optional(z.int().check(z.gte(1))), 'Of so many records the first stays.'),
      seed: field(z.optional(z.int()), 'With rate: another number picks other records. 0 without it.'),
    })
    .check(
      z.refine((c) => (c.rate === undefined) !== (c.every === undefined), {
        error: 'needs one of rate and every, and takes only one of them',
      }),
      z.refine((c) => c.seed === undefined || c.every === undefined, {
        path: ['seed'],
        error: 'has no effect with every',
      }),
    );

export const sample = defineStep({
  name: 'sample',
  kind: 'step',
  summary: 'Keeps a part of the records: a share, or every n-th.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  alone: {
    why: 'counts records over the whole run ("every"): use "rate"',
    when: (c: { every?: number | undefined }) => c.every !== undefined,
  },
  make: (c): BlockStep => (c.every === undefined ? new RateStep(c.rate ?? 1, c.seed ?? 0) : new EveryStep(c.every)),
});

/** Bytes at either end of a record that tell it from others which came from the same place. */
const LOOKED_AT = 32;

/** Stateless: chance is a hash of what stays the same however the stream is cut. */
class RateStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'filter';
  readonly picks = true;
  readonly state = 'none';
  readonly #below: number;
  readonly #seed: number;

  constructor(rate: number, seed: number) {
    this.#below = rate * 2 ** 32;
    this.#seed = mixed(mixed(0x9e3779b9, seed | 0), Math.floor(seed / 2 ** 32) | 0);
  }

  process(block: Block, context: StepContext): Block {
    const bytes = bufferOf(block);
    const seed = mixed(this.#seed, context.splitPlace ?? block.split);
    return keepRecords(block, (i) => {
      const start = block.spans[2 * i] as number;
      const end = block.spans[2 * i + 1] as number;
      const offset = block.offsets[i] as number;
      let hash = mixed(mixed(seed, offset | 0), Math.floor(offset / 2 ** 32));
      // Records that a step made of one share its offset.
      hash = mixed(hash, end - start);
      const head = Math.min(end, start + LOOKED_AT);
      for (let p = start; p < head; p++) hash = Math.imul(hash ^ (bytes[p] as number), 0x01000193);
      for (let p = Math.max(head, end - LOOKED_AT); p < end; p++)
        hash = Math.imul(hash ^ (bytes[p] as number), 0x01000193);
      return mixed(hash, 0) >>> 0 < this.#below;
    });
  }
}

class EveryStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'filter';
  readonly picks = true;
  readonly state = 'ordered';
  readonly #every: number;
  /** Place of the next record in its group. */
  #place = 0;

  constructor(every: number) {
    this.#every = every;
  }

  process(block: Block): Block {
    return keepRecords(block, () => {
      const stays = this.#place === 0;
      this.#place = (this.#place + 1) % this.#every;
      return stays;
    });
  }

  snapshot(): Json {
    return { place: this.#place };
  }

  restore(state: Json): void {
    this.#place = (state as { place: number }).place;
  }
}

/** `value` stirred into `hash`: the finalizer of MurmurHash3, in which every bit of the input changes half of the output. */
function mixed(hash: number, value: number): number {
  let h = Math.imul(hash, 5) + 0x38495ab5 + value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
