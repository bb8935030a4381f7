import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { listPipelines } from '../../runner/config/files.ts';
import { loadPipeline } from '../../runner/config/pipeline.ts';
import { type LoadProjectOptions, loadProject, type Project } from '../../runner/config/project.ts';
import { oxis, projectFolder, refusal } from './fixtures.ts';

async function project(text: string, options: Partial<LoadProjectOptions> = {}): Promise<Project> {
  using folder = projectFolder({ 'oxiflow.yaml': text });
  return await loadProject(folder.root, { env: {}, exact: true, ...options });
}

/** The state_manager sections of the specification, all at once, with variables that are not set. */
const SPECIFICATION = `
project: { name: shop, version: 1.0, description: Orders and rides }
settings: { output_dir: out, pipeline_dir: flows, oxis_dir: own }
environment: { REGION: eu, DAYS: 7 }
state_manager:
  backend: auto
  file: { base_path: ".oxiflow/state", lock_timeout: "30s", backup_enabled: true, backup_retention: 7 }
  redis:
    connection_url: "\${REDIS_URL:-redis://localhost:6379}"
    key_prefix: "oxiflow:state"
    lock_timeout: "45s"
    cluster_mode: true
    pool_size: 10
    timeout_ms: 1000
  nfs: { mount_path: "/shared/oxiflow/state", lock_lease_seconds: 60, cleanup_interval: "5m" }
  http: { base_url: "\${STATE_SERVICE_URL}", auth_token: "\${STATE_SERVICE_TOKEN}", retry_attempts: 5 }
  database:
    type: postgresql
    connection_url: "\${DATABASE_URL}"
    pool_size: 10
    timeout_seconds: 30
    postgres: { schema: "oxiflow_state", partition_strategy: "by_pipeline" }
    mongodb: { database: "oxiflow", collection: "pipeline_states" }
    performance: { batch_size: 1000, cache_size_mb: 256, index_optimization: true }
  heartbeat_interval: "5s"
  checkpoint_interval: "1m"
monitoring:
  interval_seconds: 30
  output_format: json
  metrics_file: "metrics/pipeline_stats.json"
  real_time_dashboard: true
  alerts: { cpu_threshold: 80, memory_threshold: 512, error_rate_threshold: 0.05 }
analytics:
  enabled: true
  retention_days: 90
  metrics_interval: "30s"
  outputs:
    - { type: prometheus, endpoint: "http://prometheus:9090" }
    - { type: grafana, dashboard_id: "oxiflow-state" }
oxis: { parse_json: { version: "1.0", source: builtin, description: JSON } }
x-team: { anything: [goes] }
`;

describe('a project', () => {
  it('of the specification loads as it stands, with notices on what has no effect', async () => {
    const loaded = await project(SPECIFICATION);
    expect(loaded).toMatchObject({
      name: 'shop',
      version: '1.0',
      settings: { outputDir: 'out', pipelineDir: 'flows', oxisDir: 'own' },
      checkpointIntervalMs: 60_000,
      heartbeatIntervalMs: 5000,
      lockTimeoutMs: 30_000,
      monitoring: { interval_seconds: 30 },
      state: {
        backend: 'auto',
        file: { basePath: '.oxiflow/state', lockTimeoutMs: 30_000 },
        nfs: { mountPath: '/shared/oxiflow/state', lockTimeoutMs: 60_000, cleanupIntervalMs: 300_000 },
        redis: { keyPrefix: 'oxiflow:state', lockTimeoutMs: 45_000, clusterMode: true, poolSize: 10, timeoutMs: 1000 },
      },
    });
    expect(loaded.state.redis.connectionUrl?.reveal()).toBe('redis://localhost:6379');
    expect(Object.fromEntries(loaded.environment)).toEqual({ REGION: 'eu', DAYS: '7' });
    expect(loaded.notices.map((notice) => /"(.*)"/.exec(notice)?.[1])).toEqual([
      'oxis',
      'analytics',
      'state_manager.file.backup_enabled',
      'state_manager.file.backup_retention',
    ]);
  });

  it('without a file has defaults', async () => {
    using folder = projectFolder({});
    expect(await loadProject(folder.root, { env: {}, exact: true })).toMatchObject({
      root: folder.root,
      file: undefined,
      name: undefined,
      settings: { outputDir: 'output', pipelineDir: 'pipelines', oxisDir: 'oxis' },
      checkpointIntervalMs: 30_000,
      heartbeatIntervalMs: 10_000,
      lockTimeoutMs: 30_000,
      notices: [],
    });
    const error = await refusal(loadProject(folder.root, { env: {}, exact: true, mustExist: true }));
    expect(error.message).toBe(`${folder.root}: is no project, it has no oxiflow.yaml`);
  });

  it('needs the variables of the backend that is chosen, by whichever way', async () => {
    const backend = async (options: Partial<LoadProjectOptions>) =>
      (await refusal(project(SPECIFICATION, options))).message;
    expect(await backend({ stateBackend: 'http' })).toContain(
      'field "state_manager.http.base_url": ${STATE_SERVICE_URL} is not set',
    );
    expect(await backend({ env: { OXIFLOW_STATE_BACKEND: 'http' } })).toContain('${STATE_SERVICE_URL} is not set');
    expect(await backend({ env: { OXIFLOW_STATE_URL: 'https://state' } })).toContain('${STATE_SERVICE_URL} is not set');
    expect(await backend({ env: { OXIFLOW_STATE_URL: 'ftp://canary@host' } })).toBe(
      'OXIFLOW_STATE_URL: must begin with redis:, rediss:, unix:, http:, https:, file: or sqlite:',
    );
    expect(await backend({ stateBackend: 'reddis' })).toContain('--state-backend: must be one of auto, file, nfs');
    expect((await project(SPECIFICATION, { stateBackend: 'redis' })).lockTimeoutMs).toBe(45_000);
    const env = { STATE_SERVICE_URL: 'http://state', STATE_SERVICE_TOKEN: 'canary-token' };
    const { state } = await project(SPECIFICATION, { stateBackend: 'http', env });
    expect(state.http).toMatchObject({ retryAttempts: 5 });
    expect(state.http.authToken?.reveal()).toBe('canary-token');
  });

  it.each([
    ['lock_timeout: 0s', '4:19: field "state_manager.redis.lock_timeout": must be at least 1s'],
    ['lock_timeout: 1ms', 'must be at least 1s'],
    ['lock_timeout: 8s', '5:23: field "state_manager.heartbeat_interval": must be at most half of lock_timeout (8 s)'],
  ])('refuses a lease that no heartbeat keeps: %s', async (lock, sentence) => {
    const manager = `state_manager:\n  backend: redis\n  redis:\n    ${lock}\n  heartbeat_interval: 5s\n`;
    expect((await refusal(project(manager))).message).toContain(sentence);
  });

  it('takes the lock_timeout of file for auto where sqlite has none', async () => {
    const file = 'file: { lock_timeout: 7s }';
    expect(await project(`state_manager: { ${file} }`)).toMatchObject({ lockTimeoutMs: 7000 });
    const both = `state_manager: { ${file}, sqlite: { lock_timeout: 9s } }`;
    expect(await project(both)).toMatchObject({ lockTimeoutMs: 9000 });
    expect(await project(`state_manager: { backend: sqlite, ${file} }`)).toMatchObject({ lockTimeoutMs: 30_000 });
  });

  it('names what state_manager takes, its backends among it', async () => {
    const { message } = await refusal(project('state_manager: { redsi: {} }'));
    expect(message).toContain('did you mean "redis"? allowed: ');
    expect(message).toContain('file, nfs, sqlite, redis');
  });

  it('takes the folder of files from OXIFLOW_STATE_URL', async () => {
    const of = async (backend: string, url: string) =>
      (await project('project: {}', { env: { OXIFLOW_STATE_BACKEND: backend, OXIFLOW_STATE_URL: url } })).state;
    expect(await of('nfs', '/x')).toMatchObject({ backend: 'nfs', nfs: { mountPath: '/x' } });
    expect(await of('nfs', 'file:///x')).toMatchObject({ backend: 'nfs', nfs: { mountPath: '/x' } });
    expect(await of('file', '/x')).toMatchObject({ backend: 'file', file: { basePath: '/x' } });
    expect(await of('nfs', 'redis://x')).toMatchObject({ nfs: { mountPath: undefined } });
  });

  it('takes an address of the state from OXIFLOW_STATE_URL, and nothing from REDIS_URL alone', async () => {
    const { state } = await project('project: {}', { env: { OXIFLOW_STATE_URL: 'redis://:canary@host/1' } });
    expect(state.backend).toBe('redis');
    expect(state.redis.connectionUrl?.reveal()).toBe('redis://:canary@host/1');
    expect((await project('project: {}', { env: { REDIS_URL: 'redis://host' } })).state.backend).toBe('auto');
  });

  it('reads the oldest spelling of the state, unless the newer one is there', async () => {
    const old = 'state: { backend: file, backend_config: { path: old/state } }\n';
    expect((await project(old)).state).toMatchObject({ backend: 'file', file: { basePath: 'old/state' } });
    const both = await project(`${old}state_manager: { backend: sqlite }\n`);
    expect(both.state.backend).toBe('sqlite');
    expect(both.notices).toEqual(['oxiflow.yaml:1: "state" is read but has no effect yet']);
    expect((await project('state: { backend: memory }')).notices).toHaveLength(1);
  });

  it.each([
    ['setings: {}', 'oxiflow.yaml:1:1: unknown section "setings"; did you mean "settings"? allowed: '],
    [
      'settings: { output: a }',
      'oxiflow.yaml:1:13: field "settings": unknown field "output"; allowed: output_dir, pipeline_dir, oxis_dir, stuck_after',
    ],
    [
      'state_manager: { backend: postgres }',
      'field "state_manager.backend": must be one of auto, file, nfs, sqlite, redis, http, database, got "postgres"',
    ],
    [
      'state_manager: { checkpoint_interval: 30 }',
      'field "state_manager.checkpoint_interval": must be a duration such as "500ms", "30s", "5m", "2h" or "1d", got "30"',
    ],
    [
      'state_manager: { redis: { pool_size: none } }',
      'field "state_manager.redis.pool_size": must be a whole number, got "none"',
    ],
    [
      'monitoring: { output_format: xml }',
      'field "monitoring.output_format": must be one of json, csv, prometheus, got "xml"',
    ],
    ['monitoring: { interval_seconds: 0 }', 'field "monitoring.interval_seconds": must be at least 0.1, got 0'],
    [
      'monitoring: { interval_seconds: 4000000 }',
      'field "monitoring.interval_seconds": must be at most 86400, got 4000000',
    ],
    [
      'monitoring: { alerts: { error_rate_threshold: 5 } }',
      'field "monitoring.alerts.error_rate_threshold": must be at most 1, got 5',
    ],
    ['environment: { A: "${steps.a.b}" }', 'references to steps belong in a pipeline, under config'],
    ['[]', 'must be a map of sections such as "project:" and "settings:"'],
  ])('refuses %s', async (text, message) => {
    expect((await refusal(project(text))).message).toContain(message);
  });

  it('takes variables of --env-file', async () => {
    using folder = projectFolder({ 'oxiflow.yaml': 'project: { name: "${NAME}" }', 'prod.env': 'NAME=shop' });
    const options = { env: {}, exact: true, envFile: join(folder.root, 'prod.env') };
    expect((await loadProject(folder.root, options)).name).toBe('shop');
  });
});

const PIPELINE = 'pipeline: [{ name: parse_csv }]\n';

describe('the file of a pipeline', () => {
  const files = {
    'oxiflow.yaml': 'project: {}',
    'pipelines/orders.yaml': PIPELINE,
    'pipelines/nightly/rides.yml': PIPELINE,
    'secret.yaml': PIPELINE,
  };

  it('is found by its name, also in a subfolder, and by its path from anywhere', async () => {
    using folder = projectFolder(files);
    const open = async (name: string, workingFolder = folder.root) => {
      const loaded = await loadProject(workingFolder, { env: {}, pipeline: name });
      expect(loaded.root).toBe(folder.root);
      return (await loadPipeline(loaded, name, { oxis, env: {}, workingFolder })).name;
    };
    expect(await open('orders')).toBe('orders');
    expect(await open('nightly/rides')).toBe('nightly/rides');
    expect(await open('orders', join(folder.root, 'pipelines'))).toBe('orders');
    expect(await open('pipelines/orders.yaml')).toBe('orders');
    expect(await open('../pipelines/nightly/rides.yml', join(folder.root, 'pipelines'))).toBe('nightly/rides');
    expect(await open('secret.yaml')).toBe('secret');
    expect((await listPipelines(folder.root, 'pipelines')).map(({ name }) => name)).toEqual([
      'nightly/rides',
      'orders',
    ]);
  });

  it('without a project file belongs to its folder, or to the parent of a folder called pipelines', async () => {
    using folder = projectFolder({ 'pipelines/orders.yaml': PIPELINE, 'elsewhere/rides.yaml': PIPELINE });
    const root = async (pipeline: string) => (await loadProject(folder.root, { env: {}, pipeline })).root;
    expect(await root('pipelines/orders.yaml')).toBe(folder.root);
    expect(await root('elsewhere/rides.yaml')).toBe(join(folder.root, 'elsewhere'));
  });

  it.each([
    ['order', 'no pipeline "order" in pipelines/; did you mean "orders"?'],
    ['sensors', 'no pipeline "sensors" in pipelines/; there are: nightly/rides, orders'],
    ['../secret', 'no pipeline "../secret" in pipelines/; there are: nightly/rides, orders'],
    ['nightly/../../secret', 'no pipeline "nightly/../../secret" in pipelines/; there are: nightly/rides, orders'],
    ['/etc/passwd', 'no pipeline "/etc/passwd" in pipelines/; there are: nightly/rides, orders'],
    ['orders\0', 'no pipeline "orders\\u0000" in pipelines/; did you mean "orders"?'],
    ['a\0.yaml', 'no pipeline "a\\u0000.yaml" in pipelines/; there are: nightly/rides, orders'],
    ['', 'no pipeline "" in pipelines/; there are: nightly/rides, orders'],
    ['gone.yaml', 'no pipeline "gone.yaml"; there are: nightly/rides, orders'],
    ['nightly', 'no pipeline "nightly" in pipelines/; there are: nightly/rides, orders'],
  ])('named %j is not there: exit 125', async (name, message) => {
    using folder = projectFolder(files);
    const loaded = await loadProject(folder.root, { env: {}, exact: true });
    const error = await refusal(loadPipeline(loaded, name, { oxis, env: {}, workingFolder: folder.root }));
    expect(error).toMatchObject({ message, exitCode: 125 });
  });

  it('that may not be read ends with 126', async () => {
    using folder = projectFolder(files);
    const path = join(folder.root, 'pipelines/orders.yaml');
    chmodSync(path, 0);
    const loaded = await loadProject(folder.root, { env: {}, exact: true });
    if (process.getuid?.() === 0) {
      // The superuser may read everything: a loop of links is the nearest that the system refuses.
      chmodSync(path, 0o644);
      symlinkSync('loop.yaml', join(folder.root, 'pipelines/loop.yaml'));
      expect((await refusal(loadPipeline(loaded, 'loop', { oxis, env: {} }))).code).toBe('IO_FAILED');
    } else {
      expect((await refusal(loadPipeline(loaded, 'orders', { oxis, env: {} }))).exitCode).toBe(126);
    }
  });

  it('that is a folder, or no UTF-8, is refused', async () => {
    using folder = projectFolder(files);
    mkdirSync(join(folder.root, 'pipelines/nested.yaml'));
    writeFileSync(join(folder.root, 'pipelines/latin.yaml'), Buffer.from('pipeline: [{ name: caf\xe9 }]', 'latin1'));
    const loaded = await loadProject(folder.root, { env: {}, exact: true });
    expect((await refusal(loadPipeline(loaded, 'nested', { oxis, env: {} }))).exitCode).toBe(125);
    const latin = await refusal(loadPipeline(loaded, 'latin', { oxis, env: {} }));
    expect(latin.message).toBe('pipelines/latin.yaml: is not UTF-8 text');
  });
});
