/** Which backend keeps the state, and where. Backends load when they are chosen. */
import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { errnoOf, OxiError } from '../engine/errors.ts';
import { networkFileSystem } from './file-system.ts';
import type { StateStore, StoreOptions } from './store.ts';

/** What the project's settings say of the state, environment variables included. */
export interface StoreSettings {
  readonly backend: 'auto' | 'file' | 'nfs' | 'sqlite' | 'redis' | 'http' | 'database';
  /** Folder that relative paths count from. */
  readonly projectRoot: string;
  /** For messages: where the section of the backend stands, and where its address comes from. */
  readonly from?: { readonly section?: string | undefined; readonly address: string } | undefined;
  readonly file?: { readonly basePath?: string | undefined };
  readonly nfs?: { readonly mountPath?: string | undefined; readonly cleanupIntervalMs?: number | undefined };
  readonly sqlite?: { readonly path?: string | undefined };
  readonly redis?: RemoteSettings & {
    readonly keyPrefix?: string | undefined;
    readonly clusterMode?: boolean | undefined;
  };
  readonly database?: RemoteSettings & { readonly type?: string | undefined };
}

interface RemoteSettings {
  /** A secret, or what it reveals where it has to go to a thread. */
  readonly connectionUrl?: { reveal(): string } | string | undefined;
  readonly poolSize?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly lockTimeoutMs?: number | undefined;
}

const KEY_PREFIX = 'oxiflow:state';
const LOCK_TIMEOUT_MS = 30_000;

/** Opens nothing on disk yet: stores do so at the first operation. Throws UNSUPPORTED for backends that are not built in. */
export async function openStore(settings: StoreSettings, options: StoreOptions = {}): Promise<StateStore> {
  switch (settings.backend) {
    case 'auto': {
      const network = await networkFileSystem(join(settings.projectRoot, '.oxiflow'));
      return network === undefined ? openSqlite(settings, options) : openFile(settings, options);
    }
    case 'file':
      return openFile(settings, options);
    case 'nfs': {
      const path = settings.nfs?.mountPath;
      if (path === undefined) throw missing(settings, 'a mount_path, or set OXIFLOW_STATE_URL');
      return openFile({ ...settings, file: { basePath: path } }, options, true);
    }
    case 'sqlite':
      return openSqlite(settings, options);
    case 'redis':
      return openRedis(settings, settings.redis ?? {}, options);
    case 'database':
      if (settings.database?.type === 'sqlite') return openSqlite(settings, options);
      if (settings.database?.type === 'redis') return openRedis(settings, settings.database, options);
      if (settings.database?.type === undefined) throw missing(settings, 'a type: sqlite or redis');
      throw unsupported(settings.database.type);
    default:
      throw unsupported(settings.backend);
  }
}

async function openFile(settings: StoreSettings, options: StoreOptions, shared = false): Promise<StateStore> {
  const { openFileStore } = await import('./file.ts');
  const { projectRoot } = settings;
  const path = resolve(projectRoot, settings.file?.basePath ?? '.oxiflow/state');
  await checkFolder(path, shared, settings.from?.address ?? `state_manager.${settings.backend}`);
  const isInside = path.startsWith(`${resolve(projectRoot)}/`);
  const notesIn = shared || !isInside ? projectRoot : undefined;
  return openFileStore(path, { ...options, shared, notesIn, sweepEveryMs: settings.nfs?.cleanupIntervalMs });
}

/** Throws CONFIG_INVALID where there is no place for the folder of the state. What else is wrong is told when it is used. */
async function checkFolder(path: string, shared: boolean, from: string): Promise<void> {
  const refused = (why: string): OxiError =>
    new OxiError('CONFIG_INVALID', `${from}: ${path} ${why}`, { place: { file: path } });
  const kind = await kindOf(path);
  if (kind === 'file') throw refused('is a file, or below one, and no folder');
  // A share that is not mounted must not be made anew on the disk below it.
  if (shared && kind === 'nothing' && (await kindOf(dirname(path))) === 'nothing')
    throw refused(`can't be made: ${dirname(path)} does not exist; is the share mounted?`);
}

async function kindOf(path: string): Promise<'folder' | 'file' | 'nothing' | 'unknown'> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file';
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 'nothing';
    return errnoOf(error) === 'ENOTDIR' ? 'file' : 'unknown';
  }
}

async function openSqlite(settings: StoreSettings, options: StoreOptions): Promise<StateStore> {
  const { openSqliteStore } = await import('./sqlite.ts');
  return openSqliteStore(databasePath(settings), options);
}

async function openRedis(
  settings: StoreSettings,
  section: NonNullable<StoreSettings['redis']>,
  options: StoreOptions,
): Promise<StateStore> {
  const { connectionUrl: url, keyPrefix = KEY_PREFIX, clusterMode = false, lockTimeoutMs = LOCK_TIMEOUT_MS } = section;
  if (url === undefined) throw missing(settings, 'a connection_url, or set OXIFLOW_STATE_URL');
  const { openRedisStore } = await import('./redis/store.ts');
  const { poolSize, timeoutMs } = section;
  const { projectRoot, from } = settings;
  const addressFrom = from?.address;
  const connectionUrl = revealed(url);
  return openRedisStore(
    { projectRoot, connectionUrl, addressFrom, keyPrefix, clusterMode, poolSize, timeoutMs, lockTimeoutMs },
    { ...options, notes: true },
  );
}

/** Where the backend `sqlite` keeps its file, under its own name or as a `database`. */
export function databasePath({
  projectRoot,
  backend,
  sqlite,
  database,
}: Pick<StoreSettings, 'projectRoot' | 'backend' | 'sqlite' | 'database'>): string {
  const url = backend === 'database' && database?.type === 'sqlite' ? database.connectionUrl : undefined;
  const path = url && revealed(url);
  return resolve(projectRoot, path?.replace(/^(file|sqlite):(\/\/)?/i, '') ?? sqlite?.path ?? '.oxiflow/state.db');
}

function revealed(url: { reveal(): string } | string): string {
  return typeof url === 'string' ? url : url.reveal();
}

function missing({ backend, from }: StoreSettings, what: string): OxiError {
  const place = from?.section === undefined ? '' : `${from.section}: `;
  return new OxiError('CONFIG_INVALID', `${place}state_manager.${backend} needs ${what}`, {
    place: { field: `state_manager.${backend}` },
  });
}

function unsupported(name: string): OxiError {
  return new OxiError(
    'UNSUPPORTED',
    `the state backend "${name}" is not part of this oxiflow; there are: auto, sqlite, file, nfs, redis`,
  );
}
