/** The figures of one worker over all the split groups that it works on, live, as if they were one run. */
import { addCounters, noCounters, type StepCounters } from '../engine/counters.ts';
import type { NodeFigures } from '../engine/flow-reading.ts';
import type { RunFigures, StageFigures, StepFigures } from '../engine/report.ts';

interface Sums {
  counters: StepCounters;
  before: StepCounters;
  busyMs: number;
}

export class CrewFigures implements RunFigures {
  readonly steps: readonly StepFigures[];
  readonly stages: readonly StageFigures[];
  readonly totalBytes: number | undefined;
  earlierRecords = 0;
  readonly #others: () => { records: number; bytes: number };
  /** What this one has finished. */
  readonly #own = { records: 0, bytes: 0 };
  readonly #sums = new Map<string, Sums>();
  #current: RunFigures | undefined;

  /** `outline`: the figures of a run that did nothing yet. `others`: what other workers have finished. */
  constructor(outline: RunFigures, totalBytes: number | undefined, others: () => { records: number; bytes: number }) {
    this.#others = others;
    this.stages = outline.stages;
    this.totalBytes = totalBytes;
    this.steps = outline.steps.map((step) => {
      const sums: Sums = { counters: noCounters(), before: noCounters(), busyMs: 0 };
      this.#sums.set(step.id, sums);
      const now = (): StepFigures | undefined => this.#current?.steps.find(({ id }) => id === step.id);
      return {
        ...step,
        get counters() {
          return sumOf(sums.counters, now()?.counters);
        },
        get before() {
          return sumOf(sums.before, now()?.before);
        },
        get busyMs() {
          return sums.busyMs + (now()?.busyMs ?? 0);
        },
        get sampled() {
          return now()?.sampled ?? step.sampled;
        },
      };
    });
  }

  get records(): number {
    return this.#others().records + this.own.records;
  }

  get bytes(): number {
    return this.#others().bytes + this.own.bytes;
  }

  /** What this worker has read. */
  get own(): { records: number; bytes: number } {
    const { records = 0, bytes = 0 } = this.#current ?? {};
    return { records: this.#own.records + records, bytes: this.#own.bytes + bytes };
  }

  get nodes(): NodeFigures[] {
    return this.#current?.nodes ?? [];
  }

  get queues(): RunFigures['queues'] {
    return this.#current?.queues ?? [];
  }

  /** The group at hand begins. */
  begin(figures: RunFigures): void {
    this.#current = figures;
  }

  /** It has ended; what it counted stays. */
  end(): void {
    const ended = this.#current;
    if (ended === undefined) return;
    this.#current = undefined;
    this.#own.records += ended.records;
    this.#own.bytes += ended.bytes;
    for (const { id, counters, before, busyMs } of ended.steps) {
      const sums = this.#sums.get(id);
      if (sums === undefined) continue;
      addCounters(sums.counters, counters);
      addCounters(sums.before, before);
      sums.busyMs += busyMs;
    }
  }
}

function sumOf(sum: StepCounters, more: StepCounters | undefined): StepCounters {
  const result = { ...sum };
  if (more !== undefined) addCounters(result, more);
  return result;
}
