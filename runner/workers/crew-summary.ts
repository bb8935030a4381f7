/** What is told of a shared run at its end: the sum over its split groups. */
import { addCounters, differenceOf, noCounters, type StepCounters } from '../engine/counters.ts';
import { parseRunDocument } from '../engine/documents.ts';
import type { Plan } from '../engine/plan.ts';
import { countersReport, makeFigures, type RunSummary } from '../engine/report.ts';
import type { StateStore } from '../state/store.ts';
import type { CrewFigures } from './crew-figures.ts';

type Outputs = RunSummary['outputs'];

export interface GroupsSum {
  counters: Record<string, StepCounters>;
  /** By split group, in the order of the groups that were asked for. */
  outputs: Outputs[];
  elapsedMs: number;
}

/** Adds up what the documents of these groups say of the run with this id; a group without one counts for nothing. */
export async function sumGroups(
  store: StateStore,
  runKey: string,
  runId: string,
  groups: readonly number[],
): Promise<GroupsSum> {
  const sum: GroupsSum = { counters: {}, outputs: [], elapsedMs: 0 };
  for (const index of groups) {
    const stored = await store.read(runKey, `group-${index}`);
    const document = stored === undefined ? undefined : parseRunDocument(stored.body);
    const isOurs = document?.invocation === runId && document.summary !== undefined;
    const outputs: Outputs = [];
    sum.outputs.push(outputs);
    if (!isOurs) continue;
    const summary = document.summary as unknown as RunSummary;
    for (const { step, counters } of summary.counters.steps) {
      const total = sum.counters[step] ?? noCounters();
      addCounters(total, counters);
      sum.counters[step] = total;
    }
    outputs.push(...summary.outputs);
    sum.elapsedMs += summary.durations.total_ms;
  }
  return sum;
}

export interface CrewEnd extends Pick<RunSummary, 'status' | 'exit_code' | 'checkpoint' | 'outputs'> {
  error: RunSummary['error'] | undefined;
  plan: Plan;
  total: GroupsSum;
  figures: CrewFigures;
  attemptMs: number;
}

/** `counters.total` is that of all workers, `counters.attempt` that of this one. */
export function crewSummary(o: CrewEnd): RunSummary {
  const sum = makeFigures(o.plan, o.total.counters, undefined);
  const own = new Map(o.figures.steps.map((step) => [step.id, step]));
  const steps = sum.steps.map((step) => {
    const mine = own.get(step.id);
    const did = mine === undefined ? noCounters() : differenceOf(mine.counters, mine.before);
    return { ...step, before: differenceOf(step.counters, did), busyMs: mine?.busyMs ?? 0 };
  });
  const idle = { elapsedMs: 0, main: 0, mainCpuMicros: 0, cpuMicros: 0, nodes: [] };
  return {
    status: o.status,
    exit_code: o.exit_code,
    ...(o.error === undefined ? {} : { error: o.error }),
    checkpoint: o.checkpoint,
    counters: countersReport({ ...sum, steps }, idle),
    durations: { attempt_ms: Math.round(o.attemptMs), total_ms: Math.round(Math.max(o.attemptMs, o.total.elapsedMs)) },
    outputs: o.outputs,
  };
}
