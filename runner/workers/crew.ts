/**
 * One worker of a shared run: claims split groups, works on one after the other, each as a run of its own, and sees to it that the
 * run is finished when all of them are. What a dead worker has begun goes on from its last checkpoint, here or elsewhere.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { lost } from '../engine/checkpoint.ts';
import type { Share } from '../engine/contracts.ts';
import { crashpoint } from '../engine/crashpoint.ts';
import { type ErrorCode, EXIT, type ExitCode, OxiError } from '../engine/errors.ts';
import { workerText } from '../engine/hold.ts';
import type { PauseGate } from '../engine/pause.ts';
import type { Plan } from '../engine/plan.ts';
import { makeFigures, type RunSummary } from '../engine/report.ts';
import { executeRun, type RunOptions, type RunResult } from '../engine/run.ts';
import { historyEntry } from '../engine/run-record.ts';
import type { StopRequest } from '../engine/stop.ts';
import type { Registration } from '../state/registration.ts';
import type { Lease } from '../state/store.ts';
import { type BeginOptions, beginShared, mine, type Sharing } from './begin.ts';
import { type Claimed, Claims, indexOf, type LeaseKeeper } from './claims.ts';
import { CrewFigures } from './crew-figures.ts';
import { CrewObserver, readIn } from './crew-observer.ts';
import { crewSummary, type GroupsSum, sumGroups } from './crew-summary.ts';
import { finishShared } from './finish.ts';
import { groupStore } from './group-store.ts';
import { type Failure, GroupTable } from './group-table.ts';
import { mergeParts, mergingSteps } from './merge.ts';
import { dropDead } from './registrar.ts';
import { type SharedDocument, SharedRun } from './shared-run.ts';

export interface CrewOptions extends Omit<RunOptions, 'input' | 'keepLease' | 'pause'> {
  sharing: Sharing;
  /** The plan for one split group. */
  planFor(share: Share): Promise<Plan>;
  keeper: LeaseKeeper;
  requests: BeginOptions['requests'];
  pause: PauseGate;
  /** Threads of this worker: how many groups it claims ahead, two at most. */
  capacity: number;
  /** This worker has joined; those that it brings along may come. `giveAhead`: work that it claimed and did not begin goes back. */
  joined(worker: { giveAhead(): Promise<void> }): void;
  /** What is known of this worker has changed. */
  about(registration: CrewNews): void;
}

export type CrewNews = Pick<Registration, 'run_id' | 'state' | 'splits' | 'done' | 'records' | 'bytes'>;

/** Somebody without work looks again after a part of the time that it has waited: it is late by no more than that part. */
const IDLE_PART = 1 / 8;
const LEAST_IDLE_MS = 10;
const MOST_IDLE_MS = 250;
/** Claims ahead: enough to hide the way to the store, little enough to leave the rest to others. */
const MOST_AHEAD = 2;
/** How long a worker that goes waits for another one that is at the run's document. */
const LEAVING_MS = 3000;
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
  readonly #gone = new AbortController();
  #table!: GroupTable;
  #figures!: CrewFigures;
  #observer!: CrewObserver;
  #askedAt = Number.NEGATIVE_INFINITY;
  #waitsSince: number | undefined;
  readonly #claims: Claims;

  constructor(options: CrewOptions) {
    this.#o = options;
    const { store, runKey, holder, lockTimeoutMs: ttlMs, kill } = options;
    this.#run = new SharedRun({
      store,
      runKey,
      holder,
      ttlMs,
      kill,
      keep: (lease, gone) => this.#keep(lease, gone),
      say: (message) => options.say(message),
    });
    this.#claims = new Claims({
      store,
      runKey,
      holder,
      ttlMs,
      keeper: options.keeper,
      most: options.sharing.kind === 'shard' ? 0 : Math.min(MOST_AHEAD, options.capacity),
      candidates: () => this.#table.candidates,
      lost: (why) => this.#gone.abort(why ?? lost(runKey)),
      changed: () => this.#tell(),
    });
  }

  async execute(): Promise<RunResult> {
    const o = this.#o;
    const begun = await beginShared(this.#run, {
      ...o,
      waiting: { signal: AbortSignal.any([o.stop, o.kill]), say: (text) => o.say(text), unlessStopped: (work) => work },
    });
    this.#table = new GroupTable(
      { run: this.#run, sharing: o.sharing, workerId: o.holder.workerId, now: o.now },
      begun.document,
    );
    if (begun.kind === 'over') return this.#repeat(begun.document);
    o.joined({ giveAhead: () => this.#giveAhead() });
    const outline = makeFigures(o.plan, {}, undefined);
    this.#figures = new CrewFigures(outline, this.#totalBytes, () => this.#table.others);
    const observer = await o.observe({ runId: this.#runId, attempt: this.#table.attempt });
    this.#observer = new CrewObserver(observer, this.#figures, () => this.#tell());
    observer.started({
      splits: this.#table.document.splits,
      figures: this.#figures,
      resumedFrom: undefined,
      notices: begun.notices,
    });
    this.#tell();
    const summary = await this.#work().catch((error) => this.#failed(error));
    await this.#claims.giveBack();
    await this.#leave(summary);
    observer.finished(summary);
    return this.#resultOf(summary);
  }

  /** A rebalance was asked for: what was claimed and not begun is for those who have nothing to do. */
  async #giveAhead(): Promise<void> {
    const { store, runKey } = this.#o;
    if (await this.#claims.giveBack()) await store.clearRequests(runKey, { kinds: ['rebalance'] });
  }

  get #runId(): string {
    return this.#table.runId;
  }

  get #totalBytes(): number | undefined {
    const { splits } = this.#table.document;
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
    const { stop, kill, pause } = this.#o;
    for (;;) {
      if (kill.aborted) throw kill.reason;
      if (this.#gone.signal.aborted) throw this.#gone.signal.reason;
      if (stop.aborted) return this.#interrupted();
      if (pause.closedBy !== undefined) {
        await pause.opened(AbortSignal.any([stop, kill, this.#gone.signal]));
        continue;
      }
      const claimed = await this.#claims.next();
      if (claimed !== undefined) {
        const summary = await this.#workOn(claimed);
        if (summary !== undefined) return summary;
        continue;
      }
      await this.#table.refresh();
      if (this.#table.open.length === 0) return this.#completed();
      if (this.#table.candidates.length === 0) return this.#othersFailed();
      await this.#idle();
    }
  }

  async #workOn(claimed: Claimed): Promise<RunSummary | undefined> {
    const index = indexOf(claimed.lease);
    crashpoint('claimed');
    try {
      // What it was when we last looked may be over by now.
      await this.#table.refresh();
      if (!this.#table.candidates.includes(index)) return undefined;
      this.#waitsSince = undefined;
      this.#tell();
      this.#claims.claimAhead();
      const summary = await this.#execute(claimed, index);
      if (summary.status === 'succeeded') {
        await this.#table.markDone(index, readIn(summary));
        return undefined;
      }
      if (summary.status !== 'failed') return this.#interrupted();
      await this.#table.markFailed(index, summary);
      return this.#summary('failed', summary.exit_code, summary.error);
    } finally {
      await this.#claims.endCurrent();
    }
  }

  async #execute(claimed: Claimed, index: number): Promise<RunSummary> {
    const o = this.#o;
    const { document } = this.#table;
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
      // Kept since it was claimed, and until it is given back.
      keepLease: () => ({ [Symbol.asyncDispose]: async () => undefined }),
      observe: async () => observer,
      deliver: async () => undefined,
      say: (message) => o.say(`split ${index}: ${message}`),
      kill: AbortSignal.any([o.kill, this.#gone.signal]),
    });
    o.watch?.clear();
    return summary;
  }

  // ---------------------------------------------------------------- waiting

  /** Others are at work on all that is left: should one of them die, there is something to do again. */
  async #idle(): Promise<void> {
    const { store, runKey, holder, stop, kill, sharing, leaseWaitMs } = this.#o;
    this.#waitsSince ??= performance.now();
    if (sharing.kind === 'shard' && performance.now() - this.#waitsSince > leaseWaitMs) throw await this.#held(sharing);
    if (performance.now() - this.#askedAt >= REBALANCE_MS) {
      this.#askedAt = performance.now();
      await store.clearRequests(runKey, { kinds: ['rebalance'] });
      await store.request(runKey, { kind: 'rebalance', at: this.#o.now().toISOString(), from: holder.workerId });
    }
    const signal = AbortSignal.any([stop, kill, this.#gone.signal]);
    const waited = performance.now() - this.#waitsSince;
    const idleMs = Math.min(MOST_IDLE_MS, Math.max(LEAST_IDLE_MS, IDLE_PART * waited));
    await sleep(idleMs, undefined, { signal }).catch(() => undefined);
  }

  /** The shard is another worker's. */
  async #held({ index, of }: { index: number; of: number }): Promise<OxiError> {
    const { store, runKey, leaseWaitMs } = this.#o;
    const standing = await store.standing(runKey, `split-${index}`);
    const who = standing === undefined ? 'another worker' : workerText(standing.holder);
    return new OxiError(
      'LEASE_HELD',
      `run "${runKey}": ${who} works on shard ${index}/${of}; waited ${Math.round(leaseWaitMs / 100) / 10} s (--lease-wait). Try again later, or stop that worker`,
    );
  }

  /** How the run stands when this worker goes: as long as others work on it, that is theirs to say. */
  async #leave(summary: RunSummary): Promise<void> {
    // Whoever lost its work to another one has no say about the run.
    if (summary.status === 'succeeded' || summary.exit_code === EXIT.leaseHeld) return;
    const { store, runKey, pipeline } = this.#o;
    try {
      const living = (await store.parts(runKey, 'split-')).some(({ lease }) => lease !== undefined && !lease.over);
      // One that is being finished may be held for long: then it is not for this worker to say how it ended.
      if (!living) await this.#table.markEnded(summary, AbortSignal.timeout(LEAVING_MS)).catch(() => undefined);
      // Others have done all of it meanwhile.
      if (this.#table.document.status === 'finished') return;
      const about = { run_id: this.#runId, pipeline, attempt: this.#table.attempt };
      await store.appendHistory(historyEntry(runKey, about, summary, this.#o.now().toISOString()));
    } catch {
      // A store that is gone changes nothing about how the attempt ended.
    }
  }

  // ---------------------------------------------------------------- ends

  /** All that this worker was to do is done; the last one of all finishes the run. */
  async #completed(): Promise<RunSummary> {
    const { sharing, store, runKey, holder, lockTimeoutMs } = this.#o;
    if (this.#table.allDone) {
      return finishShared(this.#run, {
        ...this.#o,
        document: this.#table.document,
        publish: (lease, gone) => this.#publish(lease, gone),
        summarize: (outputs) => this.#summary('succeeded', 0, undefined, outputs),
        deliver: (summary) => this.#o.deliver(this.#resultOf(summary)),
        // What can't be taken away now is swept away later.
        dropDead: () => dropDead(store, runKey, holder, lockTimeoutMs).catch(() => undefined),
        until: this.#o.stop,
      });
    }
    if (sharing.kind !== 'shard') throw new Error('a worker that joined ends with the run');
    const summary = await this.#summary('succeeded', 0, undefined);
    await this.#o.deliver(this.#resultOf(summary));
    return summary;
  }

  #resultOf(summary: RunSummary): RunResult {
    return { runId: this.#runId, attempt: this.#table.attempt, summary, repeated: false };
  }

  async #interrupted(): Promise<RunSummary> {
    const stop = this.#o.stop.reason as StopRequest;
    return this.#summary(stop.cancelled ? 'cancelled' : 'interrupted', stop.exitCode, undefined);
  }

  async #othersFailed(): Promise<RunSummary> {
    const [index = 0] = this.#table.open;
    const { code, message, worker_id, exit_code } = this.#table.failureOf(index) as Failure;
    return this.#summary('failed', exit_code as ExitCode, {
      code: code as ErrorCode,
      message: `split ${index} failed, at worker ${worker_id}: ${message}`,
    });
  }

  async #failed(error: unknown): Promise<RunSummary> {
    const { stop, kill } = this.#o;
    if (stop.aborted && (error === kill.reason || error === stop.reason)) return this.#interrupted();
    const known = error instanceof OxiError;
    const message = known ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
    return this.#summary('failed', known ? error.exitCode : EXIT.failed, {
      code: known ? error.code : 'INTERNAL',
      message: this.#o.redact(message),
    });
  }

  /** `outputs`: of the whole run, by whoever finishes it; without them it tells of the groups that were this worker's to do. */
  async #summary(
    status: RunSummary['status'],
    exit_code: ExitCode,
    error: RunSummary['error'],
    outputs?: RunSummary['outputs'],
  ): Promise<RunSummary> {
    const { plan } = this.#o;
    // A store that is gone tells nothing; how the attempt ended is told all the same.
    const groups = outputs === undefined ? this.#mine : this.#all;
    const total = await this.#total(groups).catch(() => ({ counters: {}, outputs: [], elapsedMs: 0 }));
    return crewSummary({
      status,
      exit_code,
      error,
      checkpoint: this.#observer.checkpoints,
      outputs: outputs ?? (await this.#published(groups, total.outputs)),
      plan,
      total,
      figures: this.#figures,
      attemptMs: performance.now() - this.#startedAt,
    });
  }

  /** Of what these groups have made, what this worker has put in place: parts that are to become one are not there yet. */
  async #published(groups: readonly number[], made: GroupsSum['outputs']): Promise<RunSummary['outputs']> {
    const { sharing, plan } = this.#o;
    const own = sharing.kind === 'shard' ? new Set(groups) : this.#table.finished;
    const merging = await mergingSteps(plan);
    return groups
      .flatMap((group, i) => (own.has(group) ? (made[i] ?? []) : []))
      .filter(({ step }) => !merging.has(step));
  }

  /** Parts that are to become one are joined; called again where a worker died in it. */
  async #publish(lease: Lease, gone: AbortSignal): Promise<RunSummary['outputs']> {
    const { store, plan, projectRoot, runKey, pipeline } = this.#o;
    const { outputs: groups } = await this.#total(this.#all);
    return mergeParts({
      plan,
      stream: this.#table.document.stream,
      projectRoot,
      run: { runKey, runId: this.#runId, pipeline, token: lease.token },
      groups,
      replaces: this.#table.document.replaces,
      mustHold: async () => {
        gone.throwIfAborted();
        this.#o.kill.throwIfAborted();
        if (!(await store.renew(lease))) throw lost(runKey);
      },
    });
  }

  #total(groups: readonly number[]): ReturnType<typeof sumGroups> {
    const { store, runKey } = this.#o;
    return sumGroups(store, runKey, this.#runId, groups);
  }

  get #mine(): number[] {
    return mine(this.#table.document, this.#o.sharing);
  }

  get #all(): number[] {
    return [...this.#table.document.shared.groups.keys()];
  }

  // ---------------------------------------------------------------- what others see

  #keep(lease: Lease, gone: () => void): AsyncDisposable {
    const { keeper } = this.#o;
    keeper.keep(lease, gone);
    return { [Symbol.asyncDispose]: async () => keeper.drop(lease) };
  }

  #tell(): void {
    const { stop, pause } = this.#o;
    const atWork = this.#claims.isIdle ? 'waiting' : 'working';
    const state = stop.aborted ? 'draining' : pause.closedBy !== undefined ? 'paused' : atWork;
    const splits = this.#claims.held;
    this.#o.about({ run_id: this.#runId, state, splits, done: this.#table.finished.size, ...this.#figures.own });
  }
}
