/** Stores as the program before this one made them: one interrupted run "rides", with a lease of rides-0 that nobody gave back. */

import { hash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { folderName } from '../../runner/state/payload.ts';
import { seal } from '../../runner/state/seal.ts';

const AT = '2026-03-01T10:00:00.000Z';
const LEASE = {
  holder: { workerId: 'rides-0', host: 'depot', bootId: 'long ago', pidSpace: '', pid: 77, startedAt: '5' },
  ttlMs: 30_000,
  renewedMs: 1000,
  beat: 3,
  released: false,
};
const HISTORY = {
  runKey: 'rides',
  runId: 'r-1',
  pipeline: 'rides',
  attempt: 1,
  status: 'failed',
  finishedAt: AT,
  summary: {},
};

/** Format 1 of the backend `file`. */
export async function makeOlderFolder(basePath: string): Promise<void> {
  const folder = join(basePath, 'runs', folderName('rides'));
  const document = { run_key: 'rides', token: 3, written_at: AT, boot_id: 'long ago', removed: false };
  const files = {
    key: { run_key: 'rides' },
    'run.1.json': { ...document, part: 'run', version: 1, body: { status: 'interrupted' }, lease: null },
    'split-0.1.json': { ...document, part: 'split-0', version: 0, body: null, lease: LEASE },
    'split-0.3.json': { ...document, part: 'split-0', version: 2, body: { ride: 2 }, lease: LEASE },
    'request-20260301T100000000-0123456789ab.json': { kind: 'cancel', at: AT, from: 'dispatcher' },
    [`../../history/2026-03-01/20260301T100000000Z-${'1'.padStart(20, '0')}-77.json`]: HISTORY,
  };
  for (const [name, payload] of Object.entries(files)) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, seal(payload, 1));
  }
}

/** Version 1 of the tables of the backend `sqlite`. */
export function makeOlderDatabase(path: string): void {
  using database = new DatabaseSync(path);
  database.exec(`
    CREATE TABLE parts (
      run_key TEXT NOT NULL, part TEXT NOT NULL, version INTEGER NOT NULL, present INTEGER NOT NULL, token INTEGER NOT NULL,
      lease TEXT, removed_at TEXT, PRIMARY KEY (run_key, part)
    ) WITHOUT ROWID;
    CREATE TABLE documents (
      run_key TEXT NOT NULL, part TEXT NOT NULL, version INTEGER NOT NULL, written_at TEXT NOT NULL, body TEXT NOT NULL,
      checksum TEXT NOT NULL, PRIMARY KEY (run_key, part, version)
    ) WITHOUT ROWID;
    CREATE TABLE damaged (
      run_key TEXT, part TEXT, version INTEGER, written_at TEXT, body TEXT, checksum TEXT, set_aside_at TEXT NOT NULL
    );
    CREATE TABLE requests (id INTEGER PRIMARY KEY, run_key TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL, sender TEXT NOT NULL);
    CREATE INDEX requests_by_run ON requests (run_key);
    CREATE TABLE history (
      id INTEGER PRIMARY KEY, run_key TEXT NOT NULL, pipeline TEXT NOT NULL, finished_ms REAL NOT NULL, entry TEXT NOT NULL
    );
    CREATE INDEX history_by_time ON history (finished_ms);
    CREATE TABLE floor (token INTEGER NOT NULL);
    PRAGMA application_id = 0x6f786931;
    PRAGMA user_version = 1;
    PRAGMA journal_mode = WAL;
    INSERT INTO floor VALUES (0);
  `);
  const document = (part: string, version: number, body: string, lease: string | null): void => {
    const checksum = hash('sha256', JSON.stringify(['rides', part, version, AT, body]));
    database.prepare('INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)').run('rides', part, version, AT, body, checksum);
    database.prepare('INSERT INTO parts VALUES (?, ?, ?, 1, 3, ?, NULL)').run('rides', part, version, lease);
  };
  document('run', 1, '{"status":"interrupted"}', null);
  document('split-0', 2, '{"ride":2}', JSON.stringify(LEASE));
  database.prepare("INSERT INTO requests VALUES (1, 'rides', 'cancel', ?, 'dispatcher')").run(AT);
  database
    .prepare("INSERT INTO history VALUES (1, 'rides', 'rides', ?, ?)")
    .run(Date.parse(AT), JSON.stringify(HISTORY));
}
