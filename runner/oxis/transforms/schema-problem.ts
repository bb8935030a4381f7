/** What is wrong with a JSON Schema: one sentence with its place in the schema, where ajv says several, or none. */
import type { ErrorObject } from 'ajv/dist/2020.js';
import { didYouMean } from '../../config/nearest.ts';
import { compileRegex } from '../../expressions/regex.ts';

export type JsonSchema = Record<string, unknown> | boolean;

/** The parts of ajv that are asked. */
interface Validator {
  validateSchema(schema: JsonSchema): unknown;
  errors?: null | ErrorObject[];
  RULES: { keywords: Readonly<Record<string, unknown>> };
}

const DRAFT =
  'its "$schema" must be that of draft 2020-12 (https://json-schema.org/draft/2020-12/schema), or be left out';

/** Words whose value is a schema, a list of schemas, or schemas by name. */
const ONE = [
  ...['not', 'if', 'then', 'else', 'items', 'contains', 'additionalProperties', 'propertyNames'],
  ...['unevaluatedProperties', 'unevaluatedItems', 'contentSchema'],
];
const LISTS = ['allOf', 'anyOf', 'oneOf', 'prefixItems'];
const NAMED = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas'];

/** What can be told without compiling it; undefined: nothing. */
export function schemaProblem(ajv: Validator, schema: JsonSchema): string | undefined {
  if (typeof schema === 'object' && typeof schema.$schema === 'string' && !isKnown(ajv, schema)) return DRAFT;
  if (ajv.validateSchema(schema) !== true) {
    const [first] = ajv.errors ?? [];
    return first === undefined ? 'it is no JSON Schema' : ruleBroken(first, schema);
  }
  for (const { path, part } of partsOf(schema)) {
    const unknown = Object.keys(part).find((word) => !Object.hasOwn(ajv.RULES.keywords, word));
    if (unknown !== undefined)
      return `${named([...path, unknown])} is no word of JSON Schema${didYouMean(unknown, Object.keys(ajv.RULES.keywords))}`;
    if (Array.isArray(part.enum) && part.enum.length === 0) return `${named([...path, 'enum'])} must not be empty`;
    const patterns = [...(typeof part.pattern === 'string' ? [part.pattern] : []), ...keysOf(part.patternProperties)];
    for (const pattern of patterns) {
      const wrong = patternProblem(pattern);
      if (wrong !== undefined)
        return `${named([...path, pattern === part.pattern ? 'pattern' : 'patternProperties'])}: ${wrong}`;
    }
  }
  return undefined;
}

/** What ajv says while it compiles, with the place of what it speaks of. */
export function compileProblem(error: Error, schema: JsonSchema): string {
  if ('missingRef' in error) return `${error.message}; a $ref may point into the schema itself only`;
  const format = /^unknown format "(.*)" ignored in schema at path "#\/?(.*)"$/s.exec(error.message);
  if (format !== null) return `${named([...pathOf(format[2] ?? ''), 'format'])}: there is no format "${format[1]}"`;
  const text = error.message.replace(/^strict mode: /, '');
  const [, word] = /"(\$?\w+)"/.exec(text) ?? [];
  const place = partsOf(schema).find(({ part }) => word !== undefined && Object.hasOwn(part, word));
  return place === undefined || place.path.length === 0 ? text : `${named(place.path)}: ${text}`;
}

function isKnown(ajv: Validator, schema: JsonSchema): boolean {
  try {
    ajv.validateSchema(schema);
    return true;
  } catch {
    return false;
  }
}

function patternProblem(pattern: string): string | undefined {
  try {
    compileRegex(pattern);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The schema and all schemas inside of it. */
function partsOf(schema: JsonSchema): { path: string[]; part: Record<string, unknown> }[] {
  const found: { path: string[]; part: Record<string, unknown> }[] = [];
  const look = (value: unknown, path: string[]): void => {
    if (!isMap(value)) return;
    found.push({ path, part: value });
    for (const word of ONE) look(value[word], [...path, word]);
    for (const word of [...LISTS, ...NAMED]) {
      const inside = value[word];
      const isFitting = LISTS.includes(word) ? Array.isArray(inside) : isMap(inside);
      if (isFitting) for (const [name, one] of Object.entries(inside as object)) look(one, [...path, word, name]);
    }
  };
  look(schema, []);
  return found;
}

/** A rule of JSON Schema itself that the schema breaks. */
function ruleBroken(
  { instancePath, keyword, params, message = 'is not allowed' }: ErrorObject,
  schema: JsonSchema,
): string {
  const path = pathOf(instancePath.slice(1));
  const at = path.length === 0 ? 'it' : named(path);
  if (keyword === 'type') return `${at} must be ${[params.type as string | string[]].flat().map(kind).join(' or ')}`;
  if (keyword !== 'enum') return `${at} ${message}`;
  const allowed = (params.allowedValues as unknown[]).map(String);
  let value: unknown = schema;
  for (const name of path) value = typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  const near = typeof value === 'string' ? didYouMean(value, allowed) : '';
  return `${at} must be one of ${allowed.join(', ')}${near}`;
}

function kind(type: string): string {
  const names: Readonly<Record<string, string>> = {
    string: 'a text',
    number: 'a number',
    integer: 'a whole number',
    boolean: 'true or false',
    array: 'a list',
    object: 'an object',
  };
  return names[type] ?? type;
}

function named(path: readonly string[]): string {
  return `"${path.join('.')}"`;
}

/** The parts of a JSON pointer without its first slash. */
function pathOf(pointer: string): string[] {
  if (pointer === '') return [];
  return pointer.split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function keysOf(value: unknown): string[] {
  return isMap(value) ? Object.keys(value) : [];
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
