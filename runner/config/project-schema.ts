/** The fields of oxiflow.yaml, a schema a section. Its JSON Schema for editors is made from this, too. */
import * as z from 'zod/mini';
import { once } from '../engine/once.ts';
import { duration, note, secretText } from './fields.ts';

const text = (description: string) => note(z.string().check(z.minLength(1)), description);
const optionalText = (description: string) => z.optional(text(description));
const count = (description: string) => z.optional(note(z.int().check(z.minimum(0)), description));
const positive = (description: string) => z.optional(note(z.int().check(z.minimum(1)), description));
const flag = (description: string) => z.optional(note(z.boolean(), description));
const amount = (description: string) => z.optional(note(z.number().check(z.minimum(0)), description));
const interval = (description: string, least?: string) => z.optional(duration(description, least));
const lockTimeout = () => interval('How long a lease lasts without being renewed; 30s where left out.', '1s');
const folder = (standard: string, description: string) =>
  z._default(note(z.string().check(z.regex(/^[^\0]+$/, 'must be the name of a folder')), description), standard);

const NO_EFFECT = 'Of the old format; has no effect.';

const METRICS_FORMATS = ['json', 'csv', 'prometheus'] as const;
export const BACKENDS = ['auto', 'file', 'nfs', 'sqlite', 'redis', 'http', 'database'] as const;
export const DEFAULT_SETTINGS = { output_dir: 'output', pipeline_dir: 'pipelines', oxis_dir: 'oxis' } as const;
/** In milliseconds. */
export const DEFAULT_INTERVALS = { heartbeat: 10_000, checkpoint: 30_000, stuck: 300_000 } as const;

/** The sections of `state_manager`, one a backend; read only as far as the chosen backend needs. */
export const backendSchemas = {
  file: once(() =>
    z.strictObject({
      base_path: optionalText('Folder of the state, from the project folder; .oxiflow/state where left out.'),
      lock_timeout: lockTimeout(),
      backup_enabled: flag(NO_EFFECT),
      backup_retention: z.optional(note(z.union([z.int().check(z.minimum(0)), z.string()]), NO_EFFECT)),
    }),
  ),
  nfs: once(() =>
    z.strictObject({
      mount_path: optionalText('Folder on the shared file system.'),
      lock_timeout: lockTimeout(),
      lock_lease_seconds: positive('The same in seconds.'),
      cleanup_interval: interval('How often what dead workers have left is cleared away; 5m where left out.'),
    }),
  ),
  sqlite: once(() =>
    z.strictObject({
      path: optionalText('Database file, from the project folder; .oxiflow/state.db where left out.'),
      lock_timeout: lockTimeout(),
    }),
  ),
  redis: once(() =>
    z.strictObject({
      connection_url: z.optional(secretText('redis://, rediss:// or unix:// URL of the server.')),
      key_prefix: optionalText('Begins every key.'),
      lock_timeout: lockTimeout(),
      cluster_mode: flag('The server is a cluster.'),
      pool_size: positive('Connections at most.'),
      timeout_ms: positive('How long one command may take, in milliseconds.'),
    }),
  ),
  http: once(() =>
    z.strictObject({
      base_url: z.optional(secretText('Address of the state service.')),
      auth_token: z.optional(secretText('Bearer token.')),
      lock_timeout: lockTimeout(),
      retry_attempts: count('Further attempts of a failed request.'),
      timeout_ms: positive('How long one request may take, in milliseconds.'),
    }),
  ),
  database: once(() =>
    z.strictObject({
      type: note(z.enum(['sqlite', 'redis', 'postgresql', 'mongodb', 'http']), 'Which database.'),
      connection_url: z.optional(secretText('URL of the database; for sqlite the path of its file.')),
      lock_timeout: lockTimeout(),
      pool_size: positive('Connections at most.'),
      timeout_seconds: positive('How long one command may take, in seconds.'),
      postgres: z.optional(
        z.looseObject({
          schema: optionalText('Schema of the tables.'),
          partition_strategy: optionalText('How tables are split.'),
        }),
      ),
      mongodb: z.optional(
        z.looseObject({ database: optionalText('Database.'), collection: optionalText('Collection.') }),
      ),
      performance: z.optional(
        z.strictObject({
          batch_size: positive('Documents written together.'),
          cache_size_mb: count('Cache in megabytes.'),
          index_optimization: flag('Keep the indexes tuned.'),
        }),
      ),
    }),
  ),
};

export const stateManagerSchema = once(() =>
  z.strictObject({
    backend: z._default(note(z.enum(BACKENDS), 'Where the state is kept; auto is SQLite in .oxiflow/.'), 'auto'),
    heartbeat_interval: interval(
      'How often a worker says that it lives, at most half of lock_timeout; 10s where left out.',
      '100ms',
    ),
    checkpoint_interval: interval('How often a hard checkpoint is made; 30s where left out.'),
    cleanup_interval: interval(NO_EFFECT),
  }),
);

export const sectionSchemas = {
  project: once(() =>
    z.strictObject({
      name: optionalText('Name of the project.'),
      version: optionalText('Version of the project.'),
      description: z.optional(note(z.string(), 'What the project is for.')),
    }),
  ),
  settings: once(() =>
    z.strictObject({
      output_dir: folder(DEFAULT_SETTINGS.output_dir, 'Folder of outputs.'),
      pipeline_dir: folder(DEFAULT_SETTINGS.pipeline_dir, 'Folder of the pipelines.'),
      oxis_dir: folder(DEFAULT_SETTINGS.oxis_dir, "Folder of the project's own oxis."),
      stuck_after: interval('A run in which nothing moves for so long ends; 5m where left out, 0s for never.'),
    }),
  ),
  state: once(() =>
    z.strictObject({
      backend: optionalText('The older spelling of state_manager.backend.'),
      backend_config: z.optional(z.record(z.string(), z.unknown())),
    }),
  ),
  oxis: once(() =>
    z.record(
      z.string(),
      z.strictObject({
        version: optionalText('Version.'),
        source: optionalText('Where it came from.'),
        description: z.optional(z.string()),
      }),
    ),
  ),
  monitoring: once(() =>
    z.strictObject({
      interval_seconds: z.optional(
        note(z.number().check(z.minimum(0.1), z.maximum(86_400)), 'Time between two measurements; 10 where left out.'),
      ),
      output_format: z.optional(
        note(
          z.enum(METRICS_FORMATS),
          'Of the metrics file: json is a line for each sample, csv a row for each step and sample, prometheus its text format with the last sample. Where left out, as the file ends: .csv, .prom, else json.',
        ),
      ),
      metrics_file: optionalText('File of the metrics, from the project folder.'),
      real_time_dashboard: flag('A table of the steps in place of the progress line, on a terminal.'),
      alerts: z.optional(
        z.strictObject({
          cpu_threshold: amount('Processor use of the run, in percent; 100 is one core.'),
          memory_threshold: amount('Memory of the run, in megabytes.'),
          error_rate_threshold: z.optional(
            note(
              z.number().check(z.minimum(0), z.maximum(1)),
              'Share of bad records since the measurement before, 0 to 1.',
            ),
          ),
        }),
      ),
    }),
  ),
  analytics: once(() =>
    z.strictObject({
      enabled: flag('Keep analytics.'),
      retention_days: count('Days that they are kept.'),
      metrics_interval: interval('Time between two measurements.'),
      outputs: z.optional(z.array(z.looseObject({ type: text('prometheus, grafana, json, ...') }))),
    }),
  ),
};

export const environmentSchema = once(() =>
  z.record(
    z.string().check(z.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be letters, digits and _')),
    note(z.string(), 'Default of a variable; the real environment wins.'),
  ),
);

/** The whole file, for the JSON Schema; reading goes section by section. */
export const projectFileSchema = once(() => {
  const optional = (schemas: Readonly<Record<string, () => z.core.$ZodType>>) =>
    Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, z.optional(schema())]));
  return z.strictObject({
    ...optional(sectionSchemas),
    environment: z.optional(environmentSchema()),
    state_manager: z.optional(z.strictObject({ ...stateManagerSchema().shape, ...optional(backendSchemas) })),
  });
});
