/** Turns the text of a scalar into the type that its field has: "4" for a number, "true" for a switch, 007 for a text. */
import { type $ZodType, safeParse } from 'zod/v4/core';
import { core } from './schema-kinds.ts';

const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;

export interface ScalarText {
  readonly value: null | boolean | number | string;
  readonly text: string;
}

/** The value for `schema`; where none fits, the scalar's own value, for zod to refuse. */
export function coerceScalar(schema: $ZodType, { value, text }: ScalarText): unknown {
  const { def } = core(schema)._zod;
  switch (def.type) {
    case 'string':
    case 'template_literal':
      return value === null ? value : text;
    case 'enum':
      return pick(Object.values(def.entries), value, text);
    case 'literal':
      return pick(def.values, value, text);
    case 'number':
      return typeof value === 'string' && NUMBER.test(value) ? Number(value) : value;
    case 'boolean':
      return typeof value === 'string' && /^(true|false)$/i.test(value) ? value.toLowerCase() === 'true' : value;
    case 'union':
      return coerceUnion(def.options, { value, text });
    default:
      return value;
  }
}

/** As it is where an alternative takes it, else the first alternative that takes it coerced. */
function coerceUnion(options: readonly $ZodType[], scalar: ScalarText): unknown {
  if (options.some((option) => safeParse(option, scalar.value).success)) return scalar.value;
  for (const option of options) {
    const coerced = coerceScalar(option, scalar);
    if (safeParse(option, coerced).success) return coerced;
  }
  return scalar.value;
}

function pick(allowed: readonly unknown[], value: unknown, text: string): unknown {
  return allowed.includes(value) ? value : (allowed.find((one) => String(one) === text) ?? value);
}
