/** The rows of the backend `sqlite`, their checksums, and how they are written. */
import { hash } from 'node:crypto';
import type { Database } from './database.ts';
import { corrupt } from './faults.ts';
import { type LeaseRecord, parseLease } from './lease.ts';
import { isObject } from './seal.ts';
import type { Json, Lease, Part, StoredDocument } from './store.ts';

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

export function clearRequests(database: Database, runKey: string): void {
  database.sql('DELETE FROM requests WHERE run_key = ?').run(runKey);
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
