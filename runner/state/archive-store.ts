/**
 * Takes runs out of a store, and puts them into one. Taken out is what stood there at one moment. Put in is all or nothing as far as
 * anybody who works can see: every lease that there is of these runs is held from before the first write until behind the last.
 */
import { isCorrupt, OxiError } from '../engine/errors.ts';
import type { Archive, ArchivedRun } from './archive.ts';
import { finishedMs } from './faults.ts';
import { checkDocument } from './part-documents.ts';
import type { HistoryEntry, Holder, Lease, Part, PartStanding, StateStore } from './store.ts';
import { WORKER_PREFIX } from './worker-part.ts';

/** Of a run at work something is written twice a second. */
const TRIES = 50;
const TTL_MS = 60_000;

export type Taken = Pick<Archive, 'runs' | 'history'>;

export interface TakeOptions {
  /** Only this run. */
  runKey?: string | undefined;
  /** Documents of a form that nobody knows are taken as they are. */
  unchecked?: boolean;
  /** Told of what is damaged, which is left out; where it is not given, nothing is taken out. */
  damaged?: ((error: OxiError, runKey: string | undefined) => void) | undefined;
}

/** Throws OxiError STATE_CORRUPT where a document is damaged, LEASE_HELD where one never stands still. */
export async function takeOut(store: StateStore, { runKey, unchecked = false, damaged }: TakeOptions): Promise<Taken> {
  const keys = runKey === undefined ? (await store.list()).map((entry) => entry.runKey) : [runKey];
  const runs: ArchivedRun[] = [];
  for (const key of keys.sort()) {
    const run = await orDamaged(takeRun(store, key, unchecked), key);
    if (run !== undefined) runs.push(run);
  }
  const history = await orDamaged(store.history(runKey === undefined ? {} : { runKey }), undefined);
  return { runs, history: history?.reverse() ?? [] };

  function orDamaged<T>(taking: Promise<T>, key: string | undefined): Promise<T | undefined> {
    return taking.catch((error: unknown) => {
      if (damaged === undefined || !isCorrupt(error)) throw error;
      damaged(error, key);
      return undefined;
    });
  }
}

/** Undefined where it is gone meanwhile. */
async function takeRun(store: StateStore, runKey: string, unchecked: boolean): Promise<ArchivedRun | undefined> {
  for (let tries = 0; tries < TRIES; tries++) {
    const before = documentsOf(await store.parts(runKey));
    const documents: ArchivedRun['documents'] = [];
    for (const { part } of before) {
      const stored = await store.read(runKey, part);
      if (stored === undefined) continue;
      const { version, token, writtenAt, body } = stored;
      if (!unchecked) checkDocument(runKey, part, body);
      documents.push({ part, version, token, written_at: writtenAt, body });
    }
    // Documents that were written while others were read do not belong together.
    if (signOf(documentsOf(await store.parts(runKey))) !== signOf(before)) continue;
    if (signOf(documents) !== signOf(before)) continue;
    return documents.some(({ part }) => part === 'run') ? { run_key: runKey, documents } : undefined;
  }
  throw new OxiError(
    'LEASE_HELD',
    `run ${JSON.stringify(runKey)} is written all the time, so nothing of it belongs together: pause it first`,
  );
}

function documentsOf(parts: readonly PartStanding[]): PartStanding[] {
  return parts.filter(({ part, version }) => version > 0 && !part.startsWith(WORKER_PREFIX));
}

function signOf(parts: readonly { part: Part; version: number }[]): string {
  return parts.map(({ part, version }) => `${part} ${version}`).join('\n');
}

export interface PutOptions {
  /** What is there already is replaced; otherwise refused. */
  replace: boolean;
  /** Runs that the archive does not have are removed. */
  only: boolean;
  /** Called when nobody else can write any more, and before the first change, where something is replaced or removed. */
  before(): Promise<void>;
  holder: Holder;
}

/** What putting in an archive means for the runs of a store; nothing is changed by looking. */
export interface PutPlan {
  added: string[];
  replaced: string[];
  removed: string[];
}

/** Throws OxiError LEASE_HELD where somebody works on one of them, STATE_CORRUPT where what would be replaced is damaged. */
export async function planPut(store: StateStore, archive: Archive, only: boolean): Promise<PutPlan> {
  const plan: PutPlan = { added: [], replaced: [], removed: [] };
  const there = await store.list();
  const coming = new Set(archive.runs.map(({ run_key }) => run_key));
  for (const runKey of coming) {
    const parts = await store.parts(runKey);
    refuseWork(runKey, parts);
    (documentsOf(parts).length > 0 ? plan.replaced : plan.added).push(runKey);
  }
  for (const { runKey, error } of only ? there : []) {
    if (coming.has(runKey)) continue;
    if (error !== undefined) throw new OxiError('STATE_CORRUPT', error);
    refuseWork(runKey, await store.parts(runKey));
    plan.removed.push(runKey);
  }
  return plan;
}

function refuseWork(runKey: string, parts: readonly PartStanding[]): void {
  const lease = parts.find((one) => one.lease?.over === false)?.lease;
  if (lease !== undefined) throw workedOn(runKey, lease);
}

function workedOn(runKey: string, { holder: { workerId, host, pid } }: { holder: Holder }): OxiError {
  return new OxiError(
    'LEASE_HELD',
    `run ${JSON.stringify(runKey)}: worker ${JSON.stringify(workerId)} (process ${pid} on ${JSON.stringify(host)}) works on it; ` +
      'nothing was changed. Cancel it first, or wait until it has ended',
  );
}

/**
 * Throws OxiError COMMAND_INVALID where something is there and not to be replaced, LEASE_HELD where somebody works on one of the
 * runs; then nothing was changed. Returns what was done, and how many entries of the history are new.
 */
export async function putIn(
  store: StateStore,
  archive: Archive,
  options: PutOptions,
): Promise<PutPlan & { history: number }> {
  const { replace, only, before, holder } = options;
  refuseReplacing(await planPut(store, archive, only), replace);
  await using held = new HeldRuns(store, holder);
  for (const { run_key, documents } of archive.runs) {
    const parts = documents.map(({ part }) => part);
    await held.take(run_key, parts);
  }
  for (const { runKey } of only ? await store.list() : []) await held.take(runKey, []);
  // What came in between is there now, and nothing can come any more.
  const plan = await planAgain(store, archive, only, held);
  refuseReplacing(plan, replace);
  if (plan.replaced.length + plan.removed.length > 0) await before();
  for (const run of archive.runs) await writeRun(store, run, held);
  for (const runKey of plan.removed) {
    await held.keep();
    await store.remove(held.lease(runKey, 'run'));
  }
  return { ...plan, history: await addHistory(store, archive.history) };
}

function refuseReplacing({ replaced, removed }: PutPlan, replace: boolean): void {
  if (replace || replaced.length + removed.length === 0) return;
  const shown = [...replaced, ...removed].slice(0, 8).map((key) => JSON.stringify(key));
  const more = replaced.length + removed.length - shown.length;
  throw new OxiError(
    'COMMAND_INVALID',
    `there already: ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}; nothing was changed. ` +
      `--replace ${removed.length === 0 ? 'puts those of the file in their place' : 'puts what the file holds in the place of everything'}, after a backup`,
  );
}

/** Under the leases: whether somebody works is decided, what is there is not. */
async function planAgain(store: StateStore, archive: Archive, only: boolean, held: HeldRuns): Promise<PutPlan> {
  const plan: PutPlan = { added: [], replaced: [], removed: [] };
  const coming = new Set(archive.runs.map(({ run_key }) => run_key));
  for (const runKey of held.runKeys) {
    const isThere = documentsOf(await store.parts(runKey)).length > 0;
    if (coming.has(runKey)) (isThere ? plan.replaced : plan.added).push(runKey);
    else if (only && isThere) plan.removed.push(runKey);
  }
  return plan;
}

/**
 * The run document goes last: killed in between, a run that is new is not there yet. It brings the highest token of all along, so that
 * those of later attempts are above it: outputs in the making are named by the tokens of who made them.
 */
async function writeRun(store: StateStore, run: ArchivedRun, held: HeldRuns): Promise<void> {
  const { run_key: runKey, documents } = run;
  const there = new Map((await store.parts(runKey)).map(({ part, version }) => [part, version]));
  const write = async ({ part, body }: ArchivedRun['documents'][number], token: number): Promise<void> => {
    await held.keep();
    const result = await store.write(runKey, part, { expected: there.get(part) ?? 0, token, body, grade: 'hard' });
    if (!result.written) throw lostMeanwhile(runKey);
  };
  for (const document of documents)
    if (document.part !== 'run') await write(document, held.lease(runKey, document.part).token);
  const kept = new Set<Part>(documents.map(({ part }) => part));
  for (const [part, version] of there)
    if (!kept.has(part) && (version > 0 || part.startsWith(WORKER_PREFIX))) await held.removePart(runKey, part);
  await store.clearRequests(runKey);
  for (const document of documents) {
    if (document.part !== 'run') continue;
    const own = held.lease(runKey, 'run').token;
    const token = Math.max(own, ...documents.map((one) => one.token));
    await write(document, token);
    // A token from elsewhere ends the lease.
    if (token > own) held.forget(runKey, 'run');
  }
}

async function addHistory(store: StateStore, entries: readonly HistoryEntry[]): Promise<number> {
  const sign = (entry: HistoryEntry): string =>
    JSON.stringify([entry.runKey, entry.runId, entry.attempt, finishedMs(entry), entry.status]);
  const known = new Set((await store.history()).map(sign));
  const fresh = entries.filter((entry) => !known.has(sign(entry)));
  for (const entry of fresh) await store.appendHistory(entry);
  return fresh.length;
}

function lostMeanwhile(runKey: string): OxiError {
  return new OxiError('LEASE_LOST', `run ${JSON.stringify(runKey)}: another worker took it while it was written`);
}

/** Leases of whole runs: while they are held, nobody begins. */
class HeldRuns implements AsyncDisposable {
  readonly #store: StateStore;
  readonly #holder: Holder;
  readonly #leases = new Map<string, Map<Part, Lease>>();
  #keptAt = performance.now();

  constructor(store: StateStore, holder: Holder) {
    this.#store = store;
    this.#holder = holder;
  }

  get runKeys(): string[] {
    return [...this.#leases.keys()];
  }

  lease(runKey: string, part: Part): Lease {
    const lease = this.#leases.get(runKey)?.get(part);
    if (lease === undefined) throw new Error(`the lease of "${part}" of run "${runKey}" is not held`);
    return lease;
  }

  /** `parts`: of which there is no document yet. What whoever begins a run takes first is always among them. */
  async take(runKey: string, parts: readonly Part[]): Promise<void> {
    if (this.#leases.has(runKey)) return;
    const leases = new Map<Part, Lease>();
    this.#leases.set(runKey, leases);
    const there = (await this.#store.parts(runKey)).map(({ part }) => part);
    for (const part of new Set<Part>(['run', 'split-0', ...there, ...parts])) {
      await this.keep();
      const got = await this.#store.acquire(runKey, part, this.#holder, TTL_MS);
      if (!got.acquired) throw workedOn(runKey, got);
      leases.set(part, got.lease);
    }
  }

  /** It is over: nobody renews it. */
  forget(runKey: string, part: Part): void {
    this.#leases.get(runKey)?.delete(part);
  }

  /** Renews them all from time to time. Throws OxiError LEASE_LOST. */
  async keep(): Promise<void> {
    if (performance.now() - this.#keptAt < TTL_MS / 6) return;
    this.#keptAt = performance.now();
    for (const [runKey, leases] of this.#leases)
      for (const lease of leases.values()) if (!(await this.#store.renew(lease))) throw lostMeanwhile(runKey);
  }

  async removePart(runKey: string, part: Part): Promise<void> {
    await this.#store.removePart(this.lease(runKey, part));
    this.forget(runKey, part);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const leases of this.#leases.values())
      for (const lease of leases.values()) await this.#store.release(lease).catch(() => undefined);
  }
}
