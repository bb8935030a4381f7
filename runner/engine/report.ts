/** What a run tells about itself while it works and when it ends; observation implements `RunObserver`, the engine calls it. */

import type { Output, Oxi, Split, Tier } from './contracts.ts';
import { addCounters, differenceOf, inFlight, noCounters, type StepCounters } from './counters.ts';
import type { Checkpoint } from './documents.ts';
import type { ErrorCode, ExitCode } from './errors.ts';
import type { FlowFigures, FlowReading } from './flow-reading.ts';
import type { Letter } from './letters.ts';
import { allNodes, type Plan, type PlannedNode, type Segment, stepsOf } from './plan.ts';

/** One step, live. `counters` are over all attempts, `busyMs` of this one. */
export interface StepFigures {
  readonly id: string;
  readonly oxi: string;
  readonly kind: Oxi['kind'];
  readonly stage: number;
  readonly after: string | undefined;
  readonly counters: StepCounters;
  /** Its counters when this attempt began. */
  readonly before: StepCounters;
  busyMs: number;
  /** Its time is known by samples: it shares a pass with others. */
  sampled: boolean;
}

/** Steps that work together, in the order of the flow; a source is one, and so is a sink. */
export interface StageFigures {
  readonly threads: number;
  readonly tier: Tier;
  readonly steps: readonly string[];
}

/** The figures of a run, live. */
export interface RunFigures extends FlowFigures {
  readonly steps: readonly StepFigures[];
  readonly stages: readonly StageFigures[];
  /** Records that earlier segments have read. */
  earlierRecords: number;
  /** Records read and bytes of the input dealt with, over all attempts. */
  records: number;
  bytes: number;
  readonly totalBytes: number | undefined;
}

export interface RunStart {
  splits: readonly Split[];
  figures: RunFigures;
  resumedFrom: Checkpoint | undefined;
  notices: readonly string[];
}

/** What one step did and where its time went. Waits are those of the whole node that it belongs to. */
interface StepReport {
  step: string;
  oxi: string;
  busy_ms: number;
  sampled: boolean;
  wait_input_ms: number;
  wait_room_ms: number;
  wait_outside_ms: number;
  counters: CountersReport;
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
    steps: StepReport[];
  };
  durations: { attempt_ms: number; total_ms: number };
  outputs: ({ step: string } & Output)[];
  /** What held the run back, where it is plain to see. */
  bottleneck?: { step: string; reason: string };
}

export interface RunObserver {
  started(start: RunStart): void;
  checkpoint(checkpoint: Checkpoint, splits: readonly Split[]): void;
  /** Record errors that did not stop the run; a sample of their messages. */
  recordErrors(messages: readonly string[]): void;
  /** Records that went to the dead-letter file. */
  deadLettered(letters: readonly Letter[]): void;
  finished(summary: RunSummary): void;
}

export function makeFigures(
  plan: Plan,
  before: Readonly<Record<string, StepCounters>>,
  totalBytes: number | undefined,
): RunFigures {
  const stages = plan.segments.flatMap(({ planned, steps }) =>
    planned === undefined
      ? steps.map(({ id }): StageFigures => ({ threads: 1, tier: 'values', steps: [id] }))
      : stagesOf(planned),
  );
  const stageOf = new Map(stages.flatMap(({ steps }, i) => steps.map((id) => [id, i] as const)));
  const steps = plan.steps.map(({ id, oxi, kind, after }) => ({
    id,
    oxi,
    kind,
    after,
    stage: stageOf.get(id) ?? 0,
    counters: { ...noCounters(), ...before[id] },
    before: { ...noCounters(), ...before[id] },
    busyMs: 0,
    sampled: false,
  }));
  return { steps, stages, nodes: [], queues: [], records: 0, earlierRecords: 0, bytes: 0, totalBytes };
}

function stagesOf({ sources, nodes }: Segment): StageFigures[] {
  return [
    { threads: 1, tier: 'bytes', steps: sources.map(({ step }) => step.id) },
    ...allNodes(nodes).map(
      (node: PlannedNode): StageFigures => ({
        threads: node.kind === 'stage' ? node.threads : 1,
        tier: node.kind === 'stage' ? node.tier : 'bytes',
        steps: stepsOf(node).map(({ id }) => id),
      }),
    ),
  ];
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

/** `reading`: of the flow, over the whole attempt. */
export function countersReport(figures: RunFigures, { elapsedMs, nodes }: FlowReading): RunSummary['counters'] {
  const nodeOf = new Map(nodes.flatMap((node) => node.steps.map(({ step }) => [step, node] as const)));
  const attempts = figures.steps.map((step) => differenceOf(step.counters, step.before));
  return {
    total: report(asOne(figures.steps, (step) => step.counters)),
    attempt: report(asOne(figures.steps, (_step, i) => attempts[i] ?? noCounters())),
    steps: figures.steps.map((step) => ({
      step: step.id,
      oxi: step.oxi,
      busy_ms: step.busyMs,
      sampled: step.sampled,
      wait_input_ms: elapsedMs * (nodeOf.get(step.id)?.waitInput ?? 0),
      wait_room_ms: elapsedMs * (nodeOf.get(step.id)?.waitRoom ?? 0),
      wait_outside_ms: elapsedMs * (nodeOf.get(step.id)?.outside ?? 0),
      counters: report(step.counters),
    })),
  };
}

/** The run as one step: what its sources read, what came out at its ends, and what became of the rest. What steps made and took in is set off. */
function asOne(steps: readonly StepFigures[], of: (step: StepFigures, index: number) => StepCounters): StepCounters {
  const total = noCounters();
  const read = noCounters();
  const written = noCounters();
  const isFollowed = new Set(steps.map(({ after }) => after));
  steps.forEach((step, i) => {
    const counters = of(step, i);
    addCounters(total, counters);
    if (step.after === undefined) addCounters(read, counters);
    else if (!isFollowed.has(step.id)) addCounters(written, counters);
  });
  const made = total.added - read.added - total.collected;
  return {
    ...total,
    in: 0,
    added: read.added + Math.max(0, made),
    collected: Math.max(0, -made),
    out: written.out,
    bytes_in: read.bytes_in,
    bytes_out: written.bytes_out,
  };
}
