/** All that is wrong with the steps of a pipeline at once; planning one stops at the first. */
import type { MakeContext, Oxi } from '../engine/contracts.ts';
import { ConfigErrors, OxiError } from '../engine/errors.ts';
import type { StepInput } from '../engine/plan.ts';
import { locating, locatingLater } from '../engine/step-error.ts';
import { flatSteps } from './cut.ts';

/** `first`: what planning has found. Every other step is looked at by itself. */
export async function allMistakes(
  first: OxiError,
  steps: readonly StepInput[],
  oxis: ReadonlyMap<string, Oxi>,
  projectRoot: string,
): Promise<OxiError[]> {
  const found = [...errorsIn(first)];
  for (const step of flatSteps(steps)) {
    // What it refers to is known when the steps before it have run.
    if (step.references.length > 0) continue;
    const oxi = oxis.get(step.oxi);
    if (oxi === undefined) continue;
    try {
      await make(step, oxi, { projectRoot, stepId: step.id });
    } catch (error) {
      if (!(error instanceof OxiError)) throw error;
      found.push(...errorsIn(error));
    }
  }
  const messages = new Set<string>();
  const once = found.filter(({ message }) => !messages.has(message) && messages.add(message));
  return once.sort((a, b) => (a.place.line ?? 0) - (b.place.line ?? 0));
}

export function errorsIn(error: OxiError): readonly OxiError[] {
  return error instanceof ConfigErrors ? error.errors : [error];
}

async function make(step: StepInput, oxi: Oxi, context: MakeContext): Promise<void> {
  const config = step.resolve(new Map()) as never;
  // What is wrong with its fields has been said.
  if (config === undefined) return;
  locating(step, () => {
    if (oxi.kind === 'batch') oxi.batch(config, step.threads ?? 1);
    else if (oxi.kind !== 'tee') oxi.make(config, context);
  });
  if (oxi.kind === 'step') await locatingLater(step, oxi.check?.(config, context));
}
