/**
 * What becomes of the records of one block in the steps of a stage: it counts them, keeps the letters of those that were given up, and
 * tells whether a record error stops the run.
 */
import { recordAt } from '../kernel/blocks.ts';
import { letterOf, recordMessage, stopError } from './bad-record.ts';
import type { Block, BlockStep } from './contracts.ts';
import { RecordError } from './contracts.ts';
import { noCounters, type StepCounters } from './counters.ts';
import { OxiError } from './errors.ts';
import type { PassEvents } from './fuse.ts';
import type { Letter } from './letters.ts';
import { type Room, sizeOf } from './limits.ts';
import { addAll, type Failure, type StageSpec, type StageStepSpec } from './stage-spec.ts';

const KEPT_FAILURES = 3;

/** Of one pass over records. */
export interface PassTally {
  events: PassEvents;
  filter(owner: number, n: number): void;
  /** Told at the end how many came. */
  count(records: number): void;
}

export class StageTally {
  readonly #spec: StageSpec;
  counters: StepCounters[];
  readonly failures: Failure[] = [];
  readonly letters: Letter[] = [];
  /** Steps whose records have been counted where they came in. */
  #seen: boolean[] = [];

  constructor(spec: StageSpec) {
    this.#spec = spec;
    this.counters = spec.steps.map(noCounters);
  }

  of(owner: number): StepCounters {
    return this.counters[owner] as StepCounters;
  }

  /** What comes now has been in no step yet. */
  again(): void {
    this.#seen = [];
  }

  /** A block comes to these steps in portions, each of which is counted as a block of its own by `part`. */
  portions(owners: readonly number[]): { part<T>(work: () => T | Promise<T>): Promise<T>; end(): void } {
    const total = this.counters;
    const seen = this.#seen;
    for (const owner of owners) this.of(owner).out = 0;
    return {
      part: async (work) => {
        this.counters = this.#spec.steps.map(noCounters);
        this.#seen = [...seen];
        const out = await work();
        addAll(total, this.counters);
        return out;
      },
      end: () => {
        this.counters = total;
        this.#seen = [...seen];
        for (const owner of owners) this.#seen[owner] = true;
      },
    };
  }

  /**
   * A record larger than one of these steps takes: the first such step refuses it, those before it let it pass. True where it goes on
   * as it came in.
   */
  refuseLarge(owners: readonly number[], rooms: readonly Room[], block: Block, index: number): boolean {
    const size = sizeOf(block.spans, index);
    for (const owner of owners) {
      const counters = this.of(owner);
      if (!this.#seen[owner]) counters.in++;
      const { bytes } = rooms[owner] as Room;
      if (size > bytes) {
        const text = `it has ${size} bytes, and the step takes ${bytes} at most (max_memory_mb)`;
        // A step that passes records on shares its pass with nobody.
        const goesOn = this.fail(owner, block, index, new RecordError(text, undefined, 'TOO_LARGE'));
        if (goesOn) counters.out++;
        return goesOn;
      }
      counters.out++;
    }
    return false;
  }

  /** Of a pass of these steps, in order, in which records that fail stand in `given`. */
  pass(owners: readonly number[], given: () => Block): PassTally {
    const lost = this.#spec.steps.map(() => 0);
    const lose = (owner: number, n: number): void => {
      lost[owner] = (lost[owner] ?? 0) + n;
    };
    const filter = (owner: number, n: number): void => {
      this.of(owner).filtered += n;
      lose(owner, n);
    };
    return {
      events: {
        filtered: (owner, n = 1) => filter(owner, n),
        failed: (owner, index, error) => {
          if (this.fail(owner, given(), index, error)) return true;
          lose(owner, 1);
          return false;
        },
      },
      filter,
      count: (records) => {
        let n = records;
        for (const owner of owners) {
          const counters = this.of(owner);
          if (!this.#seen[owner]) counters.in += n;
          this.#seen[owner] = true;
          n -= lost[owner] ?? 0;
          counters.out = n;
        }
      },
    };
  }

  /** A block went through one step. */
  step(owner: number, { cardinality }: BlockStep, taken: number, failed: number, out: number): void {
    const counters = this.of(owner);
    counters.in += taken;
    counters.out += out;
    const arrived = taken - failed;
    if (cardinality === 'many' || cardinality === 'collect') {
      counters.collected += arrived;
      counters.added += out;
    } else counters.filtered += arrived - out;
  }

  /** True where the record goes on as it came in. Throws OxiError RECORD_INVALID or DOCUMENT_BROKEN where it stops the run. */
  fail(owner: number, block: Block, index: number, error: RecordError): boolean {
    const step = this.#spec.steps[owner] as StageStepSpec;
    const file = this.#spec.splitNames[block.split] ?? '';
    const offset = block.offsets[index] as number;
    const { framing } = this.#spec.stream;
    const at = offset + (error.at ?? 0);
    if (owner === 0 && !this.#spec.checked && error.at !== undefined && (framing === 'array' || framing === 'document'))
      throw new OxiError('DOCUMENT_BROKEN', `${file}: byte ${at}: ${error.message}`, {
        place: { step: step.id, file, offset: at },
        cause: error,
      });
    const counters = this.of(owner);
    const message = recordMessage(step, file, offset, error);
    if (step.onError === 'pass') counters.passed_on_error++;
    else if (step.onError === 'dead_letter') {
      counters.dead_lettered++;
      this.letters.push(letterOf(step, file, block.split, offset, error, recordAt(block, index)));
    } else if (step.onError === 'drop') counters.dropped++;
    else throw stopError(step, file, offset, error);
    if (this.failures.length < KEPT_FAILURES) this.failures.push({ step: step.id, message });
    return step.onError === 'pass';
  }
}
