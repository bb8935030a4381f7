/** Where the state of runs is kept: what `state_manager` says, as the stores take it. */
import type { output } from 'zod/v4/core';
import type { Secret } from '../engine/secret.ts';
import type { BACKENDS, backendSchemas } from './project-schema.ts';

export type BackendName = (typeof BACKENDS)[number];

type Sections = { [Name in keyof typeof backendSchemas]: output<ReturnType<(typeof backendSchemas)[Name]>> };

/** For messages on the backend that was chosen: where its section stands, if anywhere, and where its address comes from. */
export interface StateSource {
  readonly section?: string | undefined;
  readonly address: string;
}

/** Settings of every backend that has some; times in milliseconds, addresses with passwords as Secret. */
export interface StateSettings {
  /** What was chosen: the command line, else the file, else OXIFLOW_STATE_BACKEND, else the kind of OXIFLOW_STATE_URL, else auto. */
  readonly backend: BackendName;
  /** Folder that relative paths count from. */
  readonly projectRoot: string;
  readonly from: StateSource;
  readonly file: { readonly basePath?: string | undefined; readonly lockTimeoutMs: number };
  readonly nfs: {
    readonly mountPath?: string | undefined;
    readonly lockTimeoutMs: number;
    readonly cleanupIntervalMs?: number | undefined;
  };
  readonly sqlite: { readonly path?: string | undefined; readonly lockTimeoutMs: number };
  readonly redis: {
    readonly connectionUrl?: Secret | undefined;
    readonly keyPrefix: string;
    readonly lockTimeoutMs: number;
    readonly clusterMode: boolean;
    readonly poolSize?: number | undefined;
    readonly timeoutMs?: number | undefined;
  };
  readonly http: {
    readonly baseUrl?: Secret | undefined;
    readonly authToken?: Secret | undefined;
    readonly lockTimeoutMs: number;
    readonly retryAttempts: number;
    readonly timeoutMs?: number | undefined;
  };
  readonly database: {
    readonly type?: Sections['database']['type'] | undefined;
    readonly connectionUrl?: Secret | undefined;
    readonly lockTimeoutMs: number;
    readonly poolSize?: number | undefined;
    readonly timeoutMs?: number | undefined;
  };
}

/** How long a lease lasts where nothing is said, in milliseconds. */
const LOCK_TIMEOUT_MS = 30_000;

/** `url` is the address from OXIFLOW_STATE_URL: it serves the backend where its section names none. */
export function stateSettings(
  backend: BackendName,
  projectRoot: string,
  sections: Partial<Sections>,
  { url, from }: { url: Secret | undefined; from: StateSource },
): StateSettings {
  const { file, nfs, sqlite, redis, http, database } = sections;
  const lease = nfs?.lock_lease_seconds;
  const own = (name: BackendName) => (backend === name ? url : undefined);
  const path = url === undefined ? undefined : pathOf(url.reveal(), backend);
  return {
    backend,
    projectRoot,
    from,
    file: {
      basePath: file?.base_path ?? (backend === 'file' ? path : undefined),
      lockTimeoutMs: file?.lock_timeout ?? LOCK_TIMEOUT_MS,
    },
    nfs: {
      mountPath: nfs?.mount_path ?? (backend === 'nfs' ? path : undefined),
      lockTimeoutMs: nfs?.lock_timeout ?? (lease === undefined ? LOCK_TIMEOUT_MS : lease * 1000),
      cleanupIntervalMs: nfs?.cleanup_interval,
    },
    sqlite: {
      path: sqlite?.path ?? (backend === 'sqlite' ? path : undefined),
      lockTimeoutMs: sqlite?.lock_timeout ?? (backend === 'auto' ? file?.lock_timeout : undefined) ?? LOCK_TIMEOUT_MS,
    },
    redis: {
      connectionUrl: redis?.connection_url ?? own('redis'),
      keyPrefix: redis?.key_prefix ?? 'oxiflow:state',
      lockTimeoutMs: redis?.lock_timeout ?? LOCK_TIMEOUT_MS,
      clusterMode: redis?.cluster_mode ?? false,
      poolSize: redis?.pool_size,
      timeoutMs: redis?.timeout_ms,
    },
    http: {
      baseUrl: http?.base_url ?? own('http'),
      authToken: http?.auth_token,
      lockTimeoutMs: http?.lock_timeout ?? LOCK_TIMEOUT_MS,
      retryAttempts: http?.retry_attempts ?? 3,
      timeoutMs: http?.timeout_ms,
    },
    database: {
      type: database?.type,
      connectionUrl: database?.connection_url ?? own('database'),
      lockTimeoutMs: database?.lock_timeout ?? LOCK_TIMEOUT_MS,
      poolSize: database?.pool_size,
      timeoutMs: database?.timeout_seconds === undefined ? undefined : database.timeout_seconds * 1000,
    },
  };
}

/** The path that an address names for a backend of files: `sqlite:///data/state.db`, or a plain path; not what is meant for another backend. */
function pathOf(url: string, backend: BackendName): string | undefined {
  const kind = backendOfUrl(url);
  const isFolder = kind === 'file' && backend === 'nfs';
  if (kind === undefined ? /^[a-z][a-z0-9+.-]*:/i.test(url) : kind !== backend && !isFolder) return undefined;
  return url.replace(/^(file|sqlite):(\/\/)?/i, '');
}

/** The lease time of the chosen backend, in milliseconds; `auto` is SQLite, with the file backend's time where its own is not given. */
export function lockTimeoutMs(settings: StateSettings): number {
  return settings[settings.backend === 'auto' ? 'sqlite' : settings.backend].lockTimeoutMs;
}

/** The backend that an address belongs to, by its scheme. */
export function backendOfUrl(url: string): BackendName | undefined {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  switch (scheme) {
    case 'redis':
    case 'rediss':
    case 'unix':
      return 'redis';
    case 'http':
    case 'https':
      return 'http';
    case 'file':
      return 'file';
    case 'sqlite':
      return 'sqlite';
    default:
      return undefined;
  }
}
