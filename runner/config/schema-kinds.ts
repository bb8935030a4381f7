/** What a zod schema (classic or mini) says about itself: its parts, its marks, and how to call what it takes. */
import { type $ZodType, type $ZodTypes, globalRegistry } from 'zod/v4/core';

/** Marks that our schemas carry in their meta, besides `description`, `unit`, `examples`. */
export interface Marks {
  /** The value becomes a Secret and is never quoted. */
  readonly secret: boolean;
  /** The value is an expression. */
  readonly expression: boolean;
}

/** The schema that decides on the type: without optional, default, nullable, pipe and the like around it. */
export function core(schema: $ZodType): $ZodTypes {
  let current = schema as $ZodTypes;
  for (let depth = 0; depth < 32; depth += 1) {
    const { def } = current._zod;
    switch (def.type) {
      case 'optional':
      case 'nullable':
      case 'default':
      case 'prefault':
      case 'nonoptional':
      case 'readonly':
      case 'catch':
      case 'success':
        current = def.innerType as $ZodTypes;
        break;
      case 'lazy':
        current = def.getter() as $ZodTypes;
        break;
      case 'pipe':
        current = ((def.in as $ZodTypes)._zod.def.type === 'transform' ? def.out : def.in) as $ZodTypes;
        break;
      default:
        return current;
    }
  }
  return current;
}

export const UNMARKED: Marks = { secret: false, expression: false };

/** The marks of a schema, wherever between its outermost layer and its core they were put, and those of what is around it. */
export function marks(schema: $ZodType | undefined, around: Marks = UNMARKED): Marks {
  let { secret, expression } = around;
  let current: $ZodType | undefined = schema;
  for (let depth = 0; current !== undefined && depth < 32; depth += 1) {
    const meta = globalRegistry.get(current);
    secret ||= meta?.secret === true;
    expression ||= meta?.expression === true;
    const def: { innerType?: $ZodType; in?: $ZodType } = current._zod.def as object;
    current = def.innerType ?? def.in;
  }
  return { secret, expression };
}

/** "a number", `one of a, b, c`, ...: what a schema takes, for messages. */
export function describeSchema(schema: $ZodType): string {
  const { def } = core(schema)._zod;
  switch (def.type) {
    case 'string':
    case 'template_literal':
      return 'text';
    case 'number':
      return 'check' in def && def.check === 'number_format' ? 'a whole number' : 'a number';
    case 'boolean':
      return 'true or false';
    case 'array':
    case 'tuple':
      return 'a list';
    case 'object':
    case 'record':
    case 'map':
      return 'a map of fields';
    case 'null':
      return 'null';
    case 'enum':
      return oneOf(Object.values(def.entries));
    case 'literal':
      return oneOf(def.values);
    case 'union':
      return [...new Set(def.options.map(describeSchema))].join(', or ');
    default:
      return 'another type';
  }
}

export function oneOf(values: readonly unknown[]): string {
  return values.length === 1 ? String(values[0]) : `one of ${values.map(String).join(', ')}`;
}
