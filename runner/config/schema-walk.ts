/** Walks a schema along a node, a path or a value: which alternative is meant, which field that is, what has to be sealed. */
import type { $ZodType } from 'zod/v4/core';
import { Secret } from '../engine/secret.ts';
import type { SecretRegistry } from './redact.ts';
import { core, marks, UNMARKED } from './schema-kinds.ts';
import type { MapNode, Node } from './tree.ts';

/** Of a union the alternative that has the shape of the node; scalars keep the union, coercion decides. */
export function alternative(schema: $ZodType, node: Node): $ZodType {
  const { def } = core(schema)._zod;
  if (def.type !== 'union' || node.kind === 'scalar') return schema;
  const wanted = node.kind === 'list' ? ['array', 'tuple'] : ['object', 'record', 'map'];
  const fitting = def.options.filter((option) => wanted.includes(core(option)._zod.def.type));
  if (fitting.length === 1 || node.kind === 'list') return fitting[0] ?? schema;
  const knows = (option: $ZodType) => {
    const inner = core(option)._zod.def;
    return inner.type === 'object'
      ? [...(node as MapNode).entries.keys()].filter((key) => Object.hasOwn(inner.shape, key)).length
      : 0;
  };
  return fitting.toSorted((a, b) => knows(b) - knows(a))[0] ?? schema;
}

/** The schema of the field at `path`, as far as objects, records and lists lead. */
export function fieldSchema(schema: $ZodType, path: readonly string[]): $ZodType | undefined {
  let current: $ZodType | undefined = schema;
  for (const name of path) {
    const def: ReturnType<typeof core>['_zod']['def'] | undefined =
      current === undefined ? undefined : core(current)._zod.def;
    if (def?.type === 'object') current = Object.hasOwn(def.shape, name) ? def.shape[name] : undefined;
    else if (def?.type === 'record' || def?.type === 'map') current = def.valueType;
    else if (def?.type === 'union') current = insideUnion(def.options, name);
    else current = def?.type === 'array' ? def.element : undefined;
  }
  return current;
}

/** The field `name` of the first alternative that has one. */
function insideUnion(options: readonly $ZodType[], name: string): $ZodType | undefined {
  for (const option of options) {
    const found = fieldSchema(option, [name]);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Secret fields whose schema leaves them as text become Secret. */
export function sealed(schema: $ZodType, value: unknown, secrets: SecretRegistry, around = UNMARKED): unknown {
  const own = marks(schema, around);
  if (value instanceof Secret) {
    secrets.add(value);
    return value;
  }
  if (typeof value === 'string') return own.secret ? new Secret(value) : value;
  const { def } = core(schema)._zod;
  if (def.type === 'object' && isPlain(value)) {
    for (const [name, field] of Object.entries(def.shape))
      if (Object.hasOwn(value, name)) value[name] = sealed(field, value[name], secrets, own);
  } else if (def.type === 'record' && isPlain(value)) {
    for (const name of Object.keys(value)) value[name] = sealed(def.valueType, value[name], secrets, own);
  } else if (def.type === 'map' && value instanceof Map) {
    for (const [name, one] of value) value.set(name, sealed(def.valueType, one, secrets, own));
  } else if (def.type === 'array' && Array.isArray(value)) {
    return value.map((item) => sealed(def.element, item, secrets, own));
  }
  return value;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
