/** A pipeline and its plan, as every verb that needs one loads and makes it. */
import { basename } from 'node:path';
import { type LoadPipelineOptions, loadPipeline, type Pipeline } from '../config/pipeline.ts';
import type { Project } from '../config/project.ts';
import type { Oxi, Share, Split, StreamInfo } from '../engine/contracts.ts';
import { ConfigErrors, OxiError } from '../engine/errors.ts';
import { detectStream } from '../engine/first-look.ts';
import type { Plan, PlannedSource, Segment, StepInput } from '../engine/plan.ts';
import { makePlan } from '../engine/planner.ts';
import { mayFail } from '../engine/segment-run.ts';
import { tierAsked } from '../engine/tiers.ts';
import { evaluateCondition } from '../oxis/expression.ts';
import { registry } from '../oxis/registry.ts';
import { keptPlaces } from './kept-places.ts';
import type { ProjectOptions } from './open-project.ts';

export interface PipelineOptions extends ProjectOptions {
  set?: string[];
  param?: string[];
}

/** Throws as `loadPipeline` does; nothing is taken out of its sentences. */
export function openPipeline(
  project: Project,
  name: string,
  { set, param }: PipelineOptions,
  more: Pick<LoadPipelineOptions, 'onSteps'> = {},
): Promise<Pipeline> {
  return loadPipeline(project, name, { oxis: registry, sets: set, params: param, env: process.env, ...more });
}

/** Throws ConfigErrors and OxiError as `makePlan` does, and compiles every expression so that a bad one is found here. */
export async function planOf(
  project: Project,
  pipeline: Omit<Pipeline, 'steps'> & { steps: readonly StepInput[] },
  threads: number,
  world: { now: number; oxis?: ReadonlyMap<string, Oxi>; share?: Share },
): Promise<Plan> {
  return makePlan({
    steps: pipeline.steps,
    oxis: world.oxis ?? registry,
    projectRoot: project.root,
    share: world.share,
    threads,
    tier: tierAsked(process.env),
    world: { params: pipeline.params, env: pipeline.environment },
    delivery: pipeline.delivery,
    deadLetter: pipeline.deadLetter,
    deadLetterPath: `${project.settings.outputDir}/dead_letters/${basename(pipeline.name)}.ndjson`,
    kept: keptPlaces(project, pipeline.file),
    condition: (step, text, steps) =>
      evaluateCondition(text, step.id, { env: pipeline.environment, params: pipeline.params, steps, now: world.now }),
  });
}

export interface FirstInput {
  /** Id of the source that reads it; undefined where none can, and none has to. */
  source: string | undefined;
  splits: readonly Split[];
  /** How its records stand, where somebody wants to know and a look at it takes nothing from a run. */
  stream?: StreamInfo;
}

/** The input that the first segment would read; none where every source may fail and does. Throws what one throws that may not. */
export async function firstInput({ segments }: Plan, isLookedAt = false): Promise<FirstInput> {
  const segment = segments[0]?.planned;
  for (const planned of segment?.sources ?? []) {
    const { source, step } = planned;
    try {
      const splits = await source.splits();
      const stream = isLookedAt ? await streamOf(planned, segment, splits) : undefined;
      return { source: step.id, splits, ...(stream === undefined ? {} : { stream }) };
    } catch (error) {
      if (!step.continues || !mayFail(error)) throw error;
    } finally {
      await source.close();
    }
  }
  return { source: undefined, splits: [] };
}

async function streamOf(
  { source }: PlannedSource,
  segment: Segment | undefined,
  splits: readonly Split[],
): Promise<StreamInfo | undefined> {
  const { parser, select } = segment ?? {};
  if (parser === undefined || source.kind !== 'offset' || splits.length === 0) return undefined;
  return detectStream(source, splits, { oxi: parser.oxi, config: parser.step.config, select }).catch((error) => {
    // What can't be read now is the business of the run.
    if (error instanceof OxiError) return undefined;
    throw error;
  });
}

/** The same error without secrets in its sentences. */
export function clean(error: unknown, redact: (text: string) => string): unknown {
  if (!(error instanceof OxiError)) return error;
  error.message = redact(error.message);
  if (error instanceof ConfigErrors) for (const one of error.errors) one.message = redact(one.message);
  return error;
}
