import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { schemaText } from '../../runner/cli/schema.ts';
import { type JsonSchema, pipelineSchema, projectSchema } from '../../runner/config/json-schema.ts';
import { registry } from '../../runner/oxis/registry.ts';
import { oxis, refusal } from './fixtures.ts';

function validator(schema: JsonSchema): (yaml: string) => string[] {
  const validate = new Ajv2020({ allErrors: true, strict: false, validateFormats: false }).compile(schema);
  return (yaml) =>
    validate(parse(yaml)) ? [] : (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message}`);
}

const pipeline = validator(pipelineSchema(oxis));
const project = validator(projectSchema());
const step = (yaml: string) => pipeline(`pipeline:\n  - ${yaml}`);

describe('the JSON Schema of pipelines', () => {
  it.each([
    '{ name: read_file, config: { path: a.csv, chunk: "${CHUNK:-4}", binary: "${BINARY}" } }',
    '{ name: parse_csv }',
    '{ name: parse_csv, config: }',
    '{ name: parse_csv, config: { has_headers: true, threads: 4, delimiter: "${DELIMITER}" }, retry_attempts: "${RETRIES}" }',
    '{ name: "${READER:-read_file}", config: { path: a } }',
    '{ name: format_csv, config: { columns: [a, b] }, x-note: free, on_error: drop }',
    '{ name: map, config: { set: { total: "1", b: 2 } } }',
    '{ name: fetch_api, config: { url: "http://a", token: "${TOKEN}" }, limits: { max_memory_mb: 5 } }',
  ])('takes %s', (yaml) => {
    expect(step(yaml)).toEqual([]);
  });

  it.each([
    '{ name: read_fil, config: { path: a.csv } }',
    '{ name: read_file }',
    '{ name: read_file, config: {} }',
    '{ name: read_file, config: { path: a, pth: b } }',
    '{ name: read_file, config: { path: a, chunk: 4x } }',
    '{ name: parse_csv, config: { headers: true, has_headers: true } }',
    '{ name: parse_csv, config: { threads: 99 } }',
    '{ name: parse_csv, on_error: explode }',
    '{ name: parse_csv, retries: 3 }',
    '{ name: parse_csv, id: 4a }',
    '{ id: nameless }',
  ])('refuses %s', (yaml) => {
    expect(step(yaml)).not.toEqual([]);
  });

  it('takes the sections beside the steps, and refuses unknown ones', () => {
    const rest =
      'max_errors: 1%\ndelivery: exactly_once\nparameters: { day: { type: date } }\nenvironment: { A: 1 }\nmetadata: { version: 1.0 }\nx-team: 1\n';
    expect(pipeline(`pipeline: [{ name: parse_csv }]\n${rest}`)).toEqual([]);
    expect(pipeline(`pipeline: [{ name: parse_csv }]\nmax_errors: many\n`)).not.toEqual([]);
    expect(pipeline(`pipeline: [{ name: parse_csv }]\nparameter: {}\n`)).not.toEqual([]);
    expect(pipeline('pipeline: []')).not.toEqual([]);
  });
});

describe('the JSON Schema of projects', () => {
  it('takes the sections of the specification', () => {
    const yaml = `
project: { name: shop, version: 1.0 }
settings: { output_dir: out, x-more: 1 }
state_manager:
  backend: redis
  redis: { connection_url: "\${REDIS_URL}", cluster_mode: true, pool_size: 10, timeout_ms: 1000, lock_timeout: "45s" }
  nfs: { mount_path: /shared, lock_lease_seconds: 60, cleanup_interval: 5m }
  database: { type: postgresql, postgres: { schema: a }, performance: { batch_size: 1000 } }
  heartbeat_interval: "10s"
monitoring: { interval_seconds: 30, alerts: { cpu_threshold: 80 } }
analytics: { enabled: true, outputs: [{ type: grafana, dashboard_id: a }] }
state: { backend: file, backend_config: { path: a } }
oxis: { parse_json: { version: "1.0" } }
`;
    expect(project(yaml)).toEqual([]);
  });

  it.each(['state_manager: { backend: postgres }', 'setings: {}', 'settings: { output: a }', 'project: [a]'])(
    'refuses %s',
    (yaml) => {
      expect(project(yaml)).not.toEqual([]);
    },
  );
});

describe('oxiflow schema', () => {
  it('knows the config of every oxi there is', () => {
    const check = validator(pipelineSchema(registry));
    for (const name of registry.keys()) {
      expect(check(`pipeline: [{ name: ${name}, config: { no_such_field: 1 } }]`), name).not.toEqual([]);
    }
    const yaml =
      'pipeline: [{ name: read_file, config: { path: [a, b] } }, { name: parse_json }, { name: write_file, config: { path: "${OUT}", create_directories: false } }]';
    expect(check(yaml)).toEqual([]);
  });

  it('prints the schema of both kinds of file, and of no other', async () => {
    expect(JSON.parse(await schemaText('pipeline', oxis))).toEqual(pipelineSchema(oxis));
    expect(JSON.parse(await schemaText('project', oxis))).toEqual(projectSchema());
    const error = await refusal(schemaText('oxi', oxis));
    expect(error.message).toBe('oxiflow schema: must be pipeline, project or manifest, got "oxi"');
    expect(error.exitCode).toBe(2);
  });
});
