/** The rows of the backend `sqlite`, their checksums, and how they are written. */
import { hash } from 'node:crypto';
import type { Database } from './database.ts';
import { corrupt } from './faults.ts';
import { type LeaseRecord, parseLease } from './lease.ts';
import { isMeant, parseRequest, type RequestFilter } from './requests.ts';
import { isObject } from './seal.ts';
import type { Json, Lease, Part, RunRequest, StoredDocument } from './store.ts';

export type Body = { [key: string]: Json };

/** A row of `parts`. */
export interface PartRow {
  run_key: string;
  part: Part;
  version: number;
  present: number;
  token: number;
  lease: string | null;
  removed_at: string | null;
}

/** A row of `documents`. */
export interface DocumentRow {
  run_key: string;
  part: Part;
  version: number;
  written_at: string;
  body: string;
  checksum: string;
}

/** The document that a row of parts names; throws where it is damaged or missing. */
export function documentOf(database: Database, row: PartRow | undefined): StoredDocument | undefined {
  if (row === undefined || row.present === 0) return undefined;
  const found = database
    .sql('SELECT * FROM documents WHERE run_key = ? AND part = ? AND version = ?')
    .get(row.run_key, row.part, row.version) as DocumentRow | undefined;
  const body = found === undefined ? undefined : readBody(found);
  if (found === undefined || body === undefined) {
    const reason = found === undefined ? 'is missing' : 'does not match its checksum';
    throw corrupt(database.path, `document ${row.part} of run "${row.run_key}" ${reason}`, row.run_key);
  }
  return { version: row.version, token: row.token, writtenAt: found.written_at, body };
}

/** Tokens begin above it: 0, but for a database that took the place of a damaged one. */
export function tokenFloor(database: Database): number {
  return Number(database.sql('SELECT token FROM floor').get()?.token ?? 0);
}

/** Tokens are compared across the documents of a run, so each new one is above all of them. */
export function highestToken(database: Database, runKey: string): number {
  const row = database.sql('SELECT max(token) AS token FROM parts WHERE run_key = ?').get(runKey);
  return Math.max(Number(row?.token ?? 0), tokenFloor(database));
}

export function putPart(database: Database, row: PartRow): void {
  database
    .sql(
      'INSERT OR REPLACE INTO parts (run_key, part, version, present, token, lease, removed_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
    )
    .run(row.run_key, row.part, row.version, row.present, row.token, row.lease, row.removed_at);
}

export function insertDocument(database: Database, row: Omit<DocumentRow, 'checksum'>): void {
  database
    .sql('INSERT INTO documents (run_key, part, version, written_at, body, checksum) VALUES (?, ?, ?, ?, ?, ?)')
    .run(row.run_key, row.part, row.version, row.written_at, row.body, checksumOf(row));
}

/** Bodies go, tokens and the removing lease stay: whoever held an earlier token is still turned away. */
export function removeRun(database: Database, lease: Pick<Lease, 'runKey' | 'part' | 'token'>): void {
  database.sql('DELETE FROM documents WHERE run_key = ?').run(lease.runKey);
  database
    .sql(`UPDATE parts SET version = version + 1, present = 0, removed_at = ?, token = max(token, ?),
          lease = CASE WHEN part = ? THEN lease END WHERE run_key = ?`)
    .run(now(), lease.token, lease.part, lease.runKey);
  clearRequests(database, lease.runKey);
}

/** The open requests of a run in the order in which they came, each with the number of its row. */
export function openRequests(database: Database, runKey: string): { id: number; request: RunRequest }[] {
  const rows = database.sql('SELECT * FROM requests WHERE run_key = ? ORDER BY id').all(runKey);
  return rows.map(({ id, kind, worker, forced, at, sender }) => {
    const fields = {
      kind,
      at,
      from: sender,
      ...(worker === null ? {} : { worker }),
      ...(forced === 1 ? { force: true } : {}),
    };
    const request = parseRequest(fields as Body);
    if (request === undefined) throw corrupt(database.path, 'it holds an unknown request', runKey);
    return { id: Number(id), request };
  });
}

export function clearRequests(database: Database, runKey: string, which?: RequestFilter): void {
  if (which === undefined) {
    database.sql('DELETE FROM requests WHERE run_key = ?').run(runKey);
    return;
  }
  for (const { id, request } of openRequests(database, runKey)) {
    if (isMeant(request, which)) database.sql('DELETE FROM requests WHERE id = ?').run(id);
  }
}

/** How long the row of a worker that went stays, so that a late write of it is turned away. */
const TOMBSTONE_MS = 3_600_000;

/** Document and lease go; the row stays for a while with a token that the last holder does not have. */
export function removePart(database: Database, row: PartRow): void {
  database.sql('DELETE FROM documents WHERE run_key = ? AND part = ?').run(row.run_key, row.part);
  const gone = { ...row, version: row.version + 1, present: 0, token: row.token + 1, lease: null, removed_at: now() };
  putPart(database, gone);
}

/** Rows of workers that went a while ago; the one with a run's highest token stays, so that tokens go on growing. */
export function dropTombstones(database: Database): void {
  database
    .sql(`DELETE FROM parts AS p WHERE present = 0 AND lease IS NULL AND removed_at <= ?
          AND part GLOB 'worker-*' AND token < (SELECT max(token) FROM parts AS o WHERE o.run_key = p.run_key)`)
    .run(new Date(Date.now() - TOMBSTONE_MS).toISOString());
}

function checksumOf(row: Omit<DocumentRow, 'checksum'>): string {
  return hash('sha256', JSON.stringify([row.run_key, row.part, row.version, row.written_at, row.body]));
}

/** The body of a row, or undefined where it is damaged. */
export function readBody(row: DocumentRow): Body | undefined {
  if (checksumOf(row) !== row.checksum) return undefined;
  const body = parseJson(row.body);
  return isObject(body) ? body : undefined;
}

export function leaseOf(row: PartRow | undefined, location: string): LeaseRecord | undefined {
  if (row === undefined || row.lease === null) return undefined;
  const lease = parseLease(parseJson(row.lease));
  if (lease === undefined) throw corrupt(location, `the lease of run "${row.run_key}" is damaged`, row.run_key);
  return lease;
}

export function parseJson(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return null;
  }
}

export function isPast(at: string | null, cutoffMs: number): boolean {
  return at !== null && Date.parse(at) <= cutoffMs;
}

export function now(): string {
  return new Date().toISOString();
}
