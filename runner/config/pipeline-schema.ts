/** The fields of a pipeline file, but for the config of its oxis. Its JSON Schema for editors is made from this, too. */
import * as z from 'zod/mini';
import { once } from '../engine/once.ts';
import { note } from './fields.ts';
import { parseInstant } from './units.ts';

const text = (description: string) => note(z.string().check(z.minLength(1)), description);
const positive = (description: string) => note(z.int().check(z.minimum(1)), description);

export const ID = /^[A-Za-z_][A-Za-z0-9_-]*$/;
export const MAX_THREADS = 64;

/** `threads` stands in the config of every oxi. */
export const threadsSchema = once(() =>
  z.strictObject({
    threads: z.optional(note(z.int().check(z.minimum(1), z.maximum(MAX_THREADS)), 'Threads of the step, at most.')),
  }),
);

const MEMORY =
  'Megabytes of records that the step works on or holds at a time, at most; of a source and a parser: of the longest record.';

export const limitsSchema = once(() =>
  z.strictObject({
    max_batch_size: z.optional(positive('Records that the step takes at once, at most.')),
    max_memory_mb: z.optional(positive(MEMORY)),
    max_processing_time_ms: z.optional(positive('Time for one unit of work, in milliseconds.')),
    concurrent_operations: z.optional(positive('Units of work at the same time, at most.')),
  }),
);

const idSchema = z.string().check(z.regex(ID, 'must begin with a letter or _, and hold letters, digits, _ and - only'));

/** Universal fields of every step. `config` is read by the oxi's own schema. */
export const stepSchema = once(() =>
  z.strictObject({
    name: text('The oxi.'),
    id: z.optional(note(idSchema, 'Unique name of the step; the oxi where left out.')),
    config: z.optional(z.unknown()),
    continue_on_error: z._default(
      note(z.boolean(), 'A unit of work that failed for good leaves the step as it came in.'),
      false,
    ),
    retry_attempts: z._default(
      note(
        z.int().check(z.minimum(0), z.maximum(1000)),
        'Further attempts of a failed unit of work: an open or read, a write, a block of exec; of other steps, threads that died.',
      ),
      0,
    ),
    retry_delay_seconds: z._default(
      note(z.number().check(z.minimum(0), z.maximum(86_400)), 'Wait before the first of them, in seconds; it doubles.'),
      1,
    ),
    timeout_seconds: z.optional(
      note(
        z.number().check(z.positive(), z.maximum(2_000_000)),
        'Time for one unit of work, in seconds; a step that only works on records has limits.max_processing_time_ms.',
      ),
    ),
    max_memory_mb: z.optional(positive(MEMORY)),
    condition: z.optional(
      note(z.string().check(z.minLength(1)), {
        description: 'Expression over env, params and earlier steps, evaluated once; false skips the step.',
        expression: true,
      }),
    ),
    on_error: z._default(note(z.enum(['stop', 'drop', 'dead_letter']), 'What happens to a bad record.'), 'stop'),
    ordered: z._default(note(z.boolean(), 'false: records may leave the step in another order.'), true),
    limits: z.optional(z.lazy(limitsSchema)),
  }),
);

export const PARAMETER_TYPES = ['string', 'int', 'float', 'bool', 'date', 'timestamp'] as const;

export const parameterSchema = once(() => {
  const plain = () => z.union([z.string(), z.number(), z.boolean()]);
  return z.strictObject({
    type: z._default(note(z.enum(PARAMETER_TYPES), 'Type of the value.'), 'string'),
    default: z.optional(note(plain(), 'Value where none is given; without it the parameter is required.')),
    description: z.optional(note(z.string(), 'What it is for.')),
    choices: z.optional(note(z.array(plain()).check(z.minLength(1)), 'The values that are allowed.')),
  });
});

const records = (description: string) => note(z.array(z.unknown()), description);

const testInputSchema = once(() =>
  z.union([
    records('Records, as values.'),
    z
      .strictObject({
        text: z.optional(note(z.string(), "Text in the source's format.")),
        file: z.optional(text('File that is read in place of the input.')),
      })
      .check(
        z.refine((input) => (input.text === undefined) !== (input.file === undefined), {
          error: 'needs one of text and file, and takes only one of them',
        }),
      ),
  ]),
);

const expectationSchema = once(() =>
  z
    .strictObject({
      records: z.optional(records('What the last sink writes.')),
      text: z.optional(note(z.string(), 'What the last sink writes, character by character.')),
      outputs: z.optional(
        note(z.record(z.string(), z.array(z.unknown())), 'What sinks write, by the id of the step: records.'),
      ),
      dead_letters: z.optional(
        note(
          z.array(
            z.strictObject({
              step: text('The step that gave the record up.'),
              code: z.optional(text('Kind of the error, such as SCHEMA or VALUE.')),
              reason: z.optional(text('A part of the reason.')),
              record: z.optional(note(z.unknown(), 'The record, as a value or as text.')),
            }),
          ),
          'The dead letters, in order: what is given of each is compared.',
        ),
      ),
      errors: z.optional(note(z.int().check(z.minimum(0)), 'Record errors: dropped, dead letters and passed on.')),
      exit_code: z.optional(note(z.int().check(z.minimum(0), z.maximum(255)), 'How the run ends; 0 where left out.')),
      message: z.optional(text('A part of the message that the run fails with.')),
    })
    .check(
      z.refine((expected) => Object.keys(expected).length > 0, {
        error: 'must say what is expected: records, text, outputs, dead_letters, errors, exit_code or message',
      }),
      z.refine((e) => e.message === undefined || e.exit_code !== 0, {
        error: 'speaks of a failure, and "exit_code" is 0; leave one of them out',
        path: ['message'],
      }),
      z.refine(
        (e) =>
          (e.message === undefined && (e.exit_code ?? 0) === 0) ||
          (e.records ?? e.text ?? e.outputs ?? e.dead_letters) === undefined,
        { error: 'a run that fails publishes nothing: leave out records, text, outputs and dead_letters' },
      ),
    ),
);

/** One of the `tests` of a pipeline. */
export const testSchema = once(() =>
  z
    .strictObject({
      name: text('What the test shows; unique.'),
      step: z.optional(
        text('The one step that is tested: the input goes straight into it, and what leaves it is what is expected.'),
      ),
      input: z.optional(note(z.lazy(testInputSchema), 'What comes in place of the source: records, text, or a file.')),
      inputs: z.optional(
        note(
          z.record(z.string(), z.lazy(testInputSchema)),
          'The same by the id of the step, for a pipeline with several sources.',
        ),
      ),
      params: z.optional(
        note(z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])), 'Parameters, as by --param.'),
      ),
      environment: z.optional(
        note(z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])), 'Variables, before all others.'),
      ),
      now: z.optional(
        note(
          z.string().check(
            z.refine((time) => parseInstant(time) !== undefined, {
              error: 'must be a time such as "2026-07-31T10:00:00Z"',
            }),
          ),
          'Start of the run: what now() is, in conditions too.',
        ),
      ),
      expect: note(z.lazy(expectationSchema), 'How it has to end.'),
    })
    .check(
      z.refine((test) => (test.input === undefined) !== (test.inputs === undefined), {
        error: 'needs one of input and inputs, and takes only one of them',
      }),
      z.refine((test) => test.step === undefined || test.inputs === undefined, {
        error: 'the step has one input: write "input"',
        path: ['inputs'],
      }),
      z.refine((test) => test.step === undefined || test.expect.outputs === undefined, {
        error: 'a step alone has one output: write "expect: { records: ... }"',
        path: ['expect', 'outputs'],
      }),
    ),
);

/** Everything beside `pipeline`, `parameters` and `environment`, which are read on their own. */
export const HEAD_KEYS = ['delivery', 'dead_letter', 'max_errors', 'tests', 'metadata'] as const;

export const headSchema = once(() =>
  z.strictObject({
    delivery: z._default(
      note(z.enum(['at_least_once', 'exactly_once']), "exactly_once is refused where it can't hold."),
      'at_least_once',
    ),
    dead_letter: z.optional(
      z.strictObject({
        path: z.optional(text('File of the dead letters.')),
        max_records: z.optional(positive('A dead-letter file with so many records is full: the run stops.')),
      }),
    ),
    max_errors: z.optional(
      note(
        z.union([
          z.int().check(z.minimum(0)),
          z
            .string()
            .check(z.regex(/^(100|\d{1,2})(\.\d+)?%$/, 'must be a whole number of records, or a share such as "1%"')),
        ]),
        'The run stops beyond so many record errors, or such a share of the records.',
      ),
    ),
    tests: z.optional(note(z.array(z.lazy(testSchema)), 'Tests of the pipeline, for oxiflow pipeline test.')),
    metadata: z.optional(
      z.strictObject({
        name: z.optional(z.string()),
        description: z.optional(z.string()),
        version: z.optional(z.string()),
        author: z.optional(z.string()),
        tags: z.optional(z.array(z.string())),
        created: z.optional(z.string()),
        category: z.optional(z.string()),
      }),
    ),
  } satisfies Record<(typeof HEAD_KEYS)[number], unknown>),
);
