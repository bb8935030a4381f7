/** The manifest of a project: what its pipelines read, write and take, for orchestrators. Paths are relative to the project. */
import * as z from 'zod/mini';
import { toJSONSchema } from 'zod/v4/core';
import { note } from '../config/fields.ts';
import { PARAMETER_TYPES } from '../config/pipeline-schema.ts';
import { once } from '../engine/once.ts';

const text = (description: string) => note(z.string(), description);
const textOrNull = (description: string) => note(z.nullable(z.string()), description);
const flag = (description: string) => note(z.boolean(), description);
const scalar = () => z.union([z.string(), z.number(), z.boolean()]);

const column = once(() =>
  z.strictObject({ name: text('Name of the field.'), type: textOrNull('Its type, where the pipeline says one.') }),
);

const parameter = once(() =>
  z.strictObject({
    name: text('For --param NAME=VALUE.'),
    type: note(z.enum(PARAMETER_TYPES), 'Type of its value.'),
    description: textOrNull('What it is for.'),
    required: flag('It has no default.'),
    default: note(z.nullable(scalar()), 'Value where none is given; a whole number beyond 2^53 is text.'),
    choices: note(z.nullable(z.array(scalar())), 'The values that are allowed.'),
    secret: flag('Its values are shown nowhere.'),
  }),
);

const input = once(() =>
  z.strictObject({
    step: text('Id of the source.'),
    oxi: text('Its oxi.'),
    paths: note(z.array(z.string()), 'Files and patterns; ${NAME} where that is known only when the pipeline runs.'),
    templates: note(
      z.optional(z.array(z.string())),
      'The paths with ${NAME} also for a parameter that has a default; left out where they are the same.',
    ),
    format: textOrNull('csv or json; null where nothing parses it.'),
    columns: note(z.nullable(z.array(column())), 'The columns, where the pipeline names all of them.'),
  }),
);

const output = once(() =>
  z.strictObject({
    step: text('Id of the sink.'),
    oxi: text('Its oxi.'),
    path: textOrNull('The file; null where it is none.'),
    template: note(
      z.optional(z.string()),
      'The path with ${NAME} also for a parameter that has a default; left out where it is the same.',
    ),
    format: textOrNull('csv, json or yaml; null for bytes as they are.'),
    guarantee: note(
      z.nullable(z.enum(['transaction', 'truncate', 'keyed', 'append'])),
      'How the sink keeps to each record once; null where that is planned while the pipeline runs.',
    ),
    columns: note(z.nullable(z.array(column())), 'The columns, where the pipeline knows all of them.'),
    fields: note(z.array(column()), 'Where not all columns are known: those that a step sets or checks.'),
    validations: note(
      z.array(
        z.strictObject({
          step: text('Id of the validate step.'),
          on_error: note(z.enum(['stop', 'drop', 'dead_letter', 'pass']), 'What becomes of a record that it refuses.'),
        }),
      ),
      'Steps that its records have passed and that refuse bad ones; those of later segments are planned while the pipeline runs.',
    ),
  }),
);

const pipeline = once(() =>
  z.strictObject({
    name: text('For oxiflow run NAME.'),
    file: text('Its file.'),
    description: textOrNull('What it is for.'),
    author: textOrNull('Who owns it.'),
    version: textOrNull('Its version.'),
    category: textOrNull('Its category.'),
    tags: z.array(z.string()),
    inputs: z.array(input()),
    outputs: z.array(output()),
    dead_letters: note(
      z.nullable(z.strictObject({ path: text('Their file.'), max_records: z.int() })),
      'Where bad records go; null where no step sends any.',
    ),
    max_errors: textOrNull('The run stops beyond so many record errors, or such a share of the records ("10", "1%").'),
    parameters: z.array(parameter()),
    environment: note(z.array(z.string()), 'Variables that have to be set.'),
    delivery: note(z.enum(['at_least_once', 'exactly_once']), 'What the pipeline asks for.'),
    resumable: flag('A run that was stopped goes on; false: it starts over.'),
    tests: note(z.int().check(z.minimum(0)), 'How many tests it has.'),
    plan_hash: text('Of everything that decides what its steps do; another one is another plan.'),
  }),
);

const manifestSchema = once(() =>
  z.strictObject({
    manifest_version: note(z.literal(1), 'Version of this document; fields may be added within it.'),
    project: z.strictObject({
      name: textOrNull('Name of the project.'),
      version: textOrNull('Its version.'),
      description: textOrNull('What it is for.'),
    }),
    pipelines: z.array(pipeline()),
    errors: note(
      z.array(z.strictObject({ pipeline: z.string(), file: z.string(), messages: z.array(z.string()) })),
      'Pipelines that have mistakes.',
    ),
  }),
);

export type Manifest = z.output<ReturnType<typeof manifestSchema>>;
export type PipelineEntry = Manifest['pipelines'][number];
export type Column = z.output<ReturnType<typeof column>>;

export function manifestJsonSchema(): object {
  return { title: 'Oxide Flow manifest', ...toJSONSchema(manifestSchema(), { target: 'draft-2020-12', io: 'output' }) };
}
