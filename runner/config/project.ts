/** Loads oxiflow.yaml: the project, its folders, default variables and where state is kept. A folder without one has defaults. */
import { join, resolve } from 'node:path';
import type { $ZodType, output } from 'zod/v4/core';
import { OxiError } from '../engine/errors.ts';
import { Secret } from '../engine/secret.ts';
import { type DecodeContext, decode } from './decode.ts';
import { Environment, layered, readEnvFile } from './environment.ts';
import { findProjectRoot, isFolder, PROJECT_FILE, readText, shownPath } from './files.ts';
import { didYouMean, listNames } from './nearest.ts';
import { Problems, placeText, problem, type Where } from './problems.ts';
import {
  BACKENDS,
  backendSchemas,
  DEFAULT_INTERVALS,
  DEFAULT_SETTINGS,
  environmentSchema,
  sectionSchemas,
  stateManagerSchema,
} from './project-schema.ts';
import { SecretRegistry } from './redact.ts';
import type { Scope } from './references.ts';
import { type BackendName, backendOfUrl, lockTimeoutMs, type StateSettings, stateSettings } from './state-settings.ts';
import { type MapNode, type Node, parseTree } from './tree.ts';

export interface Project {
  /** Absolute path of the folder that relative paths count from. */
  readonly root: string;
  /** Absolute path of oxiflow.yaml, where there is one. */
  readonly file: string | undefined;
  readonly name: string | undefined;
  readonly version: string | undefined;
  readonly description: string | undefined;
  readonly settings: { readonly outputDir: string; readonly pipelineDir: string; readonly oxisDir: string };
  /** The project's own defaults for `${VAR}`; `--env-file` and the real environment win over them. */
  readonly environment: ReadonlyMap<string, string>;
  /** What `--env-file` holds. */
  readonly envFile: ReadonlyMap<string, string>;
  readonly state: StateSettings;
  readonly checkpointIntervalMs: number;
  readonly heartbeatIntervalMs: number;
  /** A run in which nothing moves for so long is stuck; 0: never. */
  readonly stuckAfterMs: number;
  /** Of the chosen backend. */
  readonly lockTimeoutMs: number;
  readonly monitoring: output<ReturnType<typeof sectionSchemas.monitoring>> | undefined;
  readonly analytics: output<ReturnType<typeof sectionSchemas.analytics>> | undefined;
  /** Things that have no effect, for -v. */
  readonly notices: readonly string[];
  /** Every secret that the configuration revealed so far. */
  readonly secrets: SecretRegistry;
}

export interface LoadProjectOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The folder must hold an oxiflow.yaml. */
  readonly mustExist?: boolean | undefined;
  /** `--project` was given: `start` is the project, no folder above it is searched. */
  readonly exact?: boolean | undefined;
  /** The pipeline's name or path as given: a path decides on the project. */
  readonly pipeline?: string | undefined;
  /** Path of `--env-file`, from the working directory. */
  readonly envFile?: string | undefined;
  /** `--state-backend`. */
  readonly stateBackend?: string | undefined;
}

/** Throws ConfigErrors, OxiError PERMISSION_DENIED, COMMAND_INVALID (env file, backend). */
export async function loadProject(start: string, options: LoadProjectOptions): Promise<Project> {
  const root = options.exact === true ? resolve(start) : await findProjectRoot(start, options.pipeline);
  const path = join(root, PROJECT_FILE);
  const text = await readText(path, PROJECT_FILE);
  if (text === undefined && options.mustExist === true) {
    throw new OxiError('CONFIG_INVALID', `${root}: is no project, it has no ${PROJECT_FILE}`, {
      place: { file: path },
    });
  }
  if (text === undefined && options.exact === true && !(await isFolder(root)))
    throw new OxiError('COMMAND_INVALID', `--project ${start}: no such folder`, { place: { file: root } });
  const envFile = options.envFile === undefined ? new Environment() : await readEnvFile(options.envFile);
  const problems = new Problems();
  // Every field has a default, so an empty file is a project like one without a file.
  const tree = text === undefined || text.trim() === '' ? undefined : parseTree(text, shownPath(root, path), problems);
  problems.throwIfAny();
  const reader = new ProjectReader(root, tree, problems, layered([Object.entries(options.env), envFile]));
  const project = reader.read(options);
  problems.throwIfAny();
  return { ...project, file: text === undefined ? undefined : path, envFile };
}

const ADDRESS_FIELDS: Partial<Record<BackendName, string>> = {
  file: 'base_path',
  nfs: 'mount_path',
  sqlite: 'path',
  redis: 'connection_url',
  http: 'base_url',
  database: 'connection_url',
};

class ProjectReader {
  readonly #root: string;
  readonly #sections: MapNode | undefined;
  readonly #problems: Problems;
  readonly #secrets = new SecretRegistry();
  readonly #notices: string[] = [];
  #variables: ReadonlyMap<string, string>;

  constructor(root: string, tree: Node | undefined, problems: Problems, outer: ReadonlyMap<string, string>) {
    this.#root = root;
    this.#problems = problems;
    this.#variables = outer;
    if (tree !== undefined && tree.kind !== 'map')
      throw problem(tree.where, 'must be a map of sections such as "project:" and "settings:"');
    this.#sections = tree;
  }

  read(options: LoadProjectOptions): Omit<Project, 'file' | 'envFile'> {
    this.#refuseUnknown();
    const environment = new Environment(Object.entries(this.#section('environment', environmentSchema) ?? {}));
    this.#variables = layered([this.#variables, environment]);
    const project = this.#section('project', sectionSchemas.project);
    const settings = this.#section('settings', sectionSchemas.settings) ?? {
      ...DEFAULT_SETTINGS,
      stuck_after: undefined,
    };
    for (const old of ['oxis', 'analytics'] as const) {
      const entry = this.#sections?.entries.get(old);
      if (entry !== undefined) this.#noEffect(entry.key, old);
    }
    this.#section('oxis', sectionSchemas.oxis);
    const { manager, state } = this.#state(options);
    return {
      root: this.#root,
      name: project?.name,
      version: project?.version,
      description: project?.description,
      settings: { outputDir: settings.output_dir, pipelineDir: settings.pipeline_dir, oxisDir: settings.oxis_dir },
      environment,
      state,
      checkpointIntervalMs: manager.checkpoint_interval ?? DEFAULT_INTERVALS.checkpoint,
      heartbeatIntervalMs: manager.heartbeat_interval ?? DEFAULT_INTERVALS.heartbeat,
      stuckAfterMs: settings.stuck_after ?? DEFAULT_INTERVALS.stuck,
      lockTimeoutMs: lockTimeoutMs(state),
      monitoring: this.#section('monitoring', sectionSchemas.monitoring),
      analytics: this.#section('analytics', sectionSchemas.analytics),
      notices: this.#notices,
      secrets: this.#secrets,
    };
  }

  #refuseUnknown(): void {
    const known = ['environment', 'state_manager', ...Object.keys(sectionSchemas)];
    for (const [name, { key }] of this.#sections?.entries ?? []) {
      if (known.includes(name) || name.startsWith('x-')) continue;
      this.#problems.add(
        key,
        `unknown section "${name}"${didYouMean(name, known)} allowed: ${listNames(known)}`.replace(
          '" allowed',
          '"; allowed',
        ),
      );
    }
  }

  #section<T>(name: string, schema: () => $ZodType<T>): T | undefined {
    const node = this.#sections?.entries.get(name)?.value;
    return node === undefined ? undefined : decode(schema(), node, this.#context(name)).value;
  }

  #context(field: string, problems = this.#problems): DecodeContext {
    const scope: Scope = {
      variable: (name) => this.#variables.get(name),
      step: () => ({ known: false, problem: 'references to steps belong in a pipeline, under config' }),
    };
    return { problems, about: { field }, scope, secrets: this.#secrets, freeKeys: true };
  }

  #noEffect(where: Where, name: string): void {
    this.#notices.push(`${where.file}:${where.line}: "${name}" is read but has no effect yet`);
  }

  #state(options: LoadProjectOptions): {
    manager: Partial<output<ReturnType<typeof stateManagerSchema>>>;
    state: StateSettings;
  } {
    const node = this.#sections?.entries.get('state_manager')?.value;
    const entries = node?.kind === 'map' ? node.entries : new Map<string, { key: Where; value: Node }>();
    const own: Node | undefined =
      node?.kind === 'map'
        ? { ...node, entries: new Map([...entries].filter(([name]) => !Object.hasOwn(backendSchemas, name))) }
        : node;
    const managed = own === undefined ? undefined : decode(stateManagerSchema(), own, this.#stateContext()).value;
    const cleanup = entries.get('cleanup_interval');
    if (cleanup !== undefined) this.#noEffect(cleanup.key, 'state_manager.cleanup_interval');
    const older = this.#olderState(node !== undefined);
    const url = this.#variables.get('OXIFLOW_STATE_URL');
    const backend = chosenBackend(
      options.stateBackend,
      managed?.backend ?? 'auto',
      older.backend,
      this.#variables.get('OXIFLOW_STATE_BACKEND'),
      url,
    );
    const sections: Record<string, unknown> = { ...older.sections };
    for (const [name, schema] of Object.entries(backendSchemas)) {
      const section = entries.get(name)?.value;
      if (section === undefined) continue;
      sections[name] = this.#backendSection(name, schema(), section, name === backend);
      for (const old of ['backup_enabled', 'backup_retention']) {
        const entry = section.kind === 'map' ? section.entries.get(old) : undefined;
        if (entry !== undefined) this.#noEffect(entry.key, `state_manager.${name}.${old}`);
      }
    }
    const secretUrl = url === undefined || url === '' ? undefined : new Secret(url);
    if (url !== undefined) this.#secrets.addPasswords(url);
    const section = entries.get(backend);
    const named = section ?? (managed?.backend === backend ? entries.get('backend') : undefined);
    const from = {
      section: named === undefined ? undefined : placeText(named.key),
      address: this.#addressFrom(backend, section?.value),
    };
    const state = stateSettings(backend, this.#root, sections, { url: secretUrl, from });
    const heartbeat = entries.get('heartbeat_interval')?.value.where;
    const lease = lockTimeoutMs(state);
    if (heartbeat !== undefined && (managed?.heartbeat_interval ?? 0) > lease / 2)
      this.#problems.add(
        heartbeat,
        `must be at most half of lock_timeout (${lease / 1000} s), so that a lease outlives a heartbeat that comes late`,
        { field: 'state_manager.heartbeat_interval' },
      );
    return { manager: managed ?? {}, state };
  }

  #stateContext(): DecodeContext {
    return { ...this.#context('state_manager'), others: Object.keys(backendSchemas) };
  }

  /** Where the address of the backend stands: in its section, or in the variable. */
  #addressFrom(backend: BackendName, section: Node | undefined): string {
    const field = ADDRESS_FIELDS[backend];
    const entry = section?.kind === 'map' && field !== undefined ? section.entries.get(field) : undefined;
    return entry === undefined
      ? 'OXIFLOW_STATE_URL'
      : `${placeText(entry.value.where)}: state_manager.${backend}.${field}`;
  }

  /** The section of a backend that is not chosen may name variables that are not set: it is left out then. */
  #backendSection(name: string, schema: $ZodType, node: Node, chosen: boolean): unknown {
    const field = `state_manager.${name}`;
    if (chosen) return decode(schema, node, this.#context(field)).value;
    let unset = false;
    const context = this.#context(field);
    const scope: Scope = {
      step: context.scope.step,
      variable: (variable) => {
        const value = this.#variables.get(variable);
        unset ||= value === undefined;
        return value;
      },
    };
    const apart = new Problems();
    const { value } = decode(schema, node, { ...context, problems: apart, scope });
    if (apart.count > 0 && !unset) decode(schema, node, context);
    return value;
  }

  /** The key of the oldest projects: `state: {backend, backend_config}`. */
  #olderState(replaced: boolean): { backend: BackendName | undefined; sections: Record<string, unknown> } {
    const state = this.#section('state', sectionSchemas.state);
    const key = this.#sections?.entries.get('state')?.key;
    if (state === undefined || key === undefined) return { backend: undefined, sections: {} };
    const backend = BACKENDS.find((name) => name === state.backend);
    if (replaced || (backend === undefined && state.backend !== undefined)) {
      this.#noEffect(key, 'state');
      return { backend: undefined, sections: {} };
    }
    const config = state.backend_config ?? {};
    const text = (...names: string[]) => names.map((name) => config[name]).find((value) => typeof value === 'string');
    const connection = text('connection_url', 'url');
    const secret = connection === undefined ? undefined : new Secret(connection);
    if (connection !== undefined) this.#secrets.addPasswords(connection);
    const path = text('base_path', 'path');
    const sections: Record<string, unknown> = {
      file: { base_path: path },
      sqlite: { path },
      redis: { connection_url: secret },
      http: { base_url: secret },
    };
    return { backend, sections: backend === undefined ? {} : { [backend]: sections[backend] } };
  }
}

function chosenBackend(
  option: string | undefined,
  managed: BackendName,
  older: BackendName | undefined,
  variable: string | undefined,
  url: string | undefined,
): BackendName {
  const from = (text: string, source: string): BackendName => {
    const found = BACKENDS.find((name) => name === text);
    if (found !== undefined) return found;
    throw new OxiError(
      'COMMAND_INVALID',
      `${source}: must be one of ${BACKENDS.join(', ')}, got ${JSON.stringify(text.slice(0, 60))}`,
    );
  };
  const named =
    option !== undefined ? from(option, '--state-backend') : managed !== 'auto' ? managed : (older ?? 'auto');
  if (named !== 'auto') return named;
  if (variable !== undefined && variable !== '') return from(variable, 'OXIFLOW_STATE_BACKEND');
  if (url === undefined || url === '') return 'auto';
  const byScheme = backendOfUrl(url);
  if (byScheme !== undefined) return byScheme;
  throw new OxiError(
    'COMMAND_INVALID',
    'OXIFLOW_STATE_URL: must begin with redis:, rediss:, unix:, http:, https:, file: or sqlite:',
  );
}
