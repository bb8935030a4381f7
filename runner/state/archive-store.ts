/**
 * Takes runs out of a store, and puts them into one. Taken out is what stood there at one moment. Put in is all or nothing as far as
 * anybody who works can see: every lease that there is of these runs is held from before the first write until behind the last.
 */
import { OxiError } from '../engine/errors.ts';
import type { Archive, ArchivedRun } from './archive.ts';
import { finishedMs } from './faults.ts';
import { checkDocument } from './part-documents.ts';
import type { HistoryEntry, Holder, Lease, LeaseStanding, Part, PartStanding, StateStore } from './store.ts';

/** Of a run at work something is written twice a second. */
const TRIES = 50;
const TTL_MS = 60_000;

export type Taken = Pick<Archive, 'runs' | 'history'>;

/** `runKey`: only this run. Throws OxiError STATE_CORRUPT where a document is damaged, LEASE_HELD where one never stands still. */
export async function takeOut(store: StateStore, runKey?: string): Promise<Taken> {
  const keys = runKey === undefined ? (await store.list()).map((entry) => entry.runKey) : [runKey];
  const runs: ArchivedRun[] = [];
  for (const key of keys.sort()) {
    const run = await takeRun(store, key);
    if (run !== undefined) runs.push(run);
  }
  const history = await store.history(runKey === undefined ? {} : { runKey });
  return { runs, history: history.reverse() };
}

/** Undefined where it is gone meanwhile. */
async function takeRun(store: StateStore, runKey: string): Promise<ArchivedRun | undefined> {
  for (let tries = 0; tries < TRIES; tries++) {
    const before = documentsOf(await store.parts(runKey));
    const documents: ArchivedRun['documents'] = [];
    for (const { part } of before) {
      const stored = await store.read(runKey, part);
      if (stored === undefined) continue;
      const { version, token, writtenAt, body } = stored;
      checkDocument(runKey, part, body);
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
  return parts.filter(({ part, version }) => version > 0 && !part.startsWith('worker-'));
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
    refuseWork(runKey, parts.find(({ lease }) => lease?.over === false)?.lease);
    (documentsOf(parts).length > 0 ? plan.replaced : plan.added).push(runKey);
  }
  for (const { runKey, error } of only ? there : []) {
    if (coming.has(runKey)) continue;
    if (error !== undefined) throw new OxiError('STATE_CORRUPT', error);
    refuseWork(runKey, (await store.parts(runKey)).find(({ lease }) => lease?.over === false)?.lease);
    plan.removed.push(runKey);
  }
  return plan;
}

function refuseWork(runKey: string, lease: Pick<LeaseStanding, 'holder'> | undefined): void {
  if (lease === undefined) return;
  const { workerId, host, pid } = lease.holder;
  throw new OxiError(
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
  for (const run of archive.runs)
    await held.take(
      run.run_key,
      run.documents.map(({ part }) => part),
    );
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

/** The run document goes last: killed in between, a run that is new is not there yet. */
async function writeRun(store: StateStore, run: ArchivedRun, held: HeldRuns): Promise<void> {
  const { run_key: runKey, documents } = run;
  const there = new Map((await store.parts(runKey)).map(({ part, version }) => [part, version]));
  const inOrder = documents.toSorted((a, b) => Number(a.part === 'run') - Number(b.part === 'run'));
  for (const { part, body } of inOrder) {
    await held.keep();
    // Whoever goes on must have a token above those that its outputs in the making are named by: the last document brings it here.
    const known = part === 'run' ? documents.map((document) => document.token) : [];
    const token = Math.max(held.lease(runKey, part).token, ...known);
    const result = await store.write(runKey, part, { expected: there.get(part) ?? 0, token, body, grade: 'hard' });
    if (!result.written) throw lostMeanwhile(runKey);
    there.delete(part);
  }
  for (const [part, version] of there)
    if (version > 0 || part.startsWith('worker-')) await held.removePart(runKey, part);
  await store.clearRequests(runKey);
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
    const leases = this.#leases.get(runKey) ?? new Map<Part, Lease>();
    this.#leases.set(runKey, leases);
    const there = (await this.#store.parts(runKey)).map(({ part }) => part);
    for (const part of new Set<Part>(['run', 'split-0', ...there, ...parts])) {
      if (leases.has(part)) continue;
      await this.keep();
      const got = await this.#store.acquire(runKey, part, this.#holder, TTL_MS);
      if (!got.acquired) return refuseWork(runKey, { holder: got.holder });
      leases.set(part, got.lease);
    }
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
    this.#leases.get(runKey)?.delete(part);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const leases of this.#leases.values())
      for (const lease of leases.values()) await this.#store.release(lease).catch(() => undefined);
  }
}
