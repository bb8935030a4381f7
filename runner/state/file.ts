/**
 * The backend `file`: a folder a run key, a chain of versions a document (`chain.ts`), no locks. The token lives in the
 * documents: taking a lease writes a version with a higher token, after which no write of an earlier holder fits any more.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { isCorrupt, OxiError } from '../engine/errors.ts';
import { acquireAnew } from './anew.ts';
import * as chain from './chain.ts';
import { checkBody, corrupt, lost, stateIoError } from './faults.ts';
import { FileDocuments } from './file-documents.ts';
import { FileHistory } from './file-history.ts';
import { FileLeases } from './file-leases.ts';
import { dropTombstones, pruneRun } from './file-prune.ts';
import { repairFiles } from './file-repair.ts';
import { sweepRun } from './file-sweep.ts';
import { RunNotes } from './notes.ts';
import { byNewestWrite, byPart, checkPart } from './parts.ts';
import { type Body, documentOf, holds, openPayload } from './payload.ts';
import { isMeant, parseRequest, type RequestFilter } from './requests.ts';
import { seal } from './seal.ts';
import type * as store from './store.ts';

const REQUEST_NAME = /^request-[\dT]+-[0-9a-f]+\.json$/;

export interface FileStoreOptions extends store.StoreOptions {
  /** Many hosts share the folder (`nfs`): leases of other hosts end by the clock of its server. */
  shared?: boolean;
  /** Between two sweeps. */
  sweepEveryMs?: number | undefined;
  /** Unfinished runs are noted in this project: the folder may be on a disk that is not there the next time. */
  notesIn?: string | undefined;
}

const SWEEP_EVERY_MS = 300_000;

export function openFileStore(basePath: string, options: FileStoreOptions = {}): store.StateStore {
  return new FileStore(basePath, options);
}

class FileStore implements store.StateStore {
  readonly backend: 'file' | 'nfs';
  readonly ordered = false;
  readonly location: string;
  readonly #documents: FileDocuments;
  readonly #leases: FileLeases;
  readonly #history: FileHistory;

  readonly #notes: RunNotes | undefined;
  readonly #warn: (text: string) => void;
  readonly #sweepEveryMs: number;
  /** A run that is over before the first interval sweeps nothing. */
  #sweptAt = performance.now();

  constructor(basePath: string, o: FileStoreOptions) {
    const { shared = false, sweepEveryMs = SWEEP_EVERY_MS, notesIn, ...options } = o;
    this.#notes = notesIn === undefined ? undefined : new RunNotes(notesIn, basePath);
    this.#warn = options.warn ?? (() => undefined);
    this.backend = shared ? 'nfs' : 'file';
    this.location = basePath;
    this.#sweepEveryMs = sweepEveryMs;
    this.#documents = new FileDocuments(basePath, shared);
    this.#leases = new FileLeases(this.#documents, options, shared);
    this.#history = new FileHistory(join(basePath, 'history'));
  }

  read(runKey: string, part: store.Part): Promise<store.StoredDocument | undefined> {
    return this.#guard(async () => documentOf(await this.#documents.head(runKey, part)));
  }

  write(
    runKey: string,
    part: store.Part,
    document: { expected: number; token: number; body: Body; grade: store.Grade },
  ): Promise<store.WriteResult> {
    checkBody(document.body);
    return this.#guard(async () => {
      const done = await this.#documents.advance<store.WriteResult>(runKey, part, document.grade, async (head) => {
        const stored = { version: head?.body ? head.version : 0, token: head?.token ?? 0 };
        if (document.token < stored.token) return { answer: { written: false, reason: 'fenced', ...stored } };
        if (document.expected !== stored.version) return { answer: { written: false, reason: 'conflict', ...stored } };
        const next = this.#documents.next(runKey, part, head, document.token);
        // A token from elsewhere (that of split-0 in the run's document) ends the lease of a lower one; its own renews it.
        if (document.token > stored.token) next.lease = null;
        else if (next.lease?.released === false) next.lease = this.#leases.renewed(next.lease);
        return { next: { ...next, version: next.version + 1, body: document.body, removed: false } };
      });
      if ('answer' in done) return done.answer;
      // Behind the write: where there is a note there was a document, so that a crash in between is not taken for a loss.
      if (part === 'run' && document.body.status === 'finished') await this.#notes?.forget(runKey);
      else if (part === 'run') await this.#note(runKey);
      return { written: true, version: done.next.version };
    });
  }

  acquire(
    runKey: string,
    part: store.Part,
    holder: store.Holder,
    ttlMs: number,
    { force = false, fresh = false }: { force?: boolean; fresh?: boolean } = {},
  ): Promise<store.AcquireResult> {
    const take = (): Promise<store.AcquireResult> => this.#take(runKey, part, holder, ttlMs, force);
    return this.#guard(async () => {
      if (fresh)
        return acquireAnew(this, runKey, { acquire: take, repair: () => this.repair(runKey), warn: this.#warn });
      await this.#mustBeThere(runKey);
      return take();
    });
  }

  async #take(
    runKey: string,
    part: store.Part,
    holder: store.Holder,
    ttlMs: number,
    force: boolean,
  ): Promise<store.AcquireResult> {
    let predecessor: Extract<store.AcquireResult, { acquired: true }>['predecessor'];
    const done = await this.#documents.advance<store.AcquireResult>(runKey, part, 'hard', async (head) => {
      const standing = await this.#leases.judge(runKey, head, { force });
      if (standing?.over === false) {
        return { answer: { acquired: false, holder: standing.holder, remainingMs: standing.remainingMs } };
      }
      predecessor = standing?.predecessor;
      const token = (await this.#documents.highestToken(runKey)) + 1;
      return {
        next: { ...this.#documents.next(runKey, part, head, token), lease: this.#leases.begin(holder, ttlMs) },
      };
    });
    if ('answer' in done) return done.answer;
    if (predecessor !== undefined) await this.#leases.dropBeat(runKey, part, predecessor.token);
    const lease = { runKey, part, token: done.next.token, ttlMs, holder };
    return predecessor === undefined ? { acquired: true, lease } : { acquired: true, lease, predecessor };
  }

  claim(
    runKey: string,
    parts: readonly store.Part[],
    holder: store.Holder,
    ttlMs: number,
  ): Promise<Extract<store.AcquireResult, { acquired: true }> | undefined> {
    return this.#guard(async () => {
      if (parts.length > 0) await this.#mustBeThere(runKey);
      const { glances, others } = await this.#documents.overview(runKey);
      for (const part of parts) {
        checkPart(part);
        // One look at the folder tells most of those that are held; `acquire` looks at the rest again.
        if ((await this.#leases.judge(runKey, glances.get(part), { others }))?.over === false) continue;
        const taken = await this.acquire(runKey, part, holder, ttlMs);
        if (taken.acquired) return taken;
      }
      return undefined;
    });
  }

  renew(lease: store.Lease): Promise<boolean> {
    return this.#guard(() => this.#leases.renew(lease));
  }

  release(lease: store.Lease): Promise<void> {
    const { runKey, part } = lease;
    return this.#guard(async () => {
      await this.#documents.advance(runKey, part, 'soft', async (head) => {
        if (head?.lease == null || !holds(head, lease)) return { answer: undefined };
        const next = this.#documents.next(runKey, part, head, head.token);
        return { next: { ...next, lease: { ...head.lease, released: true } } };
      });
      await this.#leases.dropBeat(runKey, part, lease.token);
    });
  }

  standing(runKey: string, part: store.Part): Promise<store.LeaseStanding | undefined> {
    return this.#guard(async () => this.#leases.show(runKey, await this.#documents.head(runKey, part)));
  }

  parts(runKey: string, prefix = ''): Promise<store.PartStanding[]> {
    return this.#guard(async () => {
      const { glances, others } = await this.#documents.overview(runKey);
      const found: store.PartStanding[] = [];
      for (const glance of glances.values()) {
        if (!glance.part.startsWith(prefix)) continue;
        const lease = await this.#leases.show(runKey, glance, others);
        if (!glance.present && lease === undefined) continue;
        const { version, written_at: writtenAt } = glance.present ? glance : { version: 0, written_at: '' };
        found.push({ part: glance.part, version, writtenAt, lease });
      }
      return found.sort(byPart);
    });
  }

  list(): Promise<{ runKey: string; run?: store.StoredDocument; error?: string }[]> {
    return this.#guard(async () => {
      const found: { runKey: string; run?: store.StoredDocument; error?: string }[] = [];
      for (const name of await this.#documents.folders()) {
        const runKey = await this.#documents.keyOf(name);
        try {
          const run = documentOf(await this.#documents.head(runKey, 'run'));
          if (run !== undefined) found.push({ runKey, run });
        } catch (error) {
          if (!isCorrupt(error)) throw error;
          found.push({ runKey, error: error.message });
        }
      }
      return found.sort(byNewestWrite);
    });
  }

  request(runKey: string, request: store.RunRequest): Promise<void> {
    return this.#guard(async () => {
      const folder = await this.#documents.makeFolder(runKey);
      const stamp = new Date().toISOString().replaceAll(/[^\dT]/g, '');
      await chain.replaceFile(folder, `request-${stamp}-${randomBytes(6).toString('hex')}.json`, seal(request));
    });
  }

  requests(runKey: string): Promise<store.RunRequest[]> {
    return this.#guard(async () => {
      const found: store.RunRequest[] = [];
      for (const path of await this.#requestFiles(runKey)) {
        const request = await openRequest(path, runKey);
        if (request !== undefined) found.push(request);
      }
      return found;
    });
  }

  clearRequests(runKey: string, which?: RequestFilter): Promise<void> {
    return this.#guard(async () => {
      for (const path of await this.#requestFiles(runKey)) {
        const request = which && (await openRequest(path, runKey));
        if (which === undefined || (request !== undefined && isMeant(request, which))) await chain.remove(path);
      }
    });
  }

  appendHistory(entry: store.HistoryEntry): Promise<void> {
    return this.#guard(() => this.#history.append(entry));
  }

  history(filter: { runKey?: string; pipeline?: string; limit?: number } = {}): Promise<store.HistoryEntry[]> {
    return this.#guard(() => this.#history.read(filter));
  }

  repair(runKey: string): Promise<{ quarantined: string[]; restored: { part: store.Part; version: number }[] }> {
    return this.#guard(async () => {
      const others = [...(await this.#requestFiles(runKey)), ...(await this.#history.damaged())];
      const done = await repairFiles(this.#documents, runKey, others);
      // Who has seen it set aside knows that it is gone.
      if (done.quarantined.length > 0 && !(await this.#documents.head(runKey, 'run'))?.body)
        await this.#notes?.forget(runKey);
      return done;
    });
  }

  async remove(lease: store.Lease): Promise<void> {
    const { runKey } = lease;
    await this.#guard(async () => {
      const { chains } = await chain.scan(this.#documents.folder(runKey));
      // The run goes last: a process killed in between leaves a run without positions, which starts from zero.
      const parts = [...chains.keys()].sort((a, b) => Number(a === 'run') - Number(b === 'run'));
      const current = await this.#documents.head(runKey, lease.part);
      if (current === undefined || !holds(current, lease)) throw lost(lease);
      for (const part of parts) {
        await this.#documents.advance(runKey, part, 'hard', async (head) => {
          if (part === lease.part && !(head && holds(head, lease))) throw lost(lease);
          const next = this.#documents.next(runKey, part, head, Math.max(head?.token ?? 0, lease.token));
          if (part !== lease.part) next.lease = null;
          return { next: { ...next, version: next.version + 1, body: null, removed: true } };
        });
      }
    });
    await this.clearRequests(runKey);
    await this.#notes?.forget(runKey);
  }

  removePart(lease: store.Lease): Promise<void> {
    const { runKey, part } = lease;
    return this.#guard(async () => {
      await this.#documents.advance(runKey, part, 'soft', async (head) => {
        if (head === undefined || !holds(head, lease)) throw lost(lease);
        // A token that the holder does not have: whatever it still writes is refused.
        const next = this.#documents.next(runKey, part, head, head.token + 1);
        return { next: { ...next, version: next.version + 1, body: null, lease: null, removed: true } };
      });
      await this.#leases.dropBeat(runKey, part, lease.token);
    });
  }

  async prune(maxAgeMs: number): Promise<{ runs: number; history: number }> {
    const cutoff = Date.now() - maxAgeMs;
    return this.#guard(async () => {
      let runs = 0;
      for (const name of await this.#documents.folders()) {
        const runKey = await this.#documents.keyOf(name);
        if (await pruneRun(this, this.#documents, this.#leases, runKey, cutoff)) runs++;
        else await dropTombstones(this.#documents, runKey);
      }
      return { runs, history: await this.#history.prune(cutoff) };
    });
  }

  async sweep(): Promise<number> {
    const now = performance.now();
    if (now - this.#sweptAt < this.#sweepEveryMs) return 0;
    this.#sweptAt = now;
    return this.#guard(async () => {
      let removed = (await chain.dropLeftovers(this.location)) + (await this.#history.dropLeftovers());
      for (const name of await this.#documents.folders()) {
        removed += await sweepRun(this, this.#documents, this.#leases, await this.#documents.keyOf(name));
      }
      return removed;
    });
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Throws STATE_LOST where the project has a note of the run, and the folder has neither its document nor a trace of its removal. */
  async #mustBeThere(runKey: string): Promise<void> {
    if ((await this.#notes?.find(runKey)) === undefined) return;
    const head = await this.#documents.head(runKey, 'run');
    if (head !== undefined && (head.body !== null || head.removed)) return;
    throw new OxiError(
      'STATE_LOST',
      `run "${runKey}" was in ${this.location} and is not there any more: is its disk or share mounted? Bring it back, or start over with --fresh`,
      { place: { file: this.location } },
    );
  }

  async #note(runKey: string): Promise<void> {
    const trouble = await this.#notes?.keep(runKey, '');
    if (trouble !== undefined)
      this.#warn(
        `the run can't be noted in the project (${trouble}): should ${this.location} lose its data, nobody will know`,
      );
  }

  async #requestFiles(runKey: string): Promise<string[]> {
    const folder = this.#documents.folder(runKey);
    const { others } = await chain.scan(folder);
    return others
      .filter((name) => REQUEST_NAME.test(name))
      .sort()
      .map((name) => join(folder, name));
  }

  /** Every operation answers in its promise, and file errors become ours. */
  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw stateIoError(error, this.location);
    }
  }
}

/** Undefined where it was cleared since somebody looked. */
async function openRequest(path: string, runKey: string): Promise<store.RunRequest | undefined> {
  const text = await chain.readOrNothing(path);
  if (text === undefined) return undefined;
  const request = parseRequest(openPayload(text, path, runKey));
  if (request === undefined) throw corrupt(path, 'it holds no request', runKey);
  return request;
}
