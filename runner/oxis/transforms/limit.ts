/** `limit`: the first records pass, the rest is left out; the input is not read further than that needs. */
import * as z from 'zod/mini';
import type { Block, BlockStep } from '../../engine/contracts.ts';
import { keepRecords } from '../../kernel/keep.ts';
import type { Json } from '../../state/store.ts';
import { defineStep, field } from '../define.ts';

const config = () =>
  z.strictObject({
    records: field(z.int().check(z.gte(0)), 'So many pass, counted over the whole run; all others are left out.'),
  });

export const limit = defineStep({
  name: 'limit',
  kind: 'step',
  summary: 'Passes the first records and leaves out the rest.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  alone: { why: 'counts records over the whole run' },
  make: (c): BlockStep => new LimitStep(c.records),
});

class LimitStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'filter';
  readonly picks = true;
  readonly state = 'ordered';
  readonly #records: number;
  #passed = 0;

  constructor(records: number) {
    this.#records = records;
  }

  get enough(): boolean {
    return this.#passed >= this.#records;
  }

  process(block: Block): Block {
    const room = this.#records - this.#passed;
    this.#passed += Math.min(room, block.count);
    return keepRecords(block, (i) => i < room);
  }

  snapshot(): Json {
    return { passed: this.#passed };
  }

  restore(state: Json): void {
    this.#passed = (state as { passed: number }).passed;
  }
}
