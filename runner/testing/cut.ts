/** Parts of a pipeline that are worth running by themselves: the chain up to a step, or one step alone. */
import { didYouMean, listNames } from '../config/nearest.ts';
import type { Oxi } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';
import type { StepInput } from '../engine/plan.ts';
import { conditionsOn, segmentsOf } from '../engine/planner.ts';

type Oxis = ReadonlyMap<string, Oxi>;

export interface Cut {
  /** The steps that run, without a sink at their end. */
  steps: StepInput[];
  /** Earlier parts of the pipeline that have to run before it, whole: something refers to them. */
  before: StepInput[];
  /** The step whose records they are. */
  target: StepInput;
}

export function flatSteps(steps: readonly StepInput[]): StepInput[] {
  return steps.flatMap((step) => [step, ...flatSteps(step.steps ?? [])]);
}

/** Throws OxiError COMMAND_INVALID where there is no such step. */
export function findStep(steps: readonly StepInput[], id: string, who: string): StepInput {
  const all = flatSteps(steps);
  const found = all.find((step) => step.id === id);
  if (found !== undefined) return found;
  const ids = all.map((step) => step.id);
  const near = didYouMean(id, ids);
  throw new OxiError(
    'COMMAND_INVALID',
    `${who}: no step "${id}"${near === '' ? `; there are: ${listNames(ids)}` : near}`,
  );
}

/** The last step that works on records: behind it they are laid out and written. */
export function lastStep(steps: readonly StepInput[], oxis: Oxis): StepInput | undefined {
  return steps.findLast(({ oxi }) => oxis.get(oxi)?.kind !== 'sink' && oxis.get(oxi)?.kind !== 'formatter');
}

/** What has to run for the records that leave `target`. */
export function cutTo(steps: readonly StepInput[], target: StepInput, oxis: Oxis): Cut {
  const segments = segmentsOf(steps, oxis);
  const at = segments.findIndex((segment) => flatSteps(segment).includes(target));
  const kept = chainTo(segments[at] ?? [], target, oxis);
  const refers = kept.some((step) => step.references.length > 0 || conditionsOn(step).length > 0);
  const own = new Set(flatSteps(segments[at] ?? []).map(({ id }) => id));
  const others = kept.flatMap((step) => [
    ...step.references.map(({ reference }) => reference.step),
    ...conditionsOn(step).map(({ id }) => id),
  ]);
  const needed = refers && others.some((id) => !own.has(id));
  return { steps: kept, before: needed ? segments.slice(0, at).flat() : [], target };
}

/** Without what only writes, and without second chains that the step does not stand in. */
function chainTo(chain: readonly StepInput[], target: StepInput, oxis: Oxis): StepInput[] {
  const kept: StepInput[] = [];
  for (const step of chain) {
    const inner = step.steps ?? [];
    if (flatSteps(inner).includes(target)) return [...kept, ...chainTo(inner, target, oxis)];
    const kind = oxis.get(step.oxi)?.kind;
    if (kind !== 'sink' && kind !== 'formatter' && kind !== 'tee') kept.push(step);
    if (step === target) break;
  }
  return kept;
}

/** A step that no pipeline file has; `like`: the one whose place in the file it has. */
export function madeStep(oxi: string, config: unknown, like: StepInput): StepInput {
  return {
    oxi,
    id: oxi,
    onError: 'stop',
    ordered: true,
    threads: undefined,
    retryAttempts: 0,
    retryDelaySeconds: 1,
    timeoutSeconds: undefined,
    maxMemoryMb: undefined,
    continueOnError: false,
    condition: undefined,
    limits: undefined,
    where: like.where,
    references: [],
    raw: {},
    resolve: () => config,
    locate: () => like.where,
  };
}
