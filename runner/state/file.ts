/**
 * The backend `file`: a folder a run key, a chain of versions a document (`chain.ts`), no locks. The token lives in the
 * documents: taking a lease writes a version with a higher token, after which no write of an earlier holder fits any more.
 * A lease is renewed in a small file of its own that only its holder writes.
 */
import { randomBytes } from 'node:crypto';
import { rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, OxiError } from '../engine/errors.ts';
import * as chain from './chain.ts';
import { checkBody, checkRunKey, corrupt, isPrunable, stateIoError } from './faults.ts';
import { FileHistory } from './file-history.ts';
import { thisHolder, thisMachine } from './host.ts';
import { type LeaseRecord, LeaseWatch } from './lease.ts';
import {
  type Body,
  beatName,
  documentOf,
  folderName,
  type Head,
  holds,
  openPayload,
  type Payload,
  parsePayload,
} from './payload.ts';
import { seal, unseal } from './seal.ts';
import type * as store from './store.ts';

/** What to do with the newest version: put another in its place, or give up with an answer. */
type Decision<T> = { next: Payload } | { answer: T };

const REQUEST_NAME = /^request-[\dT]+-[0-9a-f]+\.json$/;
/** How long `prune` may hold a lease, at most. */
const PRUNE_TTL_MS = 60_000;

export function openFileStore(basePath: string, options: store.StoreOptions = {}): store.StateStore {
  return new FileStore(basePath, options);
}

class FileStore implements store.StateStore {
  readonly backend = 'file';
  readonly ordered = false;
  readonly location: string;
  readonly #runs: string;
  readonly #watch: LeaseWatch;
  readonly #history: FileHistory;
  readonly #swept = new Set<string>();

  constructor(basePath: string, options: store.StoreOptions) {
    this.location = basePath;
    this.#runs = join(basePath, 'runs');
    this.#watch = new LeaseWatch(options);
    this.#history = new FileHistory(join(basePath, 'history'));
  }

  read(runKey: string, part: store.Part): Promise<store.StoredDocument | undefined> {
    return this.#guard(async () => documentOf(await this.#head(runKey, part)));
  }

  write(
    runKey: string,
    part: store.Part,
    document: { expected: number; token: number; body: Body; grade: store.Grade },
  ): Promise<store.WriteResult> {
    checkBody(document.body);
    return this.#advance<store.WriteResult>(runKey, part, document.grade, async (head) => {
      const stored = { version: head?.body ? head.version : 0, token: head?.token ?? 0 };
      if (document.token < stored.token) return { answer: { written: false, reason: 'fenced', ...stored } };
      if (document.expected !== stored.version) return { answer: { written: false, reason: 'conflict', ...stored } };
      const next = this.#next(runKey, part, head, document.token);
      // A token from elsewhere (that of split-0 in the run's document) ends the lease of a lower one.
      if (document.token > stored.token) next.lease = null;
      return { next: { ...next, version: next.version + 1, body: document.body, removed: false } };
    }).then((done) => ('answer' in done ? done.answer : { written: true, version: done.next.version }));
  }

  acquire(runKey: string, part: store.Part, holder: store.Holder, ttlMs: number): Promise<store.AcquireResult> {
    let predecessor: Extract<store.AcquireResult, { acquired: true }>['predecessor'];
    return this.#advance<store.AcquireResult>(runKey, part, 'hard', async (head) => {
      if (head?.lease) {
        const lease = await this.#renewed(runKey, head, head.lease);
        const standing = this.#watch.judge(`${part} ${runKey}`, head.token, lease);
        if (!standing.over) {
          const { holder: other, remainingMs } = standing;
          return { answer: { acquired: false, holder: other, remainingMs } };
        }
        predecessor = standing.predecessor;
      } else predecessor = undefined;
      const token = (await this.#highestToken(runKey)) + 1;
      const lease = { holder, ttlMs, renewedMs: this.#watch.now(), beat: 0, released: false };
      return { next: { ...this.#next(runKey, part, head, token), lease } };
    }).then(async (done) => {
      if ('answer' in done) return done.answer;
      if (predecessor !== undefined) await this.#dropBeat(runKey, part, predecessor.token);
      const lease = { runKey, part, token: done.next.token, ttlMs, holder };
      return predecessor === undefined ? { acquired: true, lease } : { acquired: true, lease, predecessor };
    });
  }

  renew(lease: store.Lease): Promise<boolean> {
    return this.#guard(async () => {
      const folder = this.#folder(lease.runKey);
      const before = await this.#head(lease.runKey, lease.part);
      if (before === undefined || !holds(before, lease)) return false;
      const beat = { renewed_ms: this.#watch.now(), beat: randomBytes(6).readUIntBE(0, 6) };
      await chain.replaceFile(folder, beatName(lease.part, lease.token), seal(beat));
      const after = await this.#head(lease.runKey, lease.part);
      return after !== undefined && holds(after, lease);
    });
  }

  async release(lease: store.Lease): Promise<void> {
    await this.#advance(lease.runKey, lease.part, 'soft', async (head) => {
      if (head?.lease == null || !holds(head, lease)) return { answer: undefined };
      const next = this.#next(lease.runKey, lease.part, head, head.token);
      return { next: { ...next, lease: { ...head.lease, released: true } } };
    });
    await this.#dropBeat(lease.runKey, lease.part, lease.token);
  }

  standing(runKey: string, part: store.Part): Promise<store.LeaseStanding | undefined> {
    return this.#guard(async () => {
      const head = await this.#head(runKey, part);
      if (!head?.lease) return undefined;
      const lease = await this.#renewed(runKey, head, head.lease);
      return this.#watch.show(`${part} ${runKey}`, head.token, lease);
    });
  }

  list(): Promise<{ runKey: string; run?: store.StoredDocument; error?: string }[]> {
    return this.#guard(async () => {
      const found: { runKey: string; run?: store.StoredDocument; error?: string }[] = [];
      for (const name of await chain.listFolder(this.#runs)) {
        const runKey = await this.#keyOf(name);
        try {
          const run = documentOf(await this.#head(runKey, 'run'));
          if (run !== undefined) found.push({ runKey, run });
        } catch (error) {
          if (!(error instanceof OxiError && error.code === 'STATE_CORRUPT')) throw error;
          found.push({ runKey, error: error.message });
        }
      }
      // Broken ones first: they ask for somebody's attention.
      const order = (entry: { run?: store.StoredDocument }): string => entry.run?.writtenAt ?? '~';
      return found.sort((a, b) => (order(a) < order(b) ? 1 : order(a) > order(b) ? -1 : 0));
    });
  }

  request(runKey: string, request: store.RunRequest): Promise<void> {
    return this.#guard(async () => {
      const folder = await this.#makeFolder(runKey);
      const stamp = new Date().toISOString().replaceAll(/[^\dT]/g, '');
      await chain.replaceFile(folder, `request-${stamp}-${randomBytes(6).toString('hex')}.json`, seal(request));
    });
  }

  requests(runKey: string): Promise<store.RunRequest[]> {
    return this.#guard(async () => {
      const found: store.RunRequest[] = [];
      for (const path of await this.#requestFiles(runKey)) {
        const text = await chain.readOrNothing(path);
        if (text === undefined) continue;
        const { kind, at, from } = openPayload(text, path, runKey);
        if (kind !== 'cancel' || typeof at !== 'string' || typeof from !== 'string') {
          throw corrupt(path, 'it holds no request', runKey);
        }
        found.push({ kind, at, from });
      }
      return found;
    });
  }

  clearRequests(runKey: string): Promise<void> {
    return this.#guard(async () => {
      for (const path of await this.#requestFiles(runKey)) await chain.remove(path);
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
      const folder = this.#folder(runKey);
      const quarantined: string[] = [];
      const restored: { part: store.Part; version: number }[] = [];
      const setAside = async (path: string): Promise<void> => {
        const aside = `${path}.corrupt-${new Date().toISOString().replaceAll(':', '')}`;
        await rename(path, aside);
        quarantined.push(aside);
      };
      const { chains } = await chain.scan(folder);
      for (const [part, { numbers }] of chains) {
        const bad: number[] = [];
        let good: Head | undefined;
        for (const number of numbers.toReversed()) {
          good = await this.#version(runKey, part, number);
          if (good !== undefined) break;
          bad.push(number);
        }
        const newest = bad[0];
        if (newest === undefined) continue;
        // The damaged versions may have held a higher token and version: what comes next is above all that they can have held.
        const known = [good?.token ?? Math.floor(Date.now() / 1000), ...(await this.#knownTokens(runKey))];
        const next = this.#next(runKey, part, good, Math.max(...known) + newest + 1);
        next.version += newest - (good?.number ?? 0) + 1;
        next.lease = null;
        if (!(await chain.extend(folder, part, newest, seal(next), 'hard'))) continue;
        for (const number of bad) await setAside(chain.versionFile(folder, part, number));
        if (next.body !== null) restored.push({ part, version: next.version });
      }
      for (const path of await this.#requestFiles(runKey)) {
        if (unseal((await chain.readOrNothing(path)) ?? '').kind === 'damaged') await setAside(path);
      }
      for (const path of await this.#history.damaged()) await setAside(path);
      return { quarantined, restored };
    });
  }

  async remove(lease: store.Lease): Promise<void> {
    const { chains } = await this.#guard(() => chain.scan(this.#folder(lease.runKey)));
    // The run goes last: a process killed in between leaves a run without positions, which starts from zero.
    const parts = [...chains.keys()].sort((a, b) => Number(a === 'run') - Number(b === 'run'));
    const current = await this.#guard(() => this.#head(lease.runKey, lease.part));
    if (current === undefined || !holds(current, lease)) throw lost(lease);
    for (const part of parts) {
      await this.#advance(lease.runKey, part, 'hard', async (head) => {
        if (part === lease.part && !(head && holds(head, lease))) throw lost(lease);
        const next = this.#next(lease.runKey, part, head, Math.max(head?.token ?? 0, lease.token));
        if (part !== lease.part) next.lease = null;
        return { next: { ...next, version: next.version + 1, body: null, removed: true } };
      });
    }
    await this.clearRequests(lease.runKey);
  }

  async prune(maxAgeMs: number): Promise<{ runs: number; history: number }> {
    const cutoff = Date.now() - maxAgeMs;
    let runs = 0;
    for (const name of await this.#guard(() => chain.listFolder(this.#runs))) {
      if (await this.#pruneRun(await this.#guard(() => this.#keyOf(name)), cutoff)) runs++;
    }
    return { runs, history: await this.#guard(() => this.#history.prune(cutoff)) };
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Holds every lease of the run while it looks and removes, so nobody starts in between. */
  async #pruneRun(runKey: string, cutoff: number): Promise<boolean> {
    const folder = this.#folder(runKey);
    const isOld = (head: Head | undefined): boolean =>
      head?.body ? isPrunable(head.body, cutoff) : head?.removed === true && Date.parse(head.written_at) <= cutoff;
    try {
      if (!isOld(await this.#guard(() => this.#head(runKey, 'run')))) return false;
    } catch (error) {
      // A corrupt run is somebody's to repair, not ours to remove.
      if (error instanceof OxiError && error.code === 'STATE_CORRUPT') return false;
      throw error;
    }
    const leases: store.Lease[] = [];
    try {
      for (const part of (await this.#guard(() => chain.scan(folder))).chains.keys()) {
        const got = await this.acquire(runKey, part, thisHolder('prune'), PRUNE_TTL_MS);
        if (!got.acquired) return false;
        leases.push(got.lease);
      }
      const run = await this.#guard(() => this.#head(runKey, 'run'));
      const lease = leases.find((held) => held.part === 'run');
      if (lease === undefined || run === undefined || !(run.body ? isPrunable(run.body, cutoff) : run.removed)) {
        return false;
      }
      if (run.body !== null) {
        await this.remove(lease);
        return true;
      }
      // Removed long ago: by now nobody can hold a token of it, so the folder goes as well.
      leases.length = 0;
      await this.#guard(() => this.#dropFolder(folder));
      return false;
    } finally {
      for (const lease of leases) await this.release(lease);
    }
  }

  async #dropFolder(folder: string): Promise<void> {
    const note = await chain.readOrNothing(join(folder, 'key'));
    for (const name of chain.removalOrder(await chain.listFolder(folder))) await chain.remove(join(folder, name));
    try {
      await rmdir(folder);
    } catch (error) {
      // Somebody began a run meanwhile, or sleeps with a file half-written: the folder stays, and keeps its name.
      if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST' && errnoOf(error) !== 'ENOENT') throw error;
      if (note !== undefined) await chain.replaceFile(folder, 'key', note).catch(() => undefined);
    }
  }

  /** Puts a version behind the newest one; looks and decides again whenever somebody else was faster. */
  #advance<T>(
    runKey: string,
    part: store.Part,
    grade: store.Grade,
    decide: (head: Head | undefined) => Promise<Decision<T>>,
  ): Promise<Decision<T>> {
    return this.#guard(async () => {
      for (;;) {
        const head = await this.#head(runKey, part);
        const decision = await decide(head);
        if ('answer' in decision) return decision;
        const folder = await this.#makeFolder(runKey);
        if (await chain.extend(folder, part, head?.number ?? 0, seal(decision.next), grade)) return decision;
      }
    });
  }

  #next(runKey: string, part: store.Part, head: Head | undefined, token: number): Payload {
    return {
      run_key: runKey,
      part,
      version: head?.version ?? 0,
      token,
      written_at: new Date().toISOString(),
      boot_id: thisMachine().bootId,
      body: head?.body ?? null,
      lease: head?.lease ?? null,
      removed: head?.removed ?? false,
    };
  }

  /**
   * The newest version that counts. A damaged one is an error, but for one case: it was not synced and the last synced one
   * comes from another boot, so the power failed before it reached the disk; then the synced one counts.
   */
  async #head(runKey: string, part: store.Part): Promise<Head | undefined> {
    const folder = this.#folder(runKey);
    for (;;) {
      const found = (await chain.scan(folder)).chains.get(part);
      const newest = found?.numbers.at(-1);
      if (found === undefined || newest === undefined) return undefined;
      const path = chain.versionFile(folder, part, newest);
      const text = await chain.readOrNothing(path);
      // Gone since we looked: there are newer ones.
      if (text === undefined) continue;
      const head = parsePayload(text, path, runKey, part);
      if ('payload' in head) return { ...head.payload, number: newest };
      const synced = found.numbers.findLast((number) => found.hard.has(number));
      if (synced !== undefined && synced !== newest) {
        const last = await this.#version(runKey, part, synced);
        if (last !== undefined && last.boot_id !== thisMachine().bootId) return { ...last, number: newest };
      }
      throw corrupt(path, head.reason, runKey);
    }
  }

  /** One version, or undefined where it is damaged. */
  async #version(runKey: string, part: store.Part, number: number): Promise<Head | undefined> {
    const path = chain.versionFile(this.#folder(runKey), part, number);
    const found = parsePayload((await chain.readOrNothing(path)) ?? '', path, runKey, part);
    return 'payload' in found ? { ...found.payload, number } : undefined;
  }

  /** The lease with its last renewal. A renewal that can't be read counts as one just seen, not as none. */
  async #renewed(runKey: string, head: Head, lease: LeaseRecord): Promise<LeaseRecord> {
    const text = await chain.readOrNothing(join(this.#folder(runKey), beatName(head.part, head.token)));
    if (text === undefined) return lease;
    const found = unseal(text);
    const { renewed_ms: renewedMs, beat } = found.kind === 'good' ? found.payload : {};
    if (typeof renewedMs === 'number' && typeof beat === 'number') return { ...lease, renewedMs, beat };
    return { ...lease, renewedMs: Number.MAX_SAFE_INTEGER };
  }

  #dropBeat(runKey: string, part: store.Part, token: number): Promise<void> {
    return this.#guard(() => chain.remove(join(this.#folder(runKey), beatName(part, token))));
  }

  /** Tokens are compared across the documents of a run, so each new one is above all of them. */
  async #highestToken(runKey: string): Promise<number> {
    let highest = 0;
    for (const part of (await chain.scan(this.#folder(runKey))).chains.keys()) {
      highest = Math.max(highest, (await this.#head(runKey, part))?.token ?? 0);
    }
    return highest;
  }

  /** Tokens of a damaged run, as far as they can be told from what is readable. */
  async #knownTokens(runKey: string): Promise<number[]> {
    const { chains, others } = await chain.scan(this.#folder(runKey));
    const tokens = others.map((name) => Number(/^lease-.*-(\d+)\.json$/.exec(name)?.[1] ?? 0));
    for (const [part, { numbers }] of chains) {
      for (const number of numbers) tokens.push((await this.#version(runKey, part, number))?.token ?? 0);
    }
    return tokens;
  }

  async #requestFiles(runKey: string): Promise<string[]> {
    const folder = this.#folder(runKey);
    const { others } = await chain.scan(folder);
    return others
      .filter((name) => REQUEST_NAME.test(name))
      .sort()
      .map((name) => join(folder, name));
  }

  #folder(runKey: string): string {
    checkRunKey(runKey);
    return join(this.#runs, folderName(runKey));
  }

  async #makeFolder(runKey: string): Promise<string> {
    const folder = this.#folder(runKey);
    await chain.makeFolder(folder);
    if (!this.#swept.has(folder)) {
      this.#swept.add(folder);
      await chain.dropLeftovers(folder);
    }
    if ((await chain.readOrNothing(join(folder, 'key'))) === undefined) {
      await chain.replaceFile(folder, 'key', seal({ run_key: runKey }));
    }
    return folder;
  }

  /** The run key of a folder; where its note is damaged, the folder's own name, which at least a person can read. */
  async #keyOf(name: string): Promise<string> {
    const found = unseal((await chain.readOrNothing(join(this.#runs, name, 'key'))) ?? '');
    const runKey = found.kind === 'good' ? found.payload.run_key : undefined;
    return typeof runKey === 'string' && folderName(runKey) === name ? runKey : name;
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

function lost(lease: store.Lease): OxiError {
  return new OxiError('LEASE_LOST', `another worker took the lease of run "${lease.runKey}" meanwhile`);
}
