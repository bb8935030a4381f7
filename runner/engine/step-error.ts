/** Errors of a step's configuration, with the place in the pipeline's file. */
import { OxiError } from './errors.ts';
import type { StepInput } from './plan.ts';

type PlanCode = 'CONFIG_INVALID' | 'UNSUPPORTED' | 'DELIVERY_IMPOSSIBLE';

export function stepError(input: StepInput, text: string, code: PlanCode = 'CONFIG_INVALID'): OxiError {
  const { file, line, column } = input.where;
  return new OxiError(code, `${file}:${line}:${column}: step "${input.id}": ${text}`, {
    place: { step: input.id, file, line, column },
  });
}

/** Gives an error of a step's configuration the place in the file. */
export function locating<T>(input: StepInput, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw located(input, error);
  }
}

/** The same for what takes its time. */
export async function locatingLater(input: StepInput, work: Promise<void> | undefined): Promise<void> {
  try {
    await work;
  } catch (error) {
    throw located(input, error);
  }
}

function located(input: StepInput, error: unknown): unknown {
  if (!(error instanceof OxiError) || error.place.file !== undefined) return error;
  const { file, line, column } = input.locate(error.place.field ?? '');
  // A field that `--set` gave stands on no line.
  const at = line === 0 ? `--set ${input.id}.${error.place.field ?? ''}` : `${file}:${line}:${column}`;
  return new OxiError(error.code, `${at}: ${error.message}`, {
    place: { ...error.place, file, line, column },
    cause: error,
  });
}
