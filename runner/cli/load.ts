/** The plan of a loaded pipeline, as every verb that needs one makes it. */
import type { Pipeline } from '../config/pipeline.ts';
import type { Project } from '../config/project.ts';
import { ConfigErrors, OxiError } from '../engine/errors.ts';
import { makePlan, type Plan } from '../engine/plan.ts';
import { evaluateCondition } from '../oxis/expression.ts';
import { registry } from '../oxis/registry.ts';

/** Throws ConfigErrors and OxiError as `makePlan` does, and compiles every expression so that a bad one is found here. */
export async function planOf(
  project: Project,
  pipeline: Pipeline,
  threads: number,
  world: { now: number },
): Promise<Plan> {
  for (const field of ['dead_letter', 'tests']) {
    const where = pipeline.places.get(field);
    if (where === undefined) continue;
    const { file, line, column } = where;
    throw new OxiError(
      'UNSUPPORTED',
      `${file}:${line}:${column}: "${field}" belongs to the format and this version can't honour it: leave it out`,
      { place: { pipeline: pipeline.name, field, file, line, column } },
    );
  }
  return makePlan({
    steps: pipeline.steps,
    oxis: registry,
    projectRoot: project.root,
    threads,
    delivery: pipeline.delivery,
    condition: (step, text) =>
      evaluateCondition(text, step.id, { env: pipeline.environment, params: pipeline.params, now: world.now }),
  });
}

/** The same error without secrets in its sentences. */
export function clean(error: unknown, redact: (text: string) => string): unknown {
  if (!(error instanceof OxiError)) return error;
  error.message = redact(error.message);
  if (error instanceof ConfigErrors) for (const one of error.errors) one.message = redact(one.message);
  return error;
}
