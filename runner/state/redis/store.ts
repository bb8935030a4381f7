/**
 * The backend `redis`: each operation one script on the server, whose clock ends the leases. The history and the set of run keys
 * are in other slots of a cluster than a run: what touches both is done in steps of which each is safe to be the last one.
 */
import { isCorrupt } from '../../engine/errors.ts';
import { acquireAnew } from '../anew.ts';
import { checkBody, checkRunKey, isPrunable, lost } from '../faults.ts';
import { isProvenDead } from '../host.ts';
import { RunNotes } from '../notes.ts';
import { byNewestWrite, byPart, checkPart } from '../parts.ts';
import type { RequestFilter } from '../requests.ts';
import type * as store from '../store.ts';
import { Connections, type RedisSettings } from './connection.ts';
import { Documents } from './documents.ts';
import { Durable } from './durable.ts';
import { History, type HistoryFilter } from './history.ts';
import { type Keys, keysOf } from './keys.ts';
import { Losses } from './losses.ts';
import { Memory } from './memory.ts';
import { makeNonce } from './nonce.ts';
import { Place } from './place.ts';
import { repairRun } from './repair.ts';
import { Requests } from './requests.ts';
import { type Body, holderOf, hostMark, isoOf, predecessorOf, standingOf } from './rows.ts';
import * as scripts from './scripts.ts';

type Acquired = Extract<store.AcquireResult, { acquired: true }>;

/** Runs that are looked at at once. */
const AT_ONCE = 32;

export interface RedisStoreOptions extends store.StoreOptions {
  /** Unfinished runs are noted in the project; left out where nothing is begun. */
  notes?: boolean;
}

export function openRedisStore(settings: RedisSettings, options: RedisStoreOptions = {}): store.StateStore {
  return new RedisStore(settings, options);
}

class RedisStore implements store.StateStore {
  readonly backend = 'redis';
  readonly ordered = true;
  readonly location: string;
  readonly #connections: Connections;
  readonly #place: Place;
  readonly #keys: Keys;
  readonly #losses: Losses;
  readonly #now: () => number;
  readonly #warn: (text: string) => void;
  readonly #requests: Requests;
  readonly #history: History;
  readonly #memory = new Memory();
  readonly #documents: Documents;
  readonly #durable: Durable;
  /** Runs that are known to be in the set of run keys. */
  readonly #listed = new Set<string>();

  constructor(settings: RedisSettings, options: RedisStoreOptions) {
    this.#warn = options.warn ?? (() => undefined);
    this.#connections = new Connections(settings, this.#warn);
    this.#keys = keysOf(settings.keyPrefix);
    this.location = this.#connections.location;
    this.#now = options.monotonicMs ?? (() => performance.now());
    this.#place = new Place(this.#connections, this.#keys.store, this.#warn);
    this.#documents = new Documents(this.#place, this.#keys, this.#memory, this.location, this.#now);
    this.#losses = new Losses({
      place: this.#place,
      keys: this.#keys,
      memory: this.#memory,
      notes: options.notes === true ? new RunNotes(settings.projectRoot, this.location) : undefined,
      location: this.location,
      warn: this.#warn,
      now: this.#now,
    });
    this.#durable = new Durable(this.#connections, this.#warn);
    this.#requests = new Requests(this.#place, this.#keys, this.location);
    this.#history = new History(this.#place, this.#keys.history, this.location);
  }

  async read(runKey: string, part: store.Part): Promise<store.StoredDocument | undefined> {
    checkRunKey(runKey);
    checkPart(part);
    return await this.#documents.read(runKey, part);
  }

  async write(
    runKey: string,
    part: store.Part,
    document: { expected: number; token: number; body: Body; grade: store.Grade },
  ): Promise<store.WriteResult> {
    checkRunKey(runKey);
    checkPart(part);
    checkBody(document.body);
    const must = this.#memory.isHeld(runKey) ? this.#memory.born(runKey) : '';
    const result = await this.#documents.replace(runKey, part, document, must);
    if (result === undefined) throw await this.#losses.error(runKey);
    if (!result.written) return result;
    if (!this.#listed.has(runKey)) await this.#list(runKey);
    if (document.grade === 'hard') await this.#durable.settle(this.#keys.run(runKey));
    // Behind the write: where there is a note there was a document, so that a crash in between is not taken for a loss.
    if (part === 'run' && document.body.status === 'finished') await this.#losses.forget(runKey);
    else if (part === 'run' && this.#memory.isHeld(runKey)) await this.#losses.keep(runKey);
    return result;
  }

  async acquire(
    runKey: string,
    part: store.Part,
    holder: store.Holder,
    ttlMs: number,
    how: { force?: boolean; fresh?: boolean } = {},
  ): Promise<store.AcquireResult> {
    checkRunKey(runKey);
    checkPart(part);
    const acquire = (): Promise<store.AcquireResult> => this.#take(runKey, part, holder, ttlMs, how);
    if (how.fresh !== true) return await acquire();
    return await acquireAnew(this, runKey, { acquire, repair: () => this.repair(runKey), warn: this.#warn });
  }

  async #take(
    runKey: string,
    part: store.Part,
    holder: store.Holder,
    ttlMs: number,
    how: { force?: boolean; fresh?: boolean },
  ): Promise<store.AcquireResult> {
    const must = await this.#losses.mustBeThere(runKey, how.fresh === true);
    const nonce = makeNonce();
    const began = this.#now();
    const run = this.#keys.run(runKey);
    let dead = '';
    let seen = '';
    for (;;) {
      const force = how.force === true ? '1' : '0';
      const args = [part, nonce, ttlMs, JSON.stringify(holder), dead, force, must, seen];
      const answer = (await this.#place.call(runKey, scripts.ACQUIRE, [run], args, [part])) as string[];
      const [outcome, token = '', third = '', fourth = ''] = answer;
      if (outcome === 'lost') throw await this.#losses.error(runKey);
      if (outcome === 'look') {
        seen = await this.#documents.entryOf(runKey, part);
        continue;
      }
      if (outcome === 'acquired')
        return await this.#acquired({ runKey, part, token: Number(token), ttlMs, holder }, third, fourth, began);
      const other = holderOf(fourth, runKey, this.location);
      if (!isProvenDead(other) || dead === token) return { acquired: false, holder: other, remainingMs: Number(third) };
      dead = token;
    }
  }

  async claim(
    runKey: string,
    parts: readonly store.Part[],
    holder: store.Holder,
    ttlMs: number,
  ): Promise<Acquired | undefined> {
    checkRunKey(runKey);
    for (const part of parts) checkPart(part);
    if (parts.length === 0) return undefined;
    const must = await this.#losses.mustBeThere(runKey, false);
    const dead = new Map<string, string>();
    const seen = new Map<string, string>();
    const nonce = makeNonce();
    const began = this.#now();
    for (;;) {
      const args = [nonce, ttlMs, JSON.stringify(holder), hostMark(holder), must];
      const pairs = parts.flatMap((part) => [part, dead.get(part) ?? '', seen.get(part) ?? '']);
      const run = this.#keys.run(runKey);
      const [outcome, ...rest] = (await this.#place.call(
        runKey,
        scripts.CLAIM,
        [run],
        [...args, ...pairs],
        [...seen.keys()],
      )) as string[];
      if (outcome === 'lost') throw await this.#losses.error(runKey);
      if (outcome === 'look') {
        const part = rest[0] as store.Part;
        seen.set(part, await this.#documents.entryOf(runKey, part));
        continue;
      }
      if (outcome === 'acquired') {
        const [part = '', token, before = '', born = ''] = rest;
        return await this.#acquired(
          { runKey, part: part as store.Part, token: Number(token), ttlMs, holder },
          before,
          born,
          began,
        );
      }
      const known = dead.size;
      for (let i = 0; i < rest.length; i += 3) {
        const [part = '', token = '', who = ''] = rest.slice(i, i + 3);
        if (dead.get(part) !== token && isProvenDead(holderOf(who, runKey, this.location))) dead.set(part, token);
      }
      if (dead.size === known) return undefined;
    }
  }

  async renew(lease: store.Lease): Promise<boolean> {
    const { runKey, part, token, ttlMs, holder } = lease;
    const began = this.#now();
    const args = [part, token, ttlMs, JSON.stringify(holder), this.#memory.born(runKey)];
    const answer = (await this.#place.call(runKey, scripts.RENEW, [this.#keys.run(runKey)], args)) as string[];
    const [outcome, born = ''] = answer;
    if (outcome === 'lost') throw await this.#losses.error(runKey);
    if (outcome === 'renewed') this.#memory.bear(runKey, born, began + ttlMs);
    return outcome === 'renewed';
  }

  async release({ runKey, part, token }: store.Lease): Promise<void> {
    await this.#place.call(runKey, scripts.RELEASE, [this.#keys.run(runKey)], [part, token]);
    this.#memory.letGo(runKey, token);
  }

  async standing(runKey: string, part: store.Part): Promise<store.LeaseStanding | undefined> {
    checkRunKey(runKey);
    const answer = (await this.#place.call(runKey, scripts.STANDING, [this.#keys.run(runKey)], [part])) as string[];
    const [, remaining, who] = answer;
    return who === undefined ? undefined : standingOf(holderOf(who, runKey, this.location), Number(remaining));
  }

  async parts(runKey: string, prefix = ''): Promise<store.PartStanding[]> {
    return (await this.#parts(runKey, prefix)).map(({ token: _, ...standing }) => standing);
  }

  async list(): Promise<{ runKey: string; run?: store.StoredDocument; error?: string }[]> {
    await this.#place.look();
    const runKeys = (await this.#place.call(undefined, scripts.RUNS, [this.#keys.runs])) as string[];
    type Entry = { runKey: string; run?: store.StoredDocument; error?: string };
    const found = await inTurns(runKeys, async (runKey): Promise<Entry | undefined> => {
      try {
        const run = await this.read(runKey, 'run');
        return run === undefined ? undefined : { runKey, run };
      } catch (error) {
        if (!isCorrupt(error)) throw error;
        return { runKey, error: error.message };
      }
    });
    return found.filter((entry) => entry !== undefined).sort(byNewestWrite);
  }

  async request(runKey: string, request: store.RunRequest): Promise<void> {
    await this.#requests.add(runKey, request);
  }

  async requests(runKey: string): Promise<store.RunRequest[]> {
    return await this.#requests.all(runKey);
  }

  async clearRequests(runKey: string, which: RequestFilter = {}): Promise<void> {
    await this.#requests.clear(runKey, which);
  }

  async subscribe(runKey: string, wake: () => void): Promise<AsyncDisposable> {
    return (
      this.#connections.listen(this.#keys.channel(runKey), wake) ?? { [Symbol.asyncDispose]: async () => undefined }
    );
  }

  async appendHistory(entry: store.HistoryEntry): Promise<void> {
    await this.#history.append(entry);
  }

  async history(filter: HistoryFilter = {}): Promise<store.HistoryEntry[]> {
    return await this.#history.newest(filter);
  }

  async repair(runKey: string): Promise<{ quarantined: string[]; restored: { part: store.Part; version: number }[] }> {
    checkRunKey(runKey);
    await this.#place.begin();
    this.#memory.forgetDocuments(runKey);
    const done = await repairRun(this.#place, this.#keys, runKey, this.location);
    // Who has seen it set aside knows that it is gone.
    if (done.quarantined.length > 0 && (await this.read(runKey, 'run')) === undefined)
      await this.#losses.forget(runKey);
    return done;
  }

  async remove(lease: store.Lease): Promise<void> {
    const { runKey, part, token } = lease;
    const keys = [this.#keys.run(runKey), this.#keys.requests(runKey)];
    if (Number(await this.#place.call(runKey, scripts.REMOVE, keys, [part, token])) !== 1) throw lost(lease);
    this.#forget(runKey);
    await this.#losses.forget(runKey);
  }

  async removePart(lease: store.Lease): Promise<void> {
    const { runKey, part, token } = lease;
    const streams = this.#memory.known(runKey, part) === undefined ? [] : [part];
    const answer = await this.#place.call(
      runKey,
      scripts.REMOVE_PART,
      [this.#keys.run(runKey)],
      [part, token],
      streams,
    );
    if (Number(answer) !== 1) throw lost(lease);
    this.#memory.forgetPart(runKey, part);
    this.#memory.letGo(runKey, token);
  }

  async prune(maxAgeMs: number): Promise<{ runs: number; history: number }> {
    const cutoff = Date.now() - maxAgeMs;
    await this.#place.begin();
    const runKeys = (await this.#place.call(undefined, scripts.RUNS, [this.#keys.runs])) as string[];
    await this.#losses.prune();
    const pruned = await inTurns(runKeys, (runKey) => this.#pruneRun(runKey, cutoff, maxAgeMs));
    return { runs: pruned.filter((one) => one).length, history: await this.#history.prune(cutoff) };
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // ---------------------------------------------------------------- parts of operations

  async #parts(runKey: string, prefix: string): Promise<(store.PartStanding & { token: string })[]> {
    checkRunKey(runKey);
    const streams = this.#memory.documentsOf(runKey, prefix);
    const flat = (await this.#place.call(
      runKey,
      scripts.PARTS,
      [this.#keys.run(runKey)],
      [prefix],
      streams,
    )) as string[];
    const found: (store.PartStanding & { token: string })[] = [];
    for (let i = 0; i < flat.length; i += 7) {
      const [part, version, written, token = '', lease, remaining, who = ''] = flat.slice(i, i + 7);
      found.push({
        part: part as store.Part,
        version: Number(version),
        writtenAt: Number(version) === 0 ? '' : isoOf(Number(written)),
        lease: lease === '1' ? standingOf(holderOf(who, runKey, this.location), Number(remaining)) : undefined,
        token,
      });
    }
    this.#memory.sawDocuments(
      runKey,
      prefix,
      found.flatMap(({ part, version }) => (version > 0 ? [part] : [])),
    );
    return found.sort(byPart);
  }

  /** True where its documents were removed; what is left of one that was removed long ago goes too. */
  async #pruneRun(runKey: string, cutoff: number, maxAgeMs: number): Promise<boolean> {
    try {
      const run = await this.read(runKey, 'run');
      const isOld = run !== undefined && isPrunable(run.body, cutoff);
      if (run !== undefined && !isOld) return false;
      const version = run === undefined ? ['', ''] : [run.version, this.#memory.known(runKey, 'run')?.wrote ?? ''];
      const dead = (await this.#parts(runKey, '')).flatMap(({ lease, token }) => (lease?.provenDead ? [token] : []));
      // Out of the set first: whoever takes a lease adds it again behind that, so that no run is ever left out of it for good.
      if (run === undefined) await this.#place.call(runKey, scripts.DROP_RUN, [this.#keys.runs], [runKey]);
      const keys = [this.#keys.run(runKey), this.#keys.requests(runKey), this.#keys.aside(runKey)];
      const outcome = Number(await this.#place.call(runKey, scripts.PURGE, keys, [...version, maxAgeMs, ...dead]));
      if (run === undefined && outcome !== 2)
        await this.#place.call(runKey, scripts.ADD_RUN, [this.#keys.runs], [runKey]);
      if (outcome !== 0) {
        this.#forget(runKey);
        await this.#losses.forgetInStore(runKey);
      }
      if (outcome === 2) this.#memory.bury(runKey);
      return outcome === 1;
    } catch (error) {
      // A corrupt run is somebody's to repair, not ours to remove.
      if (isCorrupt(error)) return false;
      throw error;
    }
  }

  async #acquired(lease: store.Lease, before: string, born: string, began: number): Promise<Acquired> {
    const { runKey, token } = lease;
    const predecessor = predecessorOf(before, runKey, this.location);
    this.#memory.hold(runKey, token, born, began + lease.ttlMs);
    await this.#list(runKey);
    return predecessor === undefined ? { acquired: true, lease } : { acquired: true, lease, predecessor };
  }

  /** Behind the change that made the run, never before it: see `#pruneRun`. */
  async #list(runKey: string): Promise<void> {
    if (this.#listed.has(runKey)) return;
    await this.#place.call(runKey, scripts.ADD_RUN, [this.#keys.runs], [runKey]);
    this.#listed.add(runKey);
  }

  #forget(runKey: string): void {
    this.#memory.forgetDocuments(runKey);
    this.#listed.delete(runKey);
  }
}

/** Work on many, some at once, in their order. */
async function inTurns<T, R>(all: readonly T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let i = 0; i < all.length; i += AT_ONCE)
    results.push(...(await Promise.all(all.slice(i, i + AT_ONCE).map(work))));
  return results;
}
