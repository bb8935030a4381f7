/** What zod finds wrong, as a sentence of ours: what is allowed, never the value (the caller knows whether to show it). */
import type { $ZodIssue, $ZodType } from 'zod/v4/core';
import { didYouMean } from './nearest.ts';
import { core, describeSchema, oneOf } from './schema-kinds.ts';

/** Given to zod as its error map: a message that differs from it was written by the author of the schema. */
export const NO_MESSAGE = '\u0000';

/** A sentence for `issue`; `schema` is that of the field, `value` what stands there (for "did you mean"). */
export function issueSentence(issue: $ZodIssue, schema: $ZodType | undefined, value: unknown): string {
  if (issue.message !== NO_MESSAGE && issue.message !== '') return issue.message;
  if (value === undefined && issue.code !== 'unrecognized_keys' && issue.code !== 'custom') return 'is required';
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${schema === undefined ? `a ${issue.expected}` : describeSchema(schema)}`;
    case 'invalid_value': {
      const near = typeof value === 'string' ? didYouMean(value, issue.values.map(String)) : '';
      return `must be ${oneOf(issue.values)}${near}`;
    }
    case 'too_small':
      return limit(
        issue.origin,
        issue.exact === true ? 'exactly' : issue.inclusive === false ? 'more than' : 'at least',
        issue.minimum,
      );
    case 'too_big':
      return limit(
        issue.origin,
        issue.exact === true ? 'exactly' : issue.inclusive === false ? 'less than' : 'at most',
        issue.maximum,
      );
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_format':
      return issue.format === 'regex' ? 'has signs or a form that are not allowed' : `must be a valid ${issue.format}`;
    case 'invalid_union':
      return union(issue.errors, schema, value);
    case 'invalid_key':
      return issue.issues[0] === undefined || issue.issues[0].message === NO_MESSAGE
        ? 'has a name that is not allowed'
        : `the name ${issue.issues[0].message}`;
    default:
      return schema === undefined ? 'is not allowed' : `must be ${describeSchema(schema)}`;
  }
}

/** Of a union the alternative that came furthest speaks: it took the type and refused the value. */
function union(errors: readonly (readonly $ZodIssue[])[], schema: $ZodType | undefined, value: unknown): string {
  const close = errors.filter((issues) =>
    issues.every((issue) => issue.code !== 'invalid_type' || issue.path.length > 0),
  );
  const [issue] = close[0] ?? [];
  if (close.length !== 1 || issue === undefined || (issue.code === 'invalid_value' && issue.path.length === 0)) {
    if (schema === undefined || core(schema)._zod.def.type !== 'union') return 'is not allowed';
    return `must be ${describeSchema(schema)}`;
  }
  const inside = issue.path.length === 0 ? '' : `in "${issue.path.join('.')}": `;
  return inside + issueSentence(issue, undefined, issue.path.length === 0 ? value : undefined);
}

function limit(origin: string, how: string, bound: number | bigint): string {
  const unit = (one: string, many: string) => `must have ${how} ${bound} ${Number(bound) === 1 ? one : many}`;
  switch (origin) {
    case 'string':
      if (how === 'at least' && Number(bound) === 1) return 'must not be empty';
      return unit('character', 'characters');
    case 'array':
    case 'set':
      if (how === 'at least' && Number(bound) === 1) return 'must not be empty';
      return unit('entry', 'entries');
    default:
      return `must be ${how} ${bound}`;
  }
}
