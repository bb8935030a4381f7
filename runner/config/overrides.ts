/** `--set step.field=value`: a value from the command line put into the tree of a step, never more than the field's value. */
import type { $ZodType } from 'zod/v4/core';
import { type Problems, problem, type Where } from './problems.ts';
import { core } from './schema-kinds.ts';
import { FORBIDDEN_KEYS, type MapNode, type Node } from './tree.ts';

export interface Override {
  readonly step: string;
  readonly path: readonly string[];
  readonly text: string;
  readonly where: Where;
}

const DEEPEST = 64;

/** Reads the options; malformed ones become problems. The value is never quoted. */
export function parseOverrides(options: readonly string[], problems: Problems): Override[] {
  const overrides: Override[] = [];
  for (const option of options) {
    const equals = option.indexOf('=');
    const [step, ...path] = option.slice(0, Math.max(equals, 0)).split('.');
    const where = { file: '', line: 0, column: 0, option: equals > 0 ? `--set ${option.slice(0, equals)}` : '--set' };
    if (step === undefined || step === '' || path.length === 0 || path.includes('')) {
      problems.add(where, 'must be step.field=value');
    } else if ([step, ...path].some((name) => FORBIDDEN_KEYS.has(name))) {
      problems.add(where, 'the name is not allowed');
    } else {
      overrides.push({ step, path, text: option.slice(equals + 1), where });
    }
  }
  return overrides;
}

/** `node` with the value at `path`; `schema` tells whether its text is a scalar or JSON. Problems where it does not fit. */
export function applyOverride(
  node: MapNode,
  schema: $ZodType,
  path: readonly string[],
  override: Override,
  problems: Problems,
): MapNode {
  const [name = '', ...rest] = path;
  const field = member(schema, name);
  const old = node.entries.get(name)?.value;
  let value: Node;
  if (rest.length === 0) {
    value = valueNode(field, override, problems);
  } else if (field !== undefined && !takesFields(field)) {
    problems.add(override.where, `the field "${name}" has no fields of its own`);
    return node;
  } else {
    const inner: MapNode = old?.kind === 'map' ? old : { kind: 'map', entries: new Map(), where: override.where };
    value = applyOverride(inner, field ?? schema, rest, override, problems);
  }
  return { ...node, entries: new Map([...node.entries, [name, { key: override.where, value }]]) };
}

function member(schema: $ZodType, name: string): $ZodType | undefined {
  const { def } = core(schema)._zod;
  if (def.type === 'object') return Object.hasOwn(def.shape, name) ? def.shape[name] : undefined;
  return def.type === 'record' || def.type === 'map' ? def.valueType : undefined;
}

function kinds(schema: $ZodType): string[] {
  const { def } = core(schema)._zod;
  return def.type === 'union' ? def.options.flatMap(kinds) : [def.type];
}

function takesFields(schema: $ZodType): boolean {
  return kinds(schema).some((kind) => ['object', 'record', 'map', 'unknown', 'any'].includes(kind));
}

function valueNode(schema: $ZodType | undefined, { text, where }: Override, problems: Problems): Node {
  const scalar: Node = { kind: 'scalar', value: text, text, references: false, where };
  const found = schema === undefined ? [] : kinds(schema);
  const composite = found.filter((kind) => ['array', 'tuple', 'object', 'record', 'map'].includes(kind));
  const mixed = composite.length < found.length;
  if (composite.length === 0 || (mixed && !/^\s*[[{]/.test(text))) return scalar;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Not JSON: where the field takes plain text too, that is what it is.
    if (!mixed) problems.add(where, 'must be JSON, such as ["a", "b"] or {"a": 1}');
    return scalar;
  }
  return jsonNode(json, where, 0);
}

function jsonNode(json: unknown, where: Where, depth: number): Node {
  if (depth > DEEPEST) throw problem(where, `is nested deeper than ${DEEPEST} levels`);
  if (Array.isArray(json)) return { kind: 'list', items: json.map((item) => jsonNode(item, where, depth + 1)), where };
  if (typeof json === 'object' && json !== null) {
    const entries = Object.entries(json).map(([key, value]) => {
      if (FORBIDDEN_KEYS.has(key)) throw problem(where, `the key "${key}" is not allowed`);
      return [key, { key: where, value: jsonNode(value, where, depth + 1) }] as const;
    });
    return { kind: 'map', entries: new Map(entries), where };
  }
  const value = json === null || typeof json === 'number' || typeof json === 'boolean' ? json : String(json);
  return { kind: 'scalar', value, text: String(value), references: false, where };
}
