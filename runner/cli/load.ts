/** The plan of a loaded pipeline, as every verb that needs one makes it. */
import { basename, join, resolve } from 'node:path';
import type { Pipeline } from '../config/pipeline.ts';
import type { Project } from '../config/project.ts';
import type { Oxi, Split } from '../engine/contracts.ts';
import { ConfigErrors, OxiError } from '../engine/errors.ts';
import type { Plan, StepInput } from '../engine/plan.ts';
import { makePlan } from '../engine/planner.ts';
import type { KeptPlace } from '../engine/same-place.ts';
import { mayFail } from '../engine/segment-run.ts';
import { evaluateCondition } from '../oxis/expression.ts';
import { behindLinks, keysOf } from '../oxis/files/place.ts';
import { registry } from '../oxis/registry.ts';

/** Throws ConfigErrors and OxiError as `makePlan` does, and compiles every expression so that a bad one is found here. */
export async function planOf(
  project: Project,
  pipeline: Omit<Pipeline, 'steps'> & { steps: readonly StepInput[] },
  threads: number,
  world: { now: number; oxis?: ReadonlyMap<string, Oxi> },
): Promise<Plan> {
  return makePlan({
    steps: pipeline.steps,
    oxis: world.oxis ?? registry,
    projectRoot: project.root,
    threads,
    delivery: pipeline.delivery,
    deadLetter: pipeline.deadLetter,
    deadLetterPath: `${project.settings.outputDir}/dead_letters/${basename(pipeline.name)}.ndjson`,
    kept: keptPlaces(project, pipeline.file),
    condition: (step, text, steps) =>
      evaluateCondition(text, step.id, { env: pipeline.environment, params: pipeline.params, steps, now: world.now }),
  });
}

/** What the project itself lives on: its files, those of its pipelines, and where its state is. */
function keptPlaces({ root, file, settings, state }: Project, pipeline: string): KeptPlace[] {
  const kept: KeptPlace[] = [{ what: "the pipeline's own file", keys: keysIfSeen(pipeline) }];
  kept.push({ what: "the project's own file", keys: keysIfSeen(file ?? join(root, 'oxiflow.yaml')) });
  const output = behindLinks(resolve(root, settings.outputDir));
  const folder = (path: string, what: string): void => {
    const real = behindLinks(resolve(root, path));
    // One that holds the project, or its output, is not the state's or the pipelines' alone.
    if ([behindLinks(root), output].some((other) => `${other}/`.startsWith(real === '/' ? real : `${real}/`))) return;
    kept.push({ what, keys: [`path ${real}`], inside: `path ${real}/` });
  };
  folder(settings.pipelineDir, 'a file of the pipelines');
  folder('.oxiflow', 'the state of the runs');
  const bases = [state.file.basePath, state.nfs.mountPath].filter((path) => path !== undefined);
  for (const base of bases) for (const part of ['runs', 'history']) folder(join(base, part), 'the state of the runs');
  const database = resolve(root, state.sqlite.path ?? '.oxiflow/state.db');
  for (const ending of ['', '-wal', '-shm', '-journal'])
    kept.push({ what: 'the state of the runs', keys: keysIfSeen(`${database}${ending}`) });
  return kept;
}

/** What can't be looked at is told by who needs it. */
function keysIfSeen(path: string): string[] {
  try {
    return keysOf(path);
  } catch {
    return [`path ${behindLinks(path)}`];
  }
}

export interface FirstInput {
  /** Id of the source that reads it; undefined where none can, and none has to. */
  source: string | undefined;
  splits: readonly Split[];
}

/** The input that the first segment would read; none where every source may fail and does. Throws what one throws that may not. */
export async function firstInput({ segments }: Plan): Promise<FirstInput> {
  const sources = segments[0]?.planned?.sources ?? [];
  for (const { source, step } of sources) {
    try {
      return { source: step.id, splits: await source.splits() };
    } catch (error) {
      if (!step.continues || !mayFail(error)) throw error;
    } finally {
      await source.close();
    }
  }
  return { source: undefined, splits: [] };
}

/** The same error without secrets in its sentences. */
export function clean(error: unknown, redact: (text: string) => string): unknown {
  if (!(error instanceof OxiError)) return error;
  error.message = redact(error.message);
  if (error instanceof ConfigErrors) for (const one of error.errors) one.message = redact(one.message);
  return error;
}
