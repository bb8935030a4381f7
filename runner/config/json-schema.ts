/** JSON Schemas (2020-12) of project and pipeline files, for editors: made from the same schemas that the loader reads by. */
import { type $ZodType, toJSONSchema } from 'zod/v4/core';
import { headSchema, ID, MAX_THREADS, PARAMETER_TYPES, parameterSchema, stepSchema } from './pipeline-schema.ts';
import { environmentSchema, projectFileSchema } from './project-schema.ts';
import { core } from './schema-kinds.ts';
import type { ConfiguredOxi } from './steps.ts';

/** A JSON Schema, or a part of one. */
export type JsonSchema = { [keyword: string]: unknown };

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';
/** Where a number or a switch is expected, text with a reference may stand: its value is checked when it is known. */
const REFERENCE: JsonSchema = { type: 'string', pattern: '\\$\\{' };
/** The loader reads "4" as a number and "true" as a switch. */
const AS_TEXT: Readonly<Record<string, JsonSchema>> = {
  number: { type: 'string', pattern: '^[+-]?(\\d+(\\.\\d*)?|\\.\\d+)([eE][+-]?\\d+)?$|\\$\\{' },
  integer: { type: 'string', pattern: '^[+-]?\\d+$|\\$\\{' },
  boolean: { type: 'string', pattern: '^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$|\\$\\{' },
};
const FREE = { '^x-': true };

/** Of oxiflow.yaml. */
export function projectSchema(): JsonSchema {
  return { $schema: DIALECT, title: 'Oxide Flow project', ...withFreeKeys(toJson(projectFileSchema())) };
}

/** Of a pipeline file; the config of a step is checked by the oxi that `name` names. */
export function pipelineSchema(oxis: ReadonlyMap<string, ConfiguredOxi>): JsonSchema {
  const names = [...oxis.keys()];
  const step = withFreeKeys(toJson(stepSchema()));
  const properties = step.properties as JsonSchema;
  properties.name = { description: 'The oxi.', anyOf: [{ enum: names }, REFERENCE] };
  properties.id = {
    type: 'string',
    anyOf: [{ pattern: ID.source }, REFERENCE],
    description: 'Unique name of the step.',
  };
  properties.config = { description: "The oxi's own fields." };
  step.allOf = [...oxis.values()].map((oxi) => ({
    if: { properties: { name: { const: oxi.name } }, required: ['name'] },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: configRule(oxi),
  }));
  const head = withFreeKeys(toJson(headSchema()));
  return {
    $schema: DIALECT,
    title: 'Oxide Flow pipeline',
    ...head,
    properties: {
      pipeline: {
        type: 'array',
        minItems: 1,
        items: { $ref: '#/$defs/step' },
        description: 'The steps, top to bottom.',
      },
      parameters: {
        anyOf: [{ type: 'null' }, { type: 'object', additionalProperties: withFreeKeys(toJson(parameterSchema())) }],
        description: `Values given by --param; types: ${PARAMETER_TYPES.join(', ')}.`,
      },
      environment: { anyOf: [{ type: 'null' }, toJson(environmentSchema())] },
      ...(head.properties as JsonSchema),
    },
    required: ['pipeline'],
    $defs: { step, ...Object.fromEntries([...oxis.values()].map((oxi) => [oxi.name, configSchema(oxi)])) },
  };
}

function configRule(oxi: ConfiguredOxi): JsonSchema {
  const config: JsonSchema = { $ref: `#/$defs/${oxi.name}` };
  const optional = requiredOf(objectPart(toJson(oxi.config))).length === 0;
  if (optional) return { properties: { config: { anyOf: [config, { type: 'null' }] } } };
  return { properties: { config }, required: ['config'] };
}

/** The config of one oxi: its fields and their aliases (never both), and `threads`. */
function configSchema(oxi: ConfiguredOxi): JsonSchema {
  const whole = toJson(oxi.config);
  const schema = objectPart(whole);
  const properties = { ...(schema.properties as JsonSchema | undefined) };
  const required = requiredOf(schema);
  const choices: JsonSchema[] = [];
  for (const [alias, name] of Object.entries(oxi.aliases ?? {})) {
    properties[alias] = { ...(properties[name] as JsonSchema), deprecated: true, description: `The same as ${name}.` };
    choices.push({ not: { required: [alias, name] } });
  }
  for (const name of required) {
    const spellings = Object.entries(oxi.aliases ?? {}).flatMap(([alias, target]) => (target === name ? [alias] : []));
    if (spellings.length > 0) choices.push({ anyOf: [name, ...spellings].map((one) => ({ required: [one] })) });
  }
  properties.threads ??= {
    description: 'Threads of the step, at most.',
    anyOf: [{ type: 'integer', minimum: 1, maximum: MAX_THREADS }, REFERENCE],
  };
  const recursive = whole.$defs === undefined ? {} : { $defs: whole.$defs };
  const aliased = new Set(Object.values(oxi.aliases ?? {}));
  const full = {
    ...schema,
    ...recursive,
    properties,
    required: required.filter((name) => !aliased.has(name)),
    ...(choices.length > 0 ? { allOf: choices } : {}),
    ...(oxi.summary === undefined ? {} : { description: oxi.summary }),
  };
  return moved(full, `#/$defs/${oxi.name}/`) as JsonSchema;
}

/** Types that hold themselves come with definitions of their own: their references have to follow to the new place. */
function moved(part: unknown, place: string): unknown {
  if (Array.isArray(part)) return part.map((item) => moved(item, place));
  if (typeof part !== 'object' || part === null) return part;
  const entries = Object.entries(part).map(([key, value]) => {
    const reference = key === '$ref' && typeof value === 'string' && value.startsWith('#/');
    return [key, reference ? place + value.slice(2) : moved(value, place)];
  });
  return Object.fromEntries(entries);
}

/** Maps may be left empty in YAML (null): the part of a schema that speaks of the map itself. */
function objectPart(schema: JsonSchema): JsonSchema {
  return Array.isArray(schema.anyOf) ? (schema.anyOf[0] as JsonSchema) : schema;
}

function requiredOf(schema: JsonSchema): string[] {
  return (schema.required as string[] | undefined) ?? [];
}

/** zod's own translation, opened for references and for scalars that the loader coerces. */
function toJson(schema: $ZodType): JsonSchema {
  const json: JsonSchema = toJSONSchema(schema, {
    target: 'draft-2020-12',
    io: 'input',
    unrepresentable: 'any',
    override: openForText,
  });
  delete json.$schema;
  return json;
}

function openForText({ zodSchema, jsonSchema }: { zodSchema: $ZodType; jsonSchema: JsonSchema }): void {
  delete jsonSchema.secret;
  delete jsonSchema.expression;
  // Keys are text as they stand: neither references nor numbers.
  const { propertyNames } = jsonSchema as { propertyNames?: JsonSchema };
  if (Array.isArray(propertyNames?.anyOf)) jsonSchema.propertyNames = propertyNames.anyOf[0];
  const own = core(zodSchema) === zodSchema;
  if (!own) return;
  const { def } = core(zodSchema)._zod;
  if (def.type === 'map')
    Object.assign(jsonSchema, {
      type: 'object',
      propertyNames: toJson(def.keyType),
      additionalProperties: toJson(def.valueType),
    });
  const { description, ...rest } = jsonSchema;
  const alternatives = alternativesOf(def.type, rest);
  if (alternatives.length === 0) return;
  for (const keyword of Object.keys(jsonSchema)) delete jsonSchema[keyword];
  Object.assign(jsonSchema, description === undefined ? {} : { description }, { anyOf: [rest, ...alternatives] });
}

function alternativesOf(type: string, json: JsonSchema): JsonSchema[] {
  switch (type) {
    case 'number':
      return [AS_TEXT[json.type === 'integer' ? 'integer' : 'number'] ?? REFERENCE];
    case 'boolean':
      return [AS_TEXT.boolean ?? REFERENCE];
    case 'enum':
    case 'literal':
      return [REFERENCE];
    case 'string': {
      // Limits on the text hold for the value, not for a reference to it; bare numbers and switches are read as text.
      const plain: JsonSchema = { type: ['number', 'boolean'] };
      return 'pattern' in json || 'maxLength' in json || 'format' in json ? [REFERENCE] : [plain];
    }
    case 'object':
    case 'record':
    case 'map':
      return json.type === 'object' ? [{ type: 'null' }] : [];
    default:
      return [];
  }
}

function withFreeKeys(schema: JsonSchema): JsonSchema {
  const object = objectPart(schema);
  const { properties } = object;
  if (typeof properties !== 'object' || properties === null) return object;
  const inner = Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, freeInside(value)]));
  return { ...object, properties: inner, ...('additionalProperties' in object ? { patternProperties: FREE } : {}) };
}

function freeInside(schema: JsonSchema): JsonSchema {
  if (Array.isArray(schema.anyOf)) return { ...schema, anyOf: schema.anyOf.map(freeInside) };
  return 'properties' in schema ? withFreeKeys(schema) : schema;
}
