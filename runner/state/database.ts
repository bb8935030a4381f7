/**
 * The SQLite file of the backend `sqlite`: made whole or not at all (an empty file is damage, never a first run), opened
 * in WAL mode, its errors turned into ours. Transactions are immediate; a busy database is asked again, not waited for.
 */
import { randomBytes } from 'node:crypto';
import { link, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, OxiError } from '../engine/errors.ts';
import { dropLeftovers, makeFolder, remove } from './chain.ts';
import { corrupt, newer, stateIoError } from './faults.ts';
import { processTag } from './host.ts';
import type { Grade } from './store.ts';

/** `PRAGMA user_version` of the tables below. */
const SCHEMA_VERSION = 2;
/** "oxi1": tells our files from other databases. */
const APPLICATION_ID = 0x6f786931;
/** How long a busy database is asked again before it counts as out of reach. */
const BUSY_MS = 10_000;
/** SQLite's primary result codes (https://sqlite.org/rescode.html). */
const SQLITE = { perm: 3, busy: 5, locked: 6, readonly: 8, ioerr: 10, corrupt: 11, full: 13, cantopen: 14, notadb: 26 };

const SCHEMA = `
  CREATE TABLE parts (
    run_key TEXT NOT NULL, part TEXT NOT NULL,
    version INTEGER NOT NULL,   -- counts writes of the body, removals included
    present INTEGER NOT NULL,   -- 1: documents holds that version
    token INTEGER NOT NULL,
    lease TEXT,                 -- JSON, or NULL
    removed_at TEXT,
    PRIMARY KEY (run_key, part)
  ) WITHOUT ROWID;
  CREATE TABLE documents (
    run_key TEXT NOT NULL, part TEXT NOT NULL, version INTEGER NOT NULL,
    written_at TEXT NOT NULL, body TEXT NOT NULL,
    checksum TEXT NOT NULL,     -- over all other columns
    PRIMARY KEY (run_key, part, version)
  ) WITHOUT ROWID;
  CREATE TABLE damaged (
    run_key TEXT, part TEXT, version INTEGER, written_at TEXT, body TEXT, checksum TEXT, set_aside_at TEXT NOT NULL
  );
  CREATE TABLE requests (
    id INTEGER PRIMARY KEY, run_key TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL, sender TEXT NOT NULL,
    worker TEXT,                -- NULL: meant for all
    forced INTEGER              -- 1, or NULL
  );
  CREATE INDEX requests_by_run ON requests (run_key);
  CREATE TABLE history (
    id INTEGER PRIMARY KEY, run_key TEXT NOT NULL, pipeline TEXT NOT NULL,
    finished_ms REAL NOT NULL,  -- since the epoch
    entry TEXT NOT NULL
  );
  CREATE INDEX history_by_time ON history (finished_ms);
  CREATE TABLE floor (token INTEGER NOT NULL);  -- every new token is above it
`;

/** `MIGRATIONS[n]` turns tables of version n + 1 into those of version n + 2. */
const MIGRATIONS = ['ALTER TABLE requests ADD COLUMN worker TEXT; ALTER TABLE requests ADD COLUMN forced INTEGER'];

export interface Database extends Disposable {
  readonly path: string;
  sql(text: string): StatementSync;
  /**
   * Runs `work` in one transaction: it sees one moment, and what it writes survives what `grade` says. `work` is
   * synchronous: no other operation of this process comes in between.
   */
  transact<T>(grade: Grade | 'read only', work: () => T): Promise<T>;
}

/** Opens the database, and makes it where there is none. */
export async function openDatabase(path: string): Promise<Database> {
  try {
    if (!(await databaseExists(path))) await makeDatabase(path, 0);
    const database = new SqliteDatabase(path, new (await loadSqlite()).DatabaseSync(path));
    try {
      await database.migrate();
    } catch (error) {
      database[Symbol.dispose]();
      throw error;
    }
    return database;
  } catch (error) {
    throw sqliteError(error, path);
  }
}

/** Makes an empty database; false where somebody else made one meanwhile. `floor`: tokens begin above it. */
export async function makeDatabase(path: string, floor: number): Promise<boolean> {
  const folder = dirname(path);
  await makeFolder(folder);
  await dropLeftovers(folder);
  const temporary = `${folder}/tmp.other.0.${processTag()}.${randomBytes(6).toString('hex')}`;
  try {
    const database = new (await loadSqlite()).DatabaseSync(temporary);
    try {
      database.exec('PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL');
      database.exec(
        `BEGIN; ${SCHEMA} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`,
      );
      database.prepare('INSERT INTO floor VALUES (?)').run(floor);
      database.exec('COMMIT; PRAGMA journal_mode = WAL');
    } finally {
      database.close();
    }
    const file = await open(temporary, 'r');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
    await link(temporary, path);
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    return false;
  } finally {
    for (const suffix of ['', '-wal', '-shm', '-journal']) await remove(temporary + suffix);
  }
}

class SqliteDatabase implements Database {
  readonly path: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #synchronous: 'NORMAL' | 'FULL' | undefined;

  constructor(path: string, database: DatabaseSync) {
    this.path = path;
    this.#database = database;
    try {
      database.exec('PRAGMA busy_timeout = 50');
      if (this.#number('application_id') !== APPLICATION_ID) {
        // Not called corrupt: `state repair` would set somebody's own database aside.
        throw new OxiError(
          'CONFIG_INVALID',
          `${path}: is a database, but not one of oxiflow; set state_manager.sqlite.path to another file`,
          { place: { file: path } },
        );
      }
      this.#format();
      database.exec('PRAGMA journal_mode = WAL');
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Brings the tables of an earlier version forward, in one transaction: whoever comes second finds them done. */
  async migrate(): Promise<void> {
    if (this.#format() === SCHEMA_VERSION) return;
    await this.transact('hard', () => {
      for (const step of MIGRATIONS.slice(this.#format() - 1)) this.#database.exec(step);
      this.#database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    });
  }

  #format(): number {
    const format = this.#number('user_version');
    if (format > SCHEMA_VERSION) throw newer(this.path, format, SCHEMA_VERSION);
    if (format < 1) throw corrupt(this.path, 'it has no format version', undefined);
    return format;
  }

  #number(pragma: string): number {
    return Number(Object.values(this.#database.prepare(`PRAGMA ${pragma}`).get() ?? {})[0]);
  }

  sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#database.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  async transact<T>(grade: Grade | 'read only', work: () => T): Promise<T> {
    const until = performance.now() + BUSY_MS;
    for (;;) {
      try {
        this.#begin(grade);
        const result = work();
        this.#database.exec('COMMIT');
        return result;
      } catch (error) {
        if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
        if (resultCode(error) !== SQLITE.busy || performance.now() > until) throw sqliteError(error, this.path);
      }
      await delay(5 + Math.random() * 20);
    }
  }

  #begin(grade: Grade | 'read only'): void {
    if (grade === 'read only') {
      this.#database.exec('BEGIN');
      return;
    }
    // In WAL mode NORMAL writes without a sync (survives the process), FULL syncs each commit and all before it.
    const synchronous = grade === 'hard' ? 'FULL' : 'NORMAL';
    if (this.#synchronous !== synchronous) this.#database.exec(`PRAGMA synchronous = ${synchronous}`);
    this.#synchronous = synchronous;
    this.#database.exec('BEGIN IMMEDIATE');
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    this.#database.close();
  }
}

/** SQLite would take an empty file for a new database. A log without its database is damage as well. */
export async function databaseExists(path: string): Promise<boolean> {
  const size = await sizeOf(path);
  if (size === 0) throw corrupt(path, 'it is empty', undefined);
  if (size === undefined && ((await sizeOf(`${path}-wal`)) ?? 0) > 0) {
    // Made between our two looks, or really gone.
    if ((await sizeOf(path)) === undefined) throw corrupt(path, 'it is gone, its log (-wal) is still there', undefined);
    return true;
  }
  return size !== undefined;
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

let loading: Promise<typeof import('node:sqlite')> | undefined;

/** Node 22 calls node:sqlite experimental on stderr; that one warning is kept back, all others pass. */
export function loadSqlite(): Promise<typeof import('node:sqlite')> {
  loading ??= (async () => {
    const emit = process.emitWarning;
    process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
      if (!(rest[0] === 'ExperimentalWarning' && String(warning).includes('SQLite'))) {
        Reflect.apply(emit, process, [warning, ...rest]);
      }
    }) as typeof process.emitWarning;
    try {
      return await import('node:sqlite');
    } finally {
      process.emitWarning = emit;
    }
  })();
  return loading;
}

/** The primary result code of an error of SQLite, or undefined. */
function resultCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
    ? error.errcode & 0xff
    : undefined;
}

export function sqliteError(error: unknown, path: string, runKey?: string): unknown {
  const options = { place: { file: path }, cause: error };
  const text = error instanceof Error ? error.message : '';
  switch (resultCode(error)) {
    case undefined:
      return stateIoError(error, path);
    case SQLITE.busy:
    case SQLITE.locked:
      return new OxiError(
        'STATE_UNREACHABLE',
        `${path}: locked by another program for more than ${BUSY_MS / 1000} s; end it and start again`,
        options,
      );
    case SQLITE.perm:
    case SQLITE.readonly:
    case SQLITE.cantopen:
      return new OxiError('PERMISSION_DENIED', `${path}: can't be opened for writing (${text})`, options);
    case SQLITE.full:
      return stateIoError(Object.assign(new Error(text, { cause: error }), { code: 'ENOSPC' }), path);
    case SQLITE.ioerr:
      return new OxiError('IO_FAILED', `${path}: ${text}`, options);
    default:
      // Malformed, not a database, or tables that are not those that we made.
      return corrupt(path, text, runKey, error);
  }
}
