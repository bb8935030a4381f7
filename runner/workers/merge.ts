/**
 * The outputs of a shared run, once every split group is done: those with `merge` are put together from their parts, in order.
 * Whoever commits the last group does it, under a lease; whoever does it again finds it done.
 */
import type { MergeOptions, Output, SinkRun, StreamInfo } from '../engine/contracts.ts';
import type { RunDocument } from '../engine/documents.ts';
import { clearEarlier } from '../engine/earlier.ts';
import { joinOf } from '../engine/make-sink.ts';
import { type Plan, sinksOf } from '../engine/plan.ts';

export interface Merge {
  /** Of the whole run: made without a share. */
  plan: Plan;
  stream: StreamInfo;
  projectRoot: string;
  /** `token`: of the lease; those who held it before have lower ones. `runId`: of the shared run. */
  run: Omit<SinkRun, 'step' | 'finishing'>;
  /** What each split group has made, in order. */
  groups: readonly (readonly ({ step: string } & Output)[])[];
  /** What earlier runs have left beside them, and is to go. */
  replaces?: RunDocument['replaces'] | undefined;
  mustHold: MergeOptions['mustHold'];
}

/** Returns the outputs of the whole run: parts that stay are one each. Throws what the sinks throw. */
export async function mergeParts({
  plan,
  stream,
  projectRoot,
  run,
  groups,
  replaces = [],
  mustHold,
}: Merge): Promise<({ step: string } & Output)[]> {
  const segment = await plan.segments[0]?.plan(new Map());
  if (segment === undefined) throw new Error('the plan has no segment');
  const outputs: ({ step: string } & Output)[] = [];
  for (const planned of sinksOf(segment.nodes)) {
    const { step, sink } = planned;
    const parts = groups.map((group, index) => {
      const part = group.find((output) => output.step === step.id);
      if (part === undefined) throw new Error(`split group ${index} has no output of "${step.id}"`);
      return part;
    });
    if (sink.merge === undefined) {
      outputs.push(...parts);
      continue;
    }
    const join = joinOf(planned, stream, projectRoot);
    const merged = await sink.merge({ ...run, step: step.id, finishing: false }, parts, { join, mustHold });
    const columns = [...new Set(parts.flatMap((part) => part.columns ?? []))];
    outputs.push({
      step: step.id,
      ...merged,
      ...(parts.some((part) => part.columns !== undefined) ? { columns } : {}),
    });
  }
  if (replaces.length > 0) {
    await mustHold();
    await clearEarlier(segment, replaces, { of: groups.length });
  }
  return outputs;
}

/** The sinks of the whole run whose parts become one. */
export async function mergingSteps(plan: Plan): Promise<ReadonlySet<string>> {
  const segment = await plan.segments[0]?.plan(new Map());
  const merging = sinksOf(segment?.nodes ?? []).filter(({ sink }) => sink.merge !== undefined);
  return new Set(merging.map(({ step }) => step.id));
}
