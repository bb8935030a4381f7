/** What a run tells about itself while it works and when it ends; observation implements `RunObserver`, the engine calls it. */

import type { Output, Oxi, Split } from './contracts.ts';
import { addCounters, differenceOf, inFlight, noCounters, type StepCounters } from './counters.ts';
import type { Checkpoint } from './documents.ts';
import type { ErrorCode, ExitCode } from './errors.ts';
import type { Plan } from './plan.ts';

/** One step, live. `counters` are over all attempts, `busyMs` of this one. */
interface StepFigures {
  readonly id: string;
  readonly oxi: string;
  readonly kind: Oxi['kind'];
  readonly stage: number;
  readonly counters: StepCounters;
  /** Its counters when this attempt began. */
  readonly before: StepCounters;
  busyMs: number;
}

/** The figures of a run, live. */
export interface RunFigures {
  readonly steps: readonly StepFigures[];
  /** Records read and bytes of the input dealt with, over all attempts. */
  records: number;
  bytes: number;
  readonly totalBytes: number | undefined;
}

export interface RunStart {
  plan: Plan;
  splits: readonly Split[];
  figures: RunFigures;
  resumedFrom: Checkpoint | undefined;
  notices: readonly string[];
}

type CountersReport = StepCounters & { in_flight: number };

/** How an attempt ended; the fields of the event `run.finished`. */
export interface RunSummary {
  status: 'succeeded' | 'failed' | 'interrupted' | 'cancelled';
  exit_code: ExitCode;
  error?: { code: ErrorCode | 'INTERNAL'; message: string };
  checkpoint: number;
  counters: {
    total: CountersReport;
    attempt: CountersReport;
    steps: { step: string; oxi: string; busy_ms: number; counters: CountersReport }[];
  };
  durations: { attempt_ms: number; total_ms: number };
  outputs: ({ step: string } & Output)[];
}

export interface RunObserver {
  started(start: RunStart): void;
  checkpoint(checkpoint: Checkpoint, splits: readonly Split[]): void;
  /** Record errors that did not stop the run; a sample of their messages. */
  recordErrors(messages: readonly string[]): void;
  finished(summary: RunSummary): void;
}

export function makeFigures(
  plan: Plan,
  before: Readonly<Record<string, StepCounters>>,
  totalBytes: number | undefined,
): RunFigures {
  const stageOf = new Map<string, number>([[plan.source.step.id, 0]]);
  plan.nodes.forEach((node, i) => {
    for (const step of node.kind === 'stage' ? node.steps : [node.step]) stageOf.set(step.id, i + 1);
  });
  const steps = plan.steps.map(({ id, oxi, kind }) => ({
    id,
    oxi,
    kind,
    stage: stageOf.get(id) ?? 0,
    counters: { ...noCounters(), ...before[id] },
    before: { ...noCounters(), ...before[id] },
    busyMs: 0,
  }));
  return { steps, records: 0, bytes: 0, totalBytes };
}

export function errorsOf(figures: RunFigures): number {
  return figures.steps.reduce(
    (sum, { counters: c }) => sum + c.dropped + c.dead_lettered + c.failed + c.passed_on_error,
    0,
  );
}

function report(c: StepCounters): CountersReport {
  return { ...c, in_flight: Math.max(0, inFlight(c)) };
}

export function countersReport(figures: RunFigures): RunSummary['counters'] {
  const attempts = figures.steps.map((step) => differenceOf(step.counters, step.before));
  return {
    total: report(asOne(figures.steps.map((step) => step.counters))),
    attempt: report(asOne(attempts)),
    steps: figures.steps.map((step) => ({
      step: step.id,
      oxi: step.oxi,
      busy_ms: step.busyMs,
      counters: report(step.counters),
    })),
  };
}

/** The run as one step: what it read, what it wrote, and what became of the rest. What steps made and took in is set off. */
function asOne(steps: readonly StepCounters[]): StepCounters {
  const total = noCounters();
  for (const counters of steps) addCounters(total, counters);
  const first = steps[0] ?? noCounters();
  const last = steps.at(-1) ?? noCounters();
  const made = total.added - first.added - total.collected;
  return {
    ...total,
    in: 0,
    added: first.added + Math.max(0, made),
    collected: Math.max(0, -made),
    out: last.out,
    bytes_in: first.bytes_in,
    bytes_out: last.bytes_out,
  };
}
