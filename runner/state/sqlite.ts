/**
 * The backend `sqlite`: one database beside the project, each operation one immediate transaction. Soft writes survive the
 * process, hard ones are synced. Bodies carry a checksum, and the version before the newest is kept for `repair`.
 */
import { rename } from 'node:fs/promises';
import { errnoOf, isCorrupt } from '../engine/errors.ts';
import { acquireAnew } from './anew.ts';
import { type Database, databaseExists, makeDatabase, openDatabase, sqliteError } from './database.ts';
import { aboutRun, checkBody, checkRunKey, corrupt, finishedMs, isPrunable, lost } from './faults.ts';
import { parseHistory } from './history.ts';
import { type LeaseRecord, LeaseWatch } from './lease.ts';
import { byNewestWrite, byPart, checkPart } from './parts.ts';
import type { RequestFilter } from './requests.ts';
import { repairRows, verify } from './sqlite-repair.ts';
import { rescue } from './sqlite-rescue.ts';
import {
  type Body,
  clearRequests,
  documentOf,
  dropTombstones,
  highestToken,
  insertDocument,
  isPast,
  leaseOf,
  now,
  openRequests,
  type PartRow,
  parseJson,
  putPart,
  removePart,
  removeRun,
  tokenFloor,
} from './sqlite-rows.ts';
import type * as store from './store.ts';

export function openSqliteStore(path: string, options: store.StoreOptions = {}): store.StateStore {
  return new SqliteStore(path, options);
}

const NO_DOCUMENT = { version: 0, writtenAt: '' };

class SqliteStore implements store.StateStore {
  readonly backend = 'sqlite';
  readonly ordered = true;
  readonly location: string;
  readonly #watch: LeaseWatch;
  readonly #warn: (text: string) => void;
  #opening: Promise<Database> | undefined;
  #verified = false;

  constructor(path: string, options: store.StoreOptions) {
    this.location = path;
    this.#watch = new LeaseWatch(options);
    this.#warn = options.warn ?? (() => undefined);
  }

  async read(runKey: string, part: store.Part): Promise<store.StoredDocument | undefined> {
    checkRunKey(runKey);
    return this.#look(undefined, (database) => documentOf(database, this.#part(database, runKey, part))).catch(
      (error) => {
        throw aboutRun(error, runKey);
      },
    );
  }

  async write(
    runKey: string,
    part: store.Part,
    document: { expected: number; token: number; body: Body; grade: store.Grade },
  ): Promise<store.WriteResult> {
    checkRunKey(runKey);
    checkBody(document.body);
    return this.#change(document.grade, (database): store.WriteResult => {
      const row = this.#part(database, runKey, part);
      // Nothing new is built upon what is damaged.
      documentOf(database, row);
      const stored = { version: row?.present === 1 ? row.version : 0, token: row?.token ?? tokenFloor(database) };
      if (document.token < stored.token) return { written: false, reason: 'fenced', ...stored };
      if (document.expected !== stored.version) return { written: false, reason: 'conflict', ...stored };
      const version = (row?.version ?? 0) + 1;
      const written = { run_key: runKey, part, version, written_at: now(), body: JSON.stringify(document.body) };
      insertDocument(database, written);
      database
        .sql('DELETE FROM documents WHERE run_key = ? AND part = ? AND version < ?')
        .run(runKey, part, version - 1);
      // A token from elsewhere (that of split-0 in the run's document) ends the lease of a lower one.
      const record = document.token > stored.token ? undefined : leaseOf(row, this.location);
      const lease = record === undefined ? null : JSON.stringify(record.released ? record : this.#renewed(record));
      putPart(database, { run_key: runKey, part, version, present: 1, token: document.token, lease, removed_at: null });
      return { written: true, version };
    });
  }

  async acquire(
    runKey: string,
    part: store.Part,
    holder: store.Holder,
    ttlMs: number,
    how: { force?: boolean; fresh?: boolean } = {},
  ): Promise<store.AcquireResult> {
    checkRunKey(runKey);
    // A machine that forgets a token in a crash has lost its holder too.
    const acquire = (): Promise<store.AcquireResult> =>
      this.#change('soft', (database) => this.#take(database, runKey, part, holder, ttlMs, how.force)).catch(
        (error) => {
          throw aboutRun(error, runKey);
        },
      );
    // Not the whole database: other runs are in it, too.
    const repair = () => this.#repairRows(runKey);
    return how.fresh ? acquireAnew(this, runKey, { acquire, repair, warn: this.#warn }) : acquire();
  }

  async claim(
    runKey: string,
    parts: readonly store.Part[],
    holder: store.Holder,
    ttlMs: number,
  ): Promise<Extract<store.AcquireResult, { acquired: true }> | undefined> {
    checkRunKey(runKey);
    return this.#change('soft', (database) => {
      for (const part of parts) {
        const taken = this.#take(database, runKey, part, holder, ttlMs);
        if (taken.acquired) return taken;
      }
      return undefined;
    }).catch((error) => {
      throw aboutRun(error, runKey);
    });
  }

  renew(lease: store.Lease): Promise<boolean> {
    return this.#change('soft', (database) => {
      const row = this.#part(database, lease.runKey, lease.part);
      const record = this.#held(row, lease);
      if (row === undefined || record === undefined) return false;
      putPart(database, { ...row, lease: JSON.stringify(this.#renewed(record)) });
      return true;
    });
  }

  release(lease: store.Lease): Promise<void> {
    return this.#change('soft', (database) => {
      const row = this.#part(database, lease.runKey, lease.part);
      const record = this.#held(row, lease);
      if (row !== undefined && record !== undefined) {
        putPart(database, { ...row, lease: JSON.stringify({ ...record, released: true }) });
      }
    });
  }

  standing(runKey: string, part: store.Part): Promise<store.LeaseStanding | undefined> {
    checkRunKey(runKey);
    return this.#look(undefined, (database) => {
      const row = this.#part(database, runKey, part);
      const record = leaseOf(row, this.location);
      return row === undefined || record === undefined
        ? undefined
        : this.#watch.show(`${part} ${runKey}`, row.token, record);
    });
  }

  async parts(runKey: string, prefix = ''): Promise<store.PartStanding[]> {
    checkRunKey(runKey);
    return this.#look([], (database) => {
      this.#verifyOnce(database);
      const rows = database
        .sql(
          'SELECT p.*, d.written_at FROM parts AS p LEFT JOIN documents AS d USING (run_key, part, version) WHERE run_key = ?',
        )
        .all(runKey) as unknown as (PartRow & { written_at: string | null })[];
      const found: store.PartStanding[] = [];
      for (const row of rows.filter(({ part }) => part.startsWith(prefix))) {
        const record = leaseOf(row, this.location);
        const lease = record && this.#watch.show(`${row.part} ${runKey}`, row.token, record);
        if (row.present === 0 && lease === undefined) continue;
        const document = row.present === 1 ? { version: row.version, writtenAt: row.written_at ?? '' } : NO_DOCUMENT;
        found.push({ part: row.part, ...document, lease });
      }
      return found.sort(byPart);
    });
  }

  list(): Promise<{ runKey: string; run?: store.StoredDocument; error?: string }[]> {
    return this.#look([], (database) => {
      this.#verifyOnce(database);
      const rows = database.sql("SELECT * FROM parts WHERE part = 'run' AND present = 1").all() as unknown as PartRow[];
      const found = rows.map((row): { runKey: string; run?: store.StoredDocument; error?: string } => {
        try {
          const run = documentOf(database, row);
          return run === undefined ? { runKey: row.run_key } : { runKey: row.run_key, run };
        } catch (error) {
          if (!isCorrupt(error)) throw error;
          return { runKey: row.run_key, error: error.message };
        }
      });
      return found.sort(byNewestWrite);
    });
  }

  async request(runKey: string, request: store.RunRequest): Promise<void> {
    checkRunKey(runKey);
    await this.#change('soft', (database) => {
      database
        .sql('INSERT INTO requests (run_key, kind, worker, forced, at, sender) VALUES (?, ?, ?, ?, ?, ?)')
        .run(runKey, request.kind, request.worker ?? null, request.force ? 1 : null, request.at, request.from);
    });
  }

  requests(runKey: string): Promise<store.RunRequest[]> {
    return this.#look([], (database) => openRequests(database, runKey).map(({ request }) => request));
  }

  async clearRequests(runKey: string, which?: RequestFilter): Promise<void> {
    await this.#change('soft', (database) => clearRequests(database, runKey, which));
  }

  appendHistory(entry: store.HistoryEntry): Promise<void> {
    return this.#change('soft', (database) => {
      database
        .sql('INSERT INTO history (run_key, pipeline, finished_ms, entry) VALUES (?, ?, ?, ?)')
        .run(entry.runKey, entry.pipeline, finishedMs(entry), JSON.stringify(entry));
    });
  }

  history(filter: { runKey?: string; pipeline?: string; limit?: number } = {}): Promise<store.HistoryEntry[]> {
    return this.#look([], (database) =>
      database
        .sql(`SELECT entry FROM history WHERE (?1 IS NULL OR run_key = ?1) AND (?2 IS NULL OR pipeline = ?2)
              ORDER BY finished_ms DESC, id DESC LIMIT ?3`)
        .all(filter.runKey ?? null, filter.pipeline ?? null, filter.limit ?? -1)
        .map((row) => {
          const entry = parseHistory(parseJson(String(row.entry)));
          if (entry === undefined) throw corrupt(this.location, 'a history entry is damaged', filter.runKey);
          return entry;
        }),
    );
  }

  async repair(runKey: string): ReturnType<store.StateStore['repair']> {
    checkRunKey(runKey);
    try {
      return await this.#repairRows(runKey);
    } catch (error) {
      // A newer format is nobody's damage: `use the newer oxiflow` stands.
      const beyondRows = isCorrupt(error) && !error.message.includes('newer');
      if (!beyondRows) throw error;
    }
    this.#warn(
      `${this.location} is damaged as a whole: it is set aside with all of its runs, and what can be read of them goes into a new one`,
    );
    await this.close();
    const stamp = now().replaceAll(':', '');
    const quarantined: string[] = [];
    for (const suffix of ['-wal', '-shm', '']) {
      const aside = `${this.location}.corrupt-${stamp}${suffix}`;
      try {
        await rename(this.location + suffix, aside);
        quarantined.push(aside);
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw sqliteError(error, this.location, runKey);
      }
    }
    // Whoever still holds a token of the old file must not fit the new one: no run ever takes so many leases.
    await makeDatabase(this.location, Math.floor(Date.now() / 1000));
    const aside = quarantined.at(-1);
    const there = aside === undefined ? [] : await rescue(aside, await this.#open());
    const restored = there.filter((row) => row.run_key === runKey).map(({ part, version }) => ({ part, version }));
    const rescued = there.filter((row) => row.part === 'run' && row.run_key !== runKey).map((row) => row.run_key);
    return { quarantined, restored, rescued };
  }

  #repairRows(runKey: string): ReturnType<store.StateStore['repair']> {
    return this.#change('hard', (database) => {
      this.#verified = false;
      return repairRows(database, runKey);
    });
  }

  remove(lease: store.Lease): Promise<void> {
    return this.#change('hard', (database) => {
      const row = this.#part(database, lease.runKey, lease.part);
      if (this.#held(row, lease) === undefined) throw lost(lease);
      removeRun(database, lease);
    });
  }

  removePart(lease: store.Lease): Promise<void> {
    return this.#change('soft', (database) => {
      const row = this.#part(database, lease.runKey, lease.part);
      if (row === undefined || this.#held(row, lease) === undefined) throw lost(lease);
      removePart(database, row);
    });
  }

  prune(maxAgeMs: number): Promise<{ runs: number; history: number }> {
    const cutoff = Date.now() - maxAgeMs;
    return this.#change('soft', (database) => {
      let runs = 0;
      const all = database.sql("SELECT * FROM parts WHERE part = 'run'").all() as unknown as PartRow[];
      for (const row of all) {
        const removedAt = row.present === 1 ? undefined : row.removed_at;
        if (removedAt === undefined ? !this.#isPrunable(database, row, cutoff) : !isPast(removedAt, cutoff)) continue;
        if (this.#isHeld(database, row.run_key)) continue;
        if (removedAt === undefined) {
          removeRun(database, { runKey: row.run_key, part: 'run', token: row.token });
          runs++;
          // Removed long ago: by now nobody can hold a token of it.
        } else database.sql('DELETE FROM parts WHERE run_key = ?').run(row.run_key);
      }
      dropTombstones(database);
      const { changes } = database.sql('DELETE FROM history WHERE finished_ms <= ?').run(cutoff);
      return { runs, history: Number(changes) };
    });
  }

  async close(): Promise<void> {
    const opening = this.#opening;
    this.#opening = undefined;
    this.#verified = false;
    // What can't be opened needs no closing.
    (await opening?.catch(() => undefined))?.[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #take(
    database: Database,
    runKey: string,
    part: store.Part,
    holder: store.Holder,
    ttlMs: number,
    force?: boolean,
  ): store.AcquireResult {
    const row = this.#part(database, runKey, part);
    const record = leaseOf(row, this.location);
    const standing = row && record && this.#watch.judge(`${part} ${runKey}`, row.token, record, { force });
    if (standing?.over === false) {
      return { acquired: false, holder: standing.holder, remainingMs: standing.remainingMs };
    }
    documentOf(database, row);
    const token = highestToken(database, runKey) + 1;
    const taken: LeaseRecord = { holder, ttlMs, renewedMs: this.#watch.now(), beat: 0, released: false };
    putPart(database, {
      ...(row ?? { run_key: runKey, part, version: 0, present: 0, removed_at: null }),
      token,
      lease: JSON.stringify(taken),
    });
    const lease = { runKey, part, token, ttlMs, holder };
    return standing === undefined
      ? { acquired: true, lease }
      : { acquired: true, lease, predecessor: standing.predecessor };
  }

  #renewed(record: LeaseRecord): LeaseRecord {
    return { ...record, renewedMs: this.#watch.now(), beat: record.beat + 1 };
  }

  #isHeld(database: Database, runKey: string): boolean {
    const rows = database.sql('SELECT * FROM parts WHERE run_key = ?').all(runKey) as unknown as PartRow[];
    return rows.some((row) => {
      const record = leaseOf(row, this.location);
      return record !== undefined && !this.#watch.judge(`${row.part} ${runKey}`, row.token, record).over;
    });
  }

  #isPrunable(database: Database, row: PartRow, cutoff: number): boolean {
    try {
      const document = documentOf(database, row);
      return document !== undefined && isPrunable(document.body, cutoff);
    } catch (error) {
      // A corrupt run is somebody's to repair, not ours to remove.
      if (isCorrupt(error)) return false;
      throw error;
    }
  }

  #part(database: Database, runKey: string, part: store.Part): PartRow | undefined {
    checkPart(part);
    const row = database.sql('SELECT * FROM parts WHERE run_key = ? AND part = ?').get(runKey, part) as
      | PartRow
      | undefined;
    // Damage may hide a row: nobody is told that there is none before everything was looked through once.
    if (row === undefined) this.#verifyOnce(database);
    return row;
  }

  #verifyOnce(database: Database): void {
    if (!this.#verified) verify(database);
    this.#verified = true;
  }

  #held(row: PartRow | undefined, lease: store.Lease): LeaseRecord | undefined {
    const record = row?.token === lease.token ? leaseOf(row, this.location) : undefined;
    return record?.released === false ? record : undefined;
  }

  async #open(): Promise<Database> {
    this.#opening ??= openDatabase(this.location);
    try {
      return await this.#opening;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }

  /** Reads; `nothing` where there is no database yet, which looking must not make. */
  async #look<T>(nothing: T, work: (database: Database) => T): Promise<T> {
    try {
      if (this.#opening === undefined && !(await databaseExists(this.location))) return nothing;
      const database = await this.#open();
      return await database.transact('read only', () => work(database));
    } catch (error) {
      throw sqliteError(error, this.location);
    }
  }

  async #change<T>(grade: store.Grade, work: (database: Database) => T): Promise<T> {
    const database = await this.#open();
    return database.transact(grade, () => work(database));
  }
}
