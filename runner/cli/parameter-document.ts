/** Parameters as documents tell of them: a whole number of any size, and never a secret. */
import type { ParameterSpec, ParameterValue } from '../config/parameters.ts';
import type { PipelineEntry } from './manifest-schema.ts';

export function parameterOf(spec: ParameterSpec): PipelineEntry['parameters'][number] {
  const { name, type, description, choices, secret } = spec;
  return {
    name,
    type,
    description: description ?? null,
    required: spec.default === undefined,
    default: secret || spec.default === undefined ? null : plain(spec.default),
    choices: secret || choices === undefined ? null : choices.map(plain),
    secret,
  };
}

/** JSON has no whole numbers beyond 2^53 that every reader keeps: they are text. */
export function plain(value: ParameterValue): string | number | boolean {
  return typeof value === 'bigint' ? String(value) : value;
}
