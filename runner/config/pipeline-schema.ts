/** The fields of a pipeline file, but for the config of its oxis. Its JSON Schema for editors is made from this, too. */
import * as z from 'zod/mini';
import { once } from '../engine/once.ts';
import { note } from './fields.ts';

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

export const limitsSchema = once(() =>
  z.strictObject({
    max_batch_size: z.optional(positive('Records that the step takes at once, at most.')),
    max_memory_mb: z.optional(positive('Memory of the step, in megabytes.')),
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
    max_memory_mb: z.optional(positive('Memory of the step, in megabytes.')),
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
    tests: z.optional(note(z.array(z.unknown()), 'Tests of the pipeline, for oxiflow pipeline test.')),
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
