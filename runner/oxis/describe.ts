/** What an oxi is, from the schema that its config is checked by: for the reference page, the README and `oxiflow oxi docs`. */
import { type $ZodType, toJSONSchema } from 'zod/v4/core';
import { core, describeSchema } from '../config/schema-kinds.ts';
import type { Oxi } from '../engine/contracts.ts';

/** What zod tells of a field, as far as a reader wants to know. */
interface Field {
  description?: string;
  unit?: string;
  expression?: boolean;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
}

export interface OxiField {
  name: string;
  aliases: string[];
  /** What it takes, in words. */
  type: string;
  required: boolean;
  /** Undefined where there is none. */
  default: unknown;
  description: string;
}

/** The fields of its config, in the order of the schema. */
export function fieldsOf(oxi: Oxi): OxiField[] {
  const { def } = core(oxi.config)._zod;
  if (def.type !== 'object') throw new Error(`the config of ${oxi.name} must be an object`);
  const json = toJSONSchema(oxi.config, { io: 'input', unrepresentable: 'any' });
  const required = new Set(json.required);
  return Object.entries(def.shape).map(([name, schema]) => {
    const field = (json.properties?.[name] ?? {}) as Field;
    if (field.description === undefined) throw new Error(`${oxi.name}.${name} has no description`);
    return {
      name,
      aliases: Object.entries(oxi.aliases ?? {}).flatMap(([alias, of]) => (of === name ? [alias] : [])),
      type: typeOf(schema, field),
      required: required.has(name),
      default: field.default,
      description: field.description,
    };
  });
}

function typeOf(schema: $ZodType, field: Field): string {
  const { def } = core(schema)._zod;
  if (def.type === 'literal' && def.values.length === 1) return `only ${code(def.values[0])}`;
  const type = field.expression === true ? expressionOf(schema) : describeSchema(schema);
  const { minimum, maximum, exclusiveMinimum } = field;
  const whole = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum;
  const range = [
    ...(exclusiveMinimum === undefined ? [] : [`above ${exclusiveMinimum}`]),
    ...(minimum === undefined || minimum === Number.MIN_SAFE_INTEGER ? [] : [`from ${minimum}`]),
    ...(whole === undefined ? [] : [`to ${whole}`]),
  ].join(' ');
  return [type, ...(range === '' ? [] : [range]), ...(field.unit === undefined ? [] : [`(${field.unit})`])].join(' ');
}

function expressionOf(schema: $ZodType): string {
  return core(schema)._zod.def.type === 'string' ? 'an expression' : 'a map of expressions';
}

function code(value: unknown): string {
  return `\`${JSON.stringify(value)}\``;
}

/** What stands in the column of defaults. */
export function standardOf(field: OxiField): string {
  return field.required ? 'required' : field.default === undefined ? '' : code(field.default);
}

/** Its own limits, which a configuration can tighten, by the names that they have there. */
export function ownLimits({ limits = {} }: Oxi): [name: string, value: number][] {
  const { maxBatchSize, maxMemoryMb, maxProcessingTimeMs, concurrentOperations } = limits;
  const all: [string, number | undefined][] = [
    ['max_batch_size', maxBatchSize],
    ['max_memory_mb', maxMemoryMb],
    ['max_processing_time_ms', maxProcessingTimeMs],
    ['concurrent_operations', concurrentOperations],
  ];
  return all.flatMap(([name, value]): [string, number][] => (value === undefined ? [] : [[name, value]]));
}

/** One oxi with all its fields, as Markdown. */
export function markdownOf(oxi: Oxi): string[] {
  const alone = aloneText(oxi);
  const rows = fieldsOf(oxi).map((field) => {
    const also = field.aliases.map((alias) => ` (also \`${alias}\`)`).join('');
    return `| \`${field.name}\`${also} | ${cell(field.type)} | ${cell(standardOf(field))} | ${cell(field.description)} |`;
  });
  return [
    `## ${oxi.name}`,
    '',
    `${oxi.summary} (${oxi.kind})`,
    '',
    '| field | what it takes | default | what it is for |',
    '|---|---|---|---|',
    ...rows,
    '',
    ...limitsOf(oxi),
    ...(alone === undefined ? [] : [alone, '']),
  ];
}

/** Why workers can't share a run that has it, as a sentence; undefined where they can. */
export function aloneText({ alone }: Oxi): string | undefined {
  if (alone === undefined) return undefined;
  return alone.when === undefined
    ? `Workers can not share a run with it: it ${alone.why}.`
    : `Workers can not share a run where it ${alone.why}.`;
}

/** Its own limits, which a configuration can tighten. */
function limitsOf(oxi: Oxi): string[] {
  const texts = ownLimits(oxi).map(([name, value]) => `\`${name}\` ${value}`);
  // What a source reads at a time is small and always the same.
  const held =
    oxi.kind === 'source' || oxi.kind === 'parser'
      ? ' `max_memory_mb` is that of the longest record: of the source, the parser and `max_record_mb` the smallest counts; reads of less than 1 MB, and what unpacking needs, come on top.'
      : '';
  return texts.length === 0 ? [] : [`Limits, which a pipeline can tighten: ${texts.join(', ')}.${held}`, ''];
}

/** Text that can stand in a cell of a table. */
export function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
