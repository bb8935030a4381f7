/** What is said of a record that a step can't work on, and what is kept of it. */
import type { RecordError } from './contracts.ts';
import { OxiError } from './errors.ts';
import type { Letter } from './letters.ts';
import type { StageStepSpec } from './stage-spec.ts';

type Erring = Pick<StageStepSpec, 'id' | 'onError'>;

/** What is said of a bad record. */
export function recordMessage(step: Erring, file: string, offset: number, error: RecordError): string {
  const at = error.at === undefined ? '' : ` (byte ${offset + error.at})`;
  return `${file}: record at byte ${offset}: step "${step.id}": ${error.message}${at}`;
}

export function stopError(step: Erring, file: string, offset: number, error: RecordError): OxiError {
  return new OxiError(
    'RECORD_INVALID',
    `${recordMessage(step, file, offset, error)}. Set "on_error: drop" on the step to leave such records out, or "on_error: dead_letter" to keep them in a file`,
    { place: { step: step.id, file, offset: offset + (error.at ?? 0) }, cause: error },
  );
}

export function letterOf(
  step: Erring,
  file: string,
  split: number,
  offset: number,
  error: RecordError,
  record: Uint8Array,
): Letter {
  const { code, message: reason } = error;
  return { step: step.id, code, reason, file, split, offset, record };
}
