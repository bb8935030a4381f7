/** The fields of a pipeline file, but for the config of its oxis. Its JSON Schema for editors is made from this, too. */
import * as z from 'zod/mini';

const text = (description: string) => z.string().check(z.minLength(1), z.meta({ description }));
const positive = (description: string) => z.int().check(z.minimum(1), z.meta({ description }));

export const ID = /^[A-Za-z_][A-Za-z0-9_-]*$/;
export const MAX_THREADS = 64;

const threadsSchema = z
  .int()
  .check(z.minimum(1), z.maximum(MAX_THREADS), z.meta({ description: 'Threads of the step, at most.' }));

/** `threads` stands in the config of every oxi. */
export const threadsOnly = z.strictObject({ threads: z.optional(threadsSchema) });

export const limitsSchema = z.strictObject({
  max_batch_size: z.optional(positive('Records that the step takes at once, at most.')),
  max_memory_mb: z.optional(positive('Memory of the step, in megabytes.')),
  max_processing_time_ms: z.optional(positive('Time for one unit of work, in milliseconds.')),
  concurrent_operations: z.optional(positive('Units of work at the same time, at most.')),
});

/** Universal fields of every step. `config` is read by the oxi's own schema. */
export const stepSchema = z.strictObject({
  name: text('The oxi.'),
  id: z.optional(
    text('Unique name of the step; the oxi where left out.').check(
      z.regex(ID, 'must begin with a letter or _, and hold letters, digits, _ and - only'),
    ),
  ),
  config: z.optional(z.unknown()),
  continue_on_error: z._default(
    z.boolean().check(z.meta({ description: 'A unit of work that failed for good leaves the step as it came in.' })),
    false,
  ),
  retry_attempts: z._default(
    z.int().check(z.minimum(0), z.maximum(1000), z.meta({ description: 'Further attempts of a failed unit of work.' })),
    0,
  ),
  retry_delay_seconds: z._default(
    z
      .number()
      .check(
        z.minimum(0),
        z.maximum(86_400),
        z.meta({ description: 'Wait before the first of them, in seconds; it doubles.' }),
      ),
    1,
  ),
  timeout_seconds: z.optional(
    z
      .number()
      .check(z.positive(), z.maximum(2_000_000), z.meta({ description: 'Time for one unit of work, in seconds.' })),
  ),
  max_memory_mb: z.optional(positive('Memory of the step, in megabytes.')),
  condition: z.optional(
    text('Expression over env, params and earlier steps, evaluated once; false skips the step.').check(
      z.meta({ expression: true }),
    ),
  ),
  on_error: z._default(
    z.enum(['stop', 'drop', 'dead_letter']).check(z.meta({ description: 'What happens to a bad record.' })),
    'stop',
  ),
  ordered: z._default(
    z.boolean().check(z.meta({ description: 'false: records may leave the step in another order.' })),
    true,
  ),
  limits: z.optional(limitsSchema),
});

export const PARAMETER_TYPES = ['string', 'int', 'float', 'bool', 'date', 'timestamp'] as const;

const plain = z.union([z.string(), z.number(), z.boolean()]);

export const parameterSchema = z.strictObject({
  type: z._default(z.enum(PARAMETER_TYPES).check(z.meta({ description: 'Type of the value.' })), 'string'),
  default: z.optional(
    plain.check(z.meta({ description: 'Value where none is given; without it the parameter is required.' })),
  ),
  description: z.optional(z.string().check(z.meta({ description: 'What it is for.' }))),
  choices: z.optional(z.array(plain).check(z.minLength(1), z.meta({ description: 'The values that are allowed.' }))),
});

/** Everything beside `pipeline`, `parameters` and `environment`, which are read on their own. */
export const headSchema = z.strictObject({
  delivery: z._default(
    z
      .enum(['at_least_once', 'exactly_once'])
      .check(z.meta({ description: "exactly_once is refused where it can't hold." })),
    'at_least_once',
  ),
  dead_letter: z.optional(
    z.strictObject({
      path: z.optional(text('File of the dead letters.')),
      max_records: z.optional(positive('A dead-letter file with so many records is full: the run stops.')),
    }),
  ),
  max_errors: z.optional(
    z
      .union([
        z.int().check(z.minimum(0)),
        z
          .string()
          .check(z.regex(/^(100|\d{1,2})(\.\d+)?%$/, 'must be a whole number of records, or a share such as "1%"')),
      ])
      .check(z.meta({ description: 'The run stops beyond so many record errors, or such a share of the records.' })),
  ),
  tests: z.optional(
    z.array(z.unknown()).check(z.meta({ description: 'Tests of the pipeline, for oxiflow pipeline test.' })),
  ),
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
});
