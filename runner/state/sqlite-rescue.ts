/**
 * What can still be read of a database that is damaged as a whole, for the one that takes its place: documents that fit their
 * checksums, the history, no leases and no requests. Rows are read from both ends, up to where the damage is.
 */
import type { DatabaseSync } from 'node:sqlite';
import { type Database, loadSqlite } from './database.ts';
import { finishedMs } from './faults.ts';
import { parseHistory } from './history.ts';
import { checkPart } from './parts.ts';
import {
  type DocumentRow,
  insertDocument,
  type PartRow,
  parseJson,
  putPart,
  readBody,
  tokenFloor,
} from './sqlite-rows.ts';

/** Returns the parts that are there again. */
export async function rescue(from: string, into: Database): Promise<Pick<PartRow, 'run_key' | 'part' | 'version'>[]> {
  const { DatabaseSync } = await loadSqlite();
  let damaged: DatabaseSync;
  try {
    // What was set aside stays as it is.
    damaged = new DatabaseSync(from, { readOnly: true });
  } catch {
    return [];
  }
  try {
    const parts = rowsOf<PartRow>(damaged, 'parts', ['run_key', 'part']).filter(isPart);
    const documents = rowsOf<DocumentRow>(damaged, 'documents', ['run_key', 'part', 'version'])
      .filter((row) => isPart(row) && readBody(row) !== undefined)
      .sort((a, b) => a.version - b.version);
    const history = rowsOf<{ id: number; entry: string }>(damaged, 'history', ['id']).sort((a, b) => a.id - b.id);
    return await into.transact('hard', () => {
      for (const { entry } of history) putHistory(into, entry);
      return putParts(into, parts, documents);
    });
  } finally {
    damaged.close();
  }
}

function rowsOf<T>(database: DatabaseSync, table: string, key: readonly (keyof T & string)[]): T[] {
  const found = new Map<string, T>();
  for (const direction of ['ASC', 'DESC']) {
    try {
      const order = key.map((column) => `${column} ${direction}`).join(', ');
      for (const row of database.prepare(`SELECT * FROM ${table} ORDER BY ${order}`).iterate() as Iterable<T>)
        found.set(JSON.stringify(key.map((column) => row[column])), row);
    } catch {
      // Behind it nothing can be read from this end.
    }
  }
  return [...found.values()];
}

function isPart({ run_key, part, version }: Pick<PartRow, 'run_key' | 'part' | 'version'>): boolean {
  if (typeof run_key !== 'string' || !Number.isSafeInteger(version)) return false;
  try {
    checkPart(part);
    return true;
  } catch {
    return false;
  }
}

function putParts(
  into: Database,
  parts: readonly PartRow[],
  documents: readonly DocumentRow[],
): Pick<PartRow, 'run_key' | 'part' | 'version'>[] {
  const signOf = ({ run_key, part }: Pick<PartRow, 'run_key' | 'part'>): string => `${part} ${run_key}`;
  const known = new Map(parts.map((row) => [signOf(row), row]));
  const newest = new Map(documents.map((row) => [signOf(row), row]));
  // Above all tokens of the old database, in their order.
  const floor = tokenFloor(into);
  const there: Pick<PartRow, 'run_key' | 'part' | 'version'>[] = [];
  for (const [sign, row] of known) {
    const isLost = row.present === 1 && !newest.has(sign);
    if (row.present === 1 && !isLost) continue;
    putPart(into, { ...row, version: row.version + 1, present: 0, token: floor + row.token, lease: null });
    newest.delete(sign);
  }
  for (const [sign, document] of newest) {
    const row = known.get(sign);
    const { run_key, part } = document;
    const version =
      row?.version === document.version ? document.version : Math.max(row?.version ?? 0, document.version) + 1;
    insertDocument(into, { ...document, version });
    const token = floor + (row?.token ?? 0);
    putPart(into, { run_key, part, version, present: 1, token, lease: null, removed_at: null });
    there.push({ run_key, part, version });
  }
  return there;
}

function putHistory(into: Database, text: unknown): void {
  const entry = typeof text === 'string' ? parseHistory(parseJson(text)) : undefined;
  if (entry === undefined || Number.isNaN(Date.parse(entry.finishedAt))) return;
  into
    .sql('INSERT INTO history (run_key, pipeline, finished_ms, entry) VALUES (?, ?, ?, ?)')
    .run(entry.runKey, entry.pipeline, finishedMs(entry), JSON.stringify(entry));
}
