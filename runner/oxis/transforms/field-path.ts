/** Fields as a configuration names them. */
import type { FieldPath } from '../../engine/contracts.ts';
import { OxiError } from '../../engine/errors.ts';

/** A field as it is written in the configuration: dots nest, `\.` is a dot in a name. */
export function fieldPath(text: string): FieldPath {
  return text.split(/(?<!\\)\./).map((part) => part.replaceAll('\\.', '.'));
}

/** The path of `text`, which stands in `field` of the step. Throws OxiError CONFIG_INVALID where it names nothing. */
export function checkedFieldPath(text: string, step: string, field: string): FieldPath {
  const path = fieldPath(text);
  if (path.includes(''))
    refuseField(
      step,
      field,
      `"${text}" has an empty part: a dot stands between two names (write \\. for a dot in a name)`,
    );
  return path;
}

export function refuseField(step: string, field: string, message: string, cause?: unknown): never {
  throw new OxiError('CONFIG_INVALID', `step "${step}", field "${field}": ${message}`, {
    place: { step, field },
    ...(cause === undefined ? {} : { cause }),
  });
}
