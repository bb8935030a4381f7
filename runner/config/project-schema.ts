/** The fields of oxiflow.yaml. Its JSON Schema for editors is made from this, too. */
import * as z from 'zod/mini';
import { duration, secretText } from './fields.ts';

const text = (description: string) => z.string().check(z.minLength(1), z.meta({ description }));
const optionalText = (description: string) => z.optional(text(description));
const count = (description: string) => z.optional(z.int().check(z.minimum(0), z.meta({ description })));
const positive = (description: string) => z.int().check(z.minimum(1), z.meta({ description }));
const flag = (description: string) => z.optional(z.boolean().check(z.meta({ description })));
const folder = (description: string) => text(description).check(z.regex(/^[^\0]*$/, 'must not hold a NUL character'));

export const BACKENDS = ['auto', 'file', 'nfs', 'sqlite', 'redis', 'http', 'database'] as const;

/** The sections of `state_manager`, one a backend; read only as far as the chosen backend needs. */
export const backendSchemas = {
  file: z.strictObject({
    base_path: optionalText('Folder of the state, from the project folder; .oxiflow/state where left out.'),
    lock_timeout: z.optional(duration('How long a lease lasts without being renewed.')),
    backup_enabled: flag('Of the old format; has no effect.'),
    backup_retention: z.optional(
      z
        .union([z.int().check(z.minimum(0)), z.string()])
        .check(z.meta({ description: 'Of the old format; has no effect.' })),
    ),
  }),
  nfs: z.strictObject({
    mount_path: optionalText('Folder on the shared file system.'),
    lock_timeout: z.optional(duration('How long a lease lasts without being renewed.')),
    lock_lease_seconds: z.optional(positive('The same in seconds.')),
    cleanup_interval: z.optional(duration('Of the old format; has no effect.')),
  }),
  sqlite: z.strictObject({
    path: optionalText('Database file, from the project folder; .oxiflow/state.db where left out.'),
    lock_timeout: z.optional(duration('How long a lease lasts without being renewed.')),
  }),
  redis: z.strictObject({
    connection_url: z.optional(secretText('redis://, rediss:// or unix:// URL of the server.')),
    key_prefix: optionalText('Begins every key.'),
    lock_timeout: z.optional(duration('How long a lease lasts without being renewed.')),
    cluster_mode: flag('The server is a cluster.'),
    pool_size: z.optional(positive('Connections at most.')),
    timeout_ms: z.optional(positive('How long one command may take, in milliseconds.')),
  }),
  http: z.strictObject({
    base_url: z.optional(secretText('Address of the state service.')),
    auth_token: z.optional(secretText('Bearer token.')),
    lock_timeout: z.optional(duration('How long a lease lasts without being renewed.')),
    retry_attempts: count('Further attempts of a failed request.'),
    timeout_ms: z.optional(positive('How long one request may take, in milliseconds.')),
  }),
  database: z.strictObject({
    type: z
      .enum(['sqlite', 'redis', 'postgresql', 'mongodb', 'http'])
      .check(z.meta({ description: 'Which database.' })),
    connection_url: z.optional(secretText('URL of the database; for sqlite the path of its file.')),
    lock_timeout: z.optional(duration('How long a lease lasts without being renewed.')),
    pool_size: z.optional(positive('Connections at most.')),
    timeout_seconds: z.optional(positive('How long one command may take, in seconds.')),
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
        batch_size: z.optional(positive('Documents written together.')),
        cache_size_mb: count('Cache in megabytes.'),
        index_optimization: flag('Keep the indexes tuned.'),
      }),
    ),
  }),
};

export const stateManagerSchema = z.strictObject({
  backend: z._default(
    z.enum(BACKENDS).check(z.meta({ description: 'Where the state is kept; auto is SQLite in .oxiflow/.' })),
    'auto',
  ),
  heartbeat_interval: z.prefault(duration('How often a worker says that it lives.'), '10s'),
  checkpoint_interval: z.prefault(duration('How often a hard checkpoint is made.'), '30s'),
  cleanup_interval: z.optional(duration('Of the old format; has no effect.')),
});

const outputSchema = z.looseObject({ type: text('prometheus, grafana, json, ...') });

export const sectionSchemas = {
  project: z.strictObject({
    name: optionalText('Name of the project.'),
    version: optionalText('Version of the project.'),
    description: z.optional(z.string().check(z.meta({ description: 'What the project is for.' }))),
  }),
  settings: z.strictObject({
    output_dir: z._default(folder('Folder of outputs.'), 'output'),
    pipeline_dir: z._default(folder('Folder of the pipelines.'), 'pipelines'),
    oxis_dir: z._default(folder("Folder of the project's own oxis."), 'oxis'),
  }),
  state: z.strictObject({
    backend: optionalText('The older spelling of state_manager.backend.'),
    backend_config: z.optional(z.record(z.string(), z.unknown())),
  }),
  oxis: z.record(
    z.string(),
    z.strictObject({
      version: optionalText('Version.'),
      source: optionalText('Where it came from.'),
      description: z.optional(z.string()),
    }),
  ),
  monitoring: z.strictObject({
    interval_seconds: z.optional(
      z.number().check(z.positive(), z.meta({ description: 'Time between two measurements.' })),
    ),
    output_format: optionalText('json, ...'),
    metrics_file: optionalText('File of the metrics.'),
    real_time_dashboard: flag('Show a dashboard.'),
    alerts: z.optional(
      z.strictObject({
        cpu_threshold: z.optional(z.number().check(z.minimum(0), z.meta({ description: 'Percent of one core.' }))),
        memory_threshold: z.optional(z.number().check(z.minimum(0), z.meta({ description: 'Megabytes.' }))),
        error_rate_threshold: z.optional(
          z.number().check(z.minimum(0), z.maximum(1), z.meta({ description: 'Share of records, 0 to 1.' })),
        ),
      }),
    ),
  }),
  analytics: z.strictObject({
    enabled: flag('Keep analytics.'),
    retention_days: count('Days that they are kept.'),
    metrics_interval: z.optional(duration('Time between two measurements.')),
    outputs: z.optional(z.array(outputSchema)),
  }),
};

export const environmentSchema = z.record(
  z.string().check(z.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be letters, digits and _')),
  z.string().check(z.meta({ description: 'Default of a variable; the real environment wins.' })),
);

/** The whole file, for the JSON Schema; reading goes section by section. */
export const projectFileSchema = z.strictObject({
  project: z.optional(sectionSchemas.project),
  settings: z.optional(sectionSchemas.settings),
  environment: z.optional(environmentSchema),
  state_manager: z.optional(z.extend(stateManagerSchema, z.partial(z.object(backendSchemas)).shape)),
  state: z.optional(sectionSchemas.state),
  oxis: z.optional(sectionSchemas.oxis),
  monitoring: z.optional(sectionSchemas.monitoring),
  analytics: z.optional(sectionSchemas.analytics),
});
