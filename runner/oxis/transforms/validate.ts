/** `validate`: a record that breaks a JSON Schema, or whose fields are not of their types, is a record error. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import * as z from 'zod/mini';
import type { MakeContext, RecordStep, Step } from '../../engine/contracts.ts';
import { RecordError } from '../../engine/contracts.ts';
import { ioError } from '../../engine/errors.ts';
import { defineStep, field, inOrder } from '../define.ts';
import { checkedFieldPath, refuseField } from './field-path.ts';
import { fieldType, kindName, typeNames } from './validate-fields.ts';
import { SchemaStep } from './validate-schema.ts';

const config = () => {
  const name = z.string().check(z.minLength(1));
  const type = z.string().check(
    z.refine((text) => fieldType(text) !== undefined, {
      error: `must be one of ${typeNames.join(', ')}, with "?" behind it where the field may be null or missing`,
    }),
  );
  return z
    .strictObject({
      schema: field(
        z.optional(z.union([name, z.record(z.string(), z.json())])),
        'A JSON Schema (draft 2020-12), or the path of one. Numbers are doubles to it; patterns are matched in linear time; a $ref may point into the schema itself only.',
      ),
      fields: field(
        z.optional(inOrder(name, type)),
        `Field to type, one of ${typeNames.join(', ')}; a dot in a field nests. "?" behind the type: the field may be null or missing. Fields that are not named may hold anything.`,
      ),
    })
    .check(
      z.refine((c) => (c.schema === undefined) !== (c.fields === undefined), {
        error: 'needs one of schema and fields, and takes only one of them',
      }),
    );
};

type Config = z.output<ReturnType<typeof config>>;

export const validate = defineStep({
  name: 'validate',
  kind: 'step',
  summary: 'Refuses records that break a schema.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  make: (c, context): Step => {
    if (c.schema === undefined) return fieldsStep(c.fields ?? new Map(), context.stepId);
    const file = typeof c.schema === 'string' ? c.schema : undefined;
    return new SchemaStep(schemaOf(c.schema, context), context.stepId, file);
  },
  fingerprint: (c, context) => (typeof c.schema === 'string' ? readSchema(c.schema, context) : ''),
});

function fieldsStep(types: ReadonlyMap<string, string>, step: string): RecordStep {
  const fields = [...types].map(([name, text]) => {
    const found = fieldType(text);
    if (found === undefined) throw new Error(`no type ${text}`);
    return { name, path: checkedFieldPath(name, step, `fields.${name}`), ...found };
  });
  return {
    form: 'record',
    cardinality: 'one',
    touches: [[], ...fields.map(({ path }) => path)],
    apply: (record) => {
      if (record.kind([]) !== 0x7b) throw new RecordError('the record must be an object', undefined, 'SCHEMA');
      for (const { name, path, type, optional } of fields) {
        const kind = record.kind(path);
        if (optional && (kind === -1 || kind === 0x6e)) continue;
        if (kind !== -1 && type.holds(kind, record, path)) continue;
        throw new RecordError(`"${name}" must be ${type.called}, and is ${kindName(kind)}`, undefined, 'SCHEMA');
      }
      return 'keep';
    },
  };
}

function schemaOf(schema: NonNullable<Config['schema']>, context: MakeContext): Record<string, unknown> | boolean {
  if (typeof schema !== 'string') return schema;
  const refuse = (message: string, cause?: unknown): never => refuseField(context.stepId, 'schema', message, cause);
  const text = readSchema(schema, context);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    return refuse(`${schema} is no JSON`, error);
  }
  if (typeof parsed === 'boolean' || (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)))
    return parsed as Record<string, unknown> | boolean;
  return refuse(`${schema} holds no schema: it must be an object`);
}

function readSchema(path: string, context: MakeContext): string {
  try {
    return readFileSync(resolve(context.projectRoot, path), 'utf8');
  } catch (error) {
    const { message } = ioError(error, path) as Error;
    return refuseField(context.stepId, 'schema', message, error);
  }
}
