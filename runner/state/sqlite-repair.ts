/** Damage in the database of the backend `sqlite`: found before anybody is told that a run is not there, and mended. */
import type { Database } from './database.ts';
import { corrupt } from './faults.ts';
import { parseLease } from './lease.ts';
import { type DocumentRow, insertDocument, now, type PartRow, parseJson, putPart, readBody } from './sqlite-rows.ts';
import type { Part } from './store.ts';

/** Damaged rows go to the table `damaged`; the version before takes their place, with a higher number and token. */
export function repairRows(
  database: Database,
  runKey: string,
): { quarantined: string[]; restored: { part: Part; version: number }[] } {
  checkPages(database);
  const quarantined: string[] = [];
  const restored: { part: Part; version: number }[] = [];
  for (const row of withKnown(database)) {
    const { run_key, part, version } = row;
    // A damaged key belongs to nobody: whoever repairs first sets it aside.
    if (readBody(row) !== undefined || (run_key !== runKey && row.known !== null)) continue;
    database
      .sql('INSERT INTO damaged SELECT *, ? FROM documents WHERE run_key = ? AND part = ? AND version = ?')
      .run(now(), run_key, part, version);
    database.sql('DELETE FROM documents WHERE run_key = ? AND part = ? AND version = ?').run(run_key, part, version);
    quarantined.push(`${database.path}, table damaged: ${run_key} ${part} version ${version}`);
  }
  for (const row of database.sql('SELECT * FROM parts WHERE run_key = ?').all(runKey) as unknown as PartRow[]) {
    const newest =
      row.present === 0
        ? undefined
        : (database
            .sql('SELECT * FROM documents WHERE run_key = ? AND part = ? ORDER BY version DESC LIMIT 1')
            .get(runKey, row.part) as DocumentRow | undefined);
    const isWhole = row.present === 0 || newest?.version === row.version;
    const isLeaseWhole = row.lease === null || parseLease(parseJson(row.lease)) !== undefined;
    if (isWhole && isLeaseWhole) continue;
    const version = row.version + 1;
    if (newest !== undefined) {
      insertDocument(database, { ...newest, version, written_at: now() });
      restored.push({ part: row.part, version });
    }
    putPart(database, { ...row, version, present: newest === undefined ? 0 : 1, token: row.token + 1, lease: null });
  }
  for (const { run_key, part, version, known } of withKnown(database)) {
    if (known !== null) continue;
    // Its row in parts is gone, and with it the token: go on far above any that there was.
    const token = Math.floor(Date.now() / 1000);
    putPart(database, { run_key, part, version, present: 1, token, lease: null, removed_at: null });
    if (run_key === runKey) restored.push({ part, version });
  }
  return { quarantined, restored };
}

/** All documents, in the order of their versions, with the version that `parts` names; null where it knows of none. */
function withKnown(database: Database): (DocumentRow & { known: number | null })[] {
  return database
    .sql(`SELECT d.*, p.version AS known FROM documents AS d LEFT JOIN parts AS p USING (run_key, part)
          ORDER BY d.run_key, d.part, d.version`)
    .all() as unknown as (DocumentRow & { known: number | null })[];
}

function checkPages(database: Database): void {
  const [first] = database.sql('PRAGMA integrity_check(1)').all();
  const verdict = Object.values(first ?? {})[0];
  if (verdict !== 'ok') throw corrupt(database.path, String(verdict), undefined);
}

/** Throws where damage could hide a row from those who look for it; damage to a body is told to those who read that. */
export function verify(database: Database): void {
  checkPages(database);
  const hidden = withKnown(database).find((row) => row.known === null);
  if (hidden === undefined) return;
  throw corrupt(database.path, `document ${hidden.part} of run "${hidden.run_key}" has lost its entry`, hidden.run_key);
}
