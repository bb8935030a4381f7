/**
 * One worker of a shared run: claims split groups, works on one after the other, each as a run of its own, and sees to it that the
 * run is finished when all of them are. What a dead worker has begun goes on from its last checkpoint, here or elsewhere.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { lost } from '../engine/checkpoint.ts';
import type { Share } from '../engine/contracts.ts';
import type { RunDocument } from '../engine/documents.ts';
import { type ErrorCode, EXIT, type ExitCode, OxiError } from '../engine/errors.ts';
import type { PauseGate } from '../engine/pause.ts';
import type { Plan } from '../engine/plan.ts';
import { makeFigures, type RunSummary } from '../engine/report.ts';
import { executeRun, type RunOptions, type RunResult } from '../engine/run.ts';
import type { StopRequest } from '../engine/stop.ts';
import type { AcquireResult, Lease, Part } from '../state/store.ts';
import { beginShared, mine, type Sharing } from './begin.ts';
import { CrewFigures } from './crew-figures.ts';
import { CrewObserver, readIn } from './crew-observer.ts';
import { crewSummary, sumGroups } from './crew-summary.ts';
import { finishShared } from './finish.ts';
import { groupStore } from './group-store.ts';
import { mergeParts } from './merge.ts';
import type { Registration } from './registration.ts';
import { type SharedDocument, SharedRun } from './shared-run.ts';

export interface CrewOptions extends Omit<RunOptions, 'input' | 'keepLease' | 'pause'> {
  sharing: Sharing;
  /** The plan for one split group. */
  planFor(share: Share): Promise<Plan>;
  keeper: CrewKeeper;
  pause: PauseGate;
  /** Threads of this worker: how many groups it claims ahead, two at most. */
  capacity: number;
  /** This worker has joined; those that it brings along may come. `giveAhead`: work that it claimed and did not begin goes back. */
  joined(worker: { giveAhead(): Promise<void> }): void;
  /** What is known of this worker has changed. */
  about(registration: CrewNews): void;
}

export type CrewNews = Pick<Registration, 'run_id' | 'state' | 'splits' | 'done' | 'records' | 'bytes'>;

export interface CrewKeeper {
  keep(lease: Lease, lost: () => void): void;
  drop(lease: Lease): void;
}

type Claimed = Extract<AcquireResult, { acquired: true }>;
type Failure = NonNullable<SharedDocument['shared']['groups'][number]['failed']>;

const IDLE_MS = 250;
/** How often somebody without work asks the others for some. */
const REBALANCE_MS = 2000;

/** Throws OxiError where nothing was started; from then on, failures are in the summary. */
export async function runCrew(o: CrewOptions): Promise<RunResult> {
  return new Crew(o).execute();
}

class Crew {
  readonly #o: CrewOptions;
  readonly #run: SharedRun;
  readonly #startedAt = performance.now();
  readonly #finished = new Set<number>();
  readonly #gone = new AbortController();
  #ahead: Claimed[] = [];
  #atWork: number | undefined;
  #document!: SharedDocument;
  #attempt = 0;
  #figures!: CrewFigures;
  #observer!: CrewObserver;
  #askedAt = Number.NEGATIVE_INFINITY;
  #claiming: Promise<void> | undefined;

  constructor(options: CrewOptions) {
    this.#o = options;
    const { store, runKey, holder, lockTimeoutMs: ttlMs, leaseWaitMs: waitMs } = options;
    this.#run = new SharedRun({
      store,
      runKey,
      holder,
      ttlMs,
      waitMs: Math.max(waitMs, ttlMs),
      keep: (lease, gone) => this.#keep(lease, gone),
    });
  }

  async execute(): Promise<RunResult> {
    const o = this.#o;
    const begun = await beginShared(this.#run, {
      ...o,
      waiting: { signal: AbortSignal.any([o.stop, o.kill]), say: (text) => o.say(text), unlessStopped: (work) => work },
    });
    this.#document = begun.document;
    this.#attempt = begun.document.attempt;
    if (begun.kind === 'over') return this.#repeat(begun.document);
    o.joined({ giveAhead: () => this.#giveAhead() });
    const outline = makeFigures(o.plan, {}, undefined);
    this.#figures = new CrewFigures(outline, this.#totalBytes);
    const observer = await o.observe({ runId: this.#runId, attempt: this.#attempt });
    this.#observer = new CrewObserver(observer, this.#figures, () => this.#tell());
    this.#countOthers();
    observer.started({
      splits: this.#document.splits,
      figures: this.#figures,
      resumedFrom: undefined,
      notices: begun.notices,
    });
    this.#tell();
    const summary = await this.#work().catch((error) => this.#failed(error));
    await this.#giveBack();
    const result = { runId: this.#runId, attempt: this.#attempt, summary, repeated: false };
    await this.#leave(summary);
    observer.finished(summary);
    return result;
  }

  /** A rebalance was asked for: what was claimed and not begun is for those who have nothing to do. */
  async #giveAhead(): Promise<void> {
    if (this.#ahead.length === 0) return;
    await this.#giveBack();
    const { store, runKey } = this.#o;
    await store.clearRequests(runKey, { kinds: ['rebalance'] });
  }

  get #runId(): string {
    return this.#document.run_id;
  }

  get #totalBytes(): number | undefined {
    const { splits } = this.#document;
    return splits.every(({ size }) => size !== undefined)
      ? splits.reduce((sum, { size = 0 }) => sum + size, 0)
      : undefined;
  }

  /** It was finished before this worker came: an attempt that does nothing but say so. */
  async #repeat(document: SharedDocument): Promise<RunResult> {
    const summary = document.summary as unknown as RunSummary;
    const attempt = document.attempt + 1;
    await this.#run.update(document.run_id, (now) => ({ ...now, attempt }));
    (await this.#o.observe({ runId: document.run_id, attempt })).finished(summary);
    return { runId: document.run_id, attempt, summary, repeated: true };
  }

  // ---------------------------------------------------------------- working

  async #work(): Promise<RunSummary> {
    const { stop, kill } = this.#o;
    for (;;) {
      if (kill.aborted) throw kill.reason;
      if (this.#gone.signal.aborted) throw this.#gone.signal.reason;
      if (stop.aborted) return this.#interrupted();
      const claimed = this.#ahead.shift() ?? (await this.#claim());
      if (claimed !== undefined) {
        const summary = await this.#workOn(claimed);
        if (summary !== undefined) return summary;
        continue;
      }
      await this.#refresh();
      if (this.#open.length === 0) return this.#completed();
      if (this.#open.every((index) => this.#failureOf(index) !== undefined)) return this.#othersFailed();
      await this.#idle();
    }
  }

  /** The next group, kept alive from here on. */
  async #claim(): Promise<Claimed | undefined> {
    const { store, runKey, holder, lockTimeoutMs } = this.#o;
    const parts = this.#candidates.map((index): Part => `split-${index}`);
    if (parts.length === 0) return undefined;
    const claimed = await store.claim(runKey, parts, holder, lockTimeoutMs);
    if (claimed !== undefined) this.#keep(claimed.lease, () => this.#gone.abort(lost(runKey)));
    return claimed;
  }

  async #workOn(claimed: Claimed): Promise<RunSummary | undefined> {
    const { lease } = claimed;
    const index = indexOf(lease);
    try {
      // What it was when we last looked may be over by now.
      await this.#refresh();
      const group = this.#document.shared.groups[index];
      if (group === undefined || group.done !== undefined) return undefined;
      this.#atWork = index;
      this.#tell();
      this.#claimAhead();
      const summary = await this.#execute(claimed, index);
      if (summary.status === 'succeeded') {
        await this.#markDone(index, readIn(summary));
        return undefined;
      }
      if (summary.status !== 'failed') return this.#interrupted();
      await this.#markFailed(index, summary);
      return this.#summary('failed', summary.exit_code, summary.error);
    } finally {
      this.#atWork = undefined;
      this.#o.keeper.drop(lease);
      await this.#o.store.release(lease).catch(() => undefined);
      this.#tell();
    }
  }

  async #execute(claimed: Claimed, index: number): Promise<RunSummary> {
    const o = this.#o;
    const document = this.#document;
    const share = { index, of: document.shared.groups.length };
    const splits = document.shared.groups[index]?.splits ?? [];
    const observer = this.#observer.forGroup();
    const { summary } = await executeRun({
      ...o,
      plan: await o.planFor(share),
      store: groupStore(o.store, index, claimed),
      input: { source: document.source ?? 0, splits, stream: document.stream },
      invocation: this.#runId,
      fresh: false,
      leaseWaitMs: 0,
      keepLease: (lease, gone) => this.#keep(lease, gone),
      observe: async () => observer,
      deliver: async () => undefined,
      say: (message) => o.say(`split ${index}: ${message}`),
      kill: AbortSignal.any([o.kill, this.#gone.signal]),
    });
    return summary;
  }

  // ---------------------------------------------------------------- choosing

  /** Groups of this worker that nobody has finished. */
  get #open(): number[] {
    const { groups } = this.#document.shared;
    return mine(this.#document, this.#o.sharing).filter(
      (index) => groups[index]?.done === undefined && !this.#finished.has(index),
    );
  }

  /** Those that it may claim, in order. */
  get #candidates(): number[] {
    const held = new Set([this.#atWork, ...this.#ahead.map(({ lease }) => indexOf(lease))]);
    return this.#open.filter((index) => !held.has(index) && this.#failureOf(index) === undefined);
  }

  /** How it failed, where trying again is for those who came later. */
  #failureOf(index: number): Failure | undefined {
    const failed = this.#document.shared.groups[index]?.failed;
    return failed !== undefined && failed.attempt >= this.#attempt ? failed : undefined;
  }

  /** Claims what comes next while there is plenty left: the fast never wait for it. */
  #claimAhead(): void {
    if (this.#claiming !== undefined || this.#o.sharing.kind === 'shard') return;
    const most = Math.min(2, this.#o.capacity);
    const claim = async (): Promise<void> => {
      while (this.#ahead.length < most && this.#candidates.length > 2 * EACH_LEFT && !this.#o.stop.aborted) {
        const claimed = await this.#claim();
        if (claimed === undefined) return;
        this.#ahead.push(claimed);
        this.#tell();
      }
    };
    this.#claiming = claim()
      .catch(() => undefined)
      .finally(() => {
        this.#claiming = undefined;
      });
  }

  async #giveBack(): Promise<void> {
    await this.#claiming;
    const ahead = this.#ahead.splice(0);
    for (const { lease } of ahead) {
      this.#o.keeper.drop(lease);
      await this.#o.store.release(lease).catch(() => undefined);
    }
    if (ahead.length > 0) this.#tell();
  }

  /** Others are at work on all that is left: should one of them die, there is something to do again. */
  async #idle(): Promise<void> {
    const { store, runKey, holder, stop, kill } = this.#o;
    if (performance.now() - this.#askedAt >= REBALANCE_MS) {
      this.#askedAt = performance.now();
      await store.clearRequests(runKey, { kinds: ['rebalance'] });
      await store.request(runKey, { kind: 'rebalance', at: this.#o.now().toISOString(), from: holder.workerId });
    }
    const signal = AbortSignal.any([stop, kill, this.#gone.signal]);
    await sleep(IDLE_MS, undefined, { signal }).catch(() => undefined);
  }

  // ---------------------------------------------------------------- the document

  async #refresh(): Promise<void> {
    this.#document = await this.#run.read();
    this.#countOthers();
  }

  #countOthers(): void {
    const others = { records: 0, bytes: 0 };
    this.#document.shared.groups.forEach(({ done }, index) => {
      if (done === undefined || this.#finished.has(index)) return;
      others.records += done.records;
      others.bytes += done.bytes;
    });
    this.#figures.others = others;
  }

  async #markDone(index: number, read: { records: number; bytes: number }): Promise<void> {
    const done = { worker_id: this.#o.holder.workerId, at: this.#o.now().toISOString(), ...read };
    this.#finished.add(index);
    // Lost with the machine, it is found out again: the group's own document says so.
    this.#document = await this.#run.update(this.#runId, (document) => changed(document, index, { done }));
    this.#countOthers();
  }

  async #markFailed(index: number, { error, exit_code }: RunSummary): Promise<void> {
    // Whoever lost the group has no say about it.
    if (exit_code === EXIT.leaseHeld) return;
    const failed: Failure = {
      worker_id: this.#o.holder.workerId,
      attempt: this.#attempt,
      at: this.#o.now().toISOString(),
      code: error?.code ?? 'INTERNAL',
      message: error?.message ?? '',
      exit_code,
    };
    this.#document = await this.#run
      .update(this.#runId, (document) => changed(document, index, { failed }))
      .catch(() => this.#document);
  }

  /** How the run stands when this worker goes: as long as others work on it, that is theirs to say. */
  async #leave(summary: RunSummary): Promise<void> {
    if (summary.status === 'succeeded') return;
    const { store, runKey, pipeline } = this.#o;
    const status: RunDocument['status'] = summary.status === 'failed' ? 'failed' : 'interrupted';
    try {
      const living = (await store.parts(runKey, 'split-')).some(({ lease }) => lease !== undefined && !lease.over);
      if (!living)
        await this.#run.update(this.#runId, (document) =>
          document.status === 'running'
            ? {
                ...document,
                status,
                ...(summary.error === undefined
                  ? {}
                  : { error: { code: summary.error.code, message: summary.error.message } }),
              }
            : undefined,
        );
      await store.appendHistory({
        runKey,
        runId: this.#runId,
        pipeline,
        attempt: this.#attempt,
        status: summary.status,
        finishedAt: this.#o.now().toISOString(),
        summary: summary as never,
      });
    } catch {
      // A store that is gone changes nothing about how the attempt ended.
    }
  }

  // ---------------------------------------------------------------- ends

  /** All that this worker was to do is done; the last one of all finishes the run. */
  async #completed(): Promise<RunSummary> {
    const { sharing } = this.#o;
    const all = this.#document.shared.groups.every(({ done }) => done !== undefined);
    if (all) {
      const finished = await finishShared(this.#run, {
        ...this.#o,
        document: this.#document,
        publish: (lease, gone) => this.#publish(lease, gone),
        summarize: async (outputs) => this.#summary('succeeded', 0, undefined, outputs),
        deliver: (summary) => this.#o.deliver({ runId: this.#runId, attempt: this.#attempt, summary, repeated: false }),
      });
      return finished;
    }
    if (sharing.kind !== 'shard') throw new Error('a worker that joined ends with the run');
    const summary = await this.#summary('succeeded', 0, undefined);
    await this.#o.deliver({ runId: this.#runId, attempt: this.#attempt, summary, repeated: false });
    return summary;
  }

  async #interrupted(): Promise<RunSummary> {
    const stop = this.#o.stop.reason as StopRequest;
    return this.#summary(stop.cancelled ? 'cancelled' : 'interrupted', stop.exitCode, undefined);
  }

  async #othersFailed(): Promise<RunSummary> {
    const [index = 0] = this.#open;
    const { code, message, worker_id, exit_code } = this.#failureOf(index) as Failure;
    return this.#summary('failed', exit_code as ExitCode, {
      code: code as ErrorCode,
      message: `split ${index} failed, at worker ${worker_id}: ${message}`,
    });
  }

  async #failed(error: unknown): Promise<RunSummary> {
    if (this.#o.stop.aborted && error === this.#o.kill.reason) return this.#interrupted();
    const known = error instanceof OxiError;
    const message = known ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
    return this.#summary('failed', known ? error.exitCode : EXIT.failed, {
      code: known ? error.code : 'INTERNAL',
      message: this.#o.redact(message),
    });
  }

  async #summary(
    status: RunSummary['status'],
    exit_code: ExitCode,
    error: RunSummary['error'],
    outputs?: RunSummary['outputs'],
  ): Promise<RunSummary> {
    const { plan } = this.#o;
    // A store that is gone tells nothing; how the attempt ended is told all the same.
    const total = await this.#total().catch(() => ({ counters: {}, outputs: [], elapsedMs: 0 }));
    return crewSummary({
      status,
      exit_code,
      error,
      checkpoint: this.#observer.checkpoints,
      outputs: outputs ?? total.outputs.flat(),
      plan,
      total,
      figures: this.#figures,
      attemptMs: performance.now() - this.#startedAt,
    });
  }

  /** Parts that are to become one are joined; called again where a worker died in it. */
  async #publish(lease: Lease, gone: AbortSignal): Promise<RunSummary['outputs']> {
    const { store, plan, projectRoot, runKey, pipeline } = this.#o;
    const { outputs: groups } = await this.#total();
    return mergeParts({
      plan,
      stream: this.#document.stream,
      projectRoot,
      run: { runKey, runId: this.#runId, pipeline, token: lease.token },
      groups,
      mustHold: async () => {
        gone.throwIfAborted();
        if (!(await store.renew(lease))) throw lost(runKey);
      },
    });
  }

  #total(): ReturnType<typeof sumGroups> {
    const { store, runKey, sharing } = this.#o;
    return sumGroups(store, runKey, this.#runId, mine(this.#document, sharing));
  }

  // ---------------------------------------------------------------- what others see

  #keep(lease: Lease, gone: () => void): AsyncDisposable {
    const { keeper } = this.#o;
    keeper.keep(lease, gone);
    return { [Symbol.asyncDispose]: async () => keeper.drop(lease) };
  }

  #tell(): void {
    const { stop, pause } = this.#o;
    const state = stop.aborted
      ? 'draining'
      : pause.closedBy !== undefined
        ? 'paused'
        : this.#atWork === undefined
          ? 'waiting'
          : 'working';
    const splits = [this.#atWork, ...this.#ahead.map(({ lease }) => indexOf(lease))].filter(
      (index) => index !== undefined,
    );
    this.#o.about({ run_id: this.#runId, state, splits, done: this.#finished.size, ...this.#figures.own });
  }
}

/** Groups that are left for others when one is claimed ahead. */
const EACH_LEFT = 2;

function indexOf({ part }: Lease): number {
  return Number(part.slice('split-'.length));
}

function changed(
  document: SharedDocument,
  index: number,
  change: Partial<SharedDocument['shared']['groups'][number]>,
): SharedDocument {
  const groups = document.shared.groups.map((group, i) => {
    if (i !== index) return group;
    const { failed: _, ...rest } = group;
    return { ...rest, ...change };
  });
  return { ...document, shared: { ...document.shared, groups } };
}
