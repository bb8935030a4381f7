/**
 * One attempt of a run, from the lease to the summary: finds out what is left to do, opens the sinks at their marks, lets the
 * flow run, and publishes. Whatever happens in between, the next attempt goes on from the last checkpoint.
 */
import { randomUUID } from 'node:crypto';
import type { Grade, Holder, Json, Lease, StateStore, StoredDocument } from '../state/store.ts';
import { type Assembly, makeEncoder, runFlow } from './assemble.ts';
import { bytesBefore, Committer, lost } from './checkpoint.ts';
import type { Mark, Output, SinkRun, Split, StreamInfo } from './contracts.ts';
import { crashpoint } from './crashpoint.ts';
import {
  type Checkpoint,
  parseRunDocument,
  parseSplitDocument,
  type RunDocument,
  type SplitDocument,
} from './documents.ts';
import { OxiError } from './errors.ts';
import { detectStream } from './flow-source.ts';
import { type Held, holdLease } from './hold.ts';
import type { Plan, PlannedSink } from './plan.ts';
import { countersReport, makeFigures, type RunFigures, type RunObserver, type RunSummary } from './report.ts';
import { findBeginning } from './resume.ts';
import type { StopRequest } from './stop.ts';

export interface RunOptions extends Assembly {
  plan: Plan;
  pipeline: string;
  store: StateStore;
  holder: Holder;
  runKey: string;
  /** Names one request for this run: a finished run is not repeated for the same one. */
  invocation: string | undefined;
  fresh: boolean;
  acceptChanges: boolean;
  lockTimeoutMs: number;
  leaseWaitMs: number;
  /** Keeps the lease alive from a thread of its own, from the moment it is called. */
  keepLease(lease: Lease, on: { lost(): void; cancelled(from: string): void }): AsyncDisposable;
  observe(identity: { runId: string; attempt: number }): Promise<RunObserver>;
  /** Hands out the result of a success before the run is marked as finished; where it throws, a retry publishes and delivers. */
  deliver(result: RunResult): Promise<void>;
  say(message: string): void;
  /** A cancel request came through the store. */
  cancelled(from: string): void;
  now(): Date;
}

export interface RunResult {
  runId: string;
  attempt: number;
  summary: RunSummary;
  /** Nothing ran: the run had finished under the same invocation. */
  repeated: boolean;
}

const PART = 'split-0';
const HISTORY_MS = 30 * 24 * 3600 * 1000;

/** Throws OxiError where nothing was started; from the first line of work on, failures are in the summary. */
export async function executeRun(o: RunOptions): Promise<RunResult> {
  const held = await holdLease({
    store: o.store,
    runKey: o.runKey,
    holder: o.holder,
    ttlMs: o.lockTimeoutMs,
    waitMs: o.leaseWaitMs,
    stop: o.stop,
    say: o.say,
  });
  const gone = new AbortController();
  const keeper = o.keepLease(held.lease, {
    lost: () => gone.abort(lost(o.runKey)),
    cancelled: (from) => o.cancelled(from),
  });
  try {
    return await new Run({ ...o, kill: AbortSignal.any([o.kill, gone.signal]) }, held).execute();
  } finally {
    await keeper[Symbol.asyncDispose]();
    if (!gone.signal.aborted) await o.store.release(held.lease).catch(() => undefined);
  }
}

class Run {
  readonly #o: RunOptions;
  readonly #held: Held;
  readonly #lease: Lease;
  readonly #sinks: readonly PlannedSink[];
  readonly #startedAt = performance.now();
  #document!: RunDocument;
  #version = 0;

  constructor(options: RunOptions, held: Held) {
    this.#o = options;
    this.#held = held;
    this.#lease = held.lease;
    this.#sinks = options.plan.nodes.filter((node) => node.kind === 'sink');
  }

  async execute(): Promise<RunResult> {
    const { store, runKey, plan, invocation, fresh } = this.#o;
    // A request to an earlier attempt must not end this one.
    await store.clearRequests(runKey);
    const stored = await store.read(runKey, 'run');
    const storedSplit = await store.read(runKey, PART);
    // A finished run that nobody asks for again is only replaced: what it was is in the history.
    const over =
      stored?.body.status === 'finished' && (invocation === undefined || stored.body.invocation !== invocation);
    const before = stored === undefined || over ? undefined : parseRunDocument(stored.body);
    const split = parseSplit(storedSplit, before);
    this.#version = stored?.version ?? 0;
    if (!fresh && before?.status === 'finished' && invocation !== undefined && before.invocation === invocation)
      return this.#repeat(before);

    const beginning = await findBeginning(before, split, this.#o);
    const { run, notices } = beginning;
    const splits = run?.splits ?? (await plan.source.source.splits());
    if (run === undefined) for (const { sink } of this.#sinks) await sink.check?.();
    const stream = run?.stream ?? (await this.#unlessStopped(detectFraming(plan, splits)));
    // Made once to find what is wrong with it before anything is written; the flow makes its own.
    for (const sink of this.#sinks) makeEncoder(sink, stream, this.#o.projectRoot);
    const runId = run?.run_id ?? randomUUID();
    const committer = new Committer({
      store,
      lease: this.#lease,
      runId,
      version: storedSplit?.version ?? 0,
      document: split,
      source: plan.source.source,
      splits,
      now: this.#o.now,
      elapsedMs: () => (beginning.from?.elapsed_ms ?? 0) + this.#elapsed(),
    });
    // Checkpoints of another run go first: were this process to die behind the next line, the run begins from zero again.
    if (run === undefined && storedSplit !== undefined) await committer.reset();
    crashpoint('begin');
    // A worker that is too late takes away what it has opened; but for what it took over, which may be all that there is.
    const orLetGo = <T>(work: Promise<T>): Promise<T> =>
      work.catch(async (error) => {
        await this.#closeSinks(beginning.from === undefined);
        throw error;
      });
    const lostReason = await orLetGo(this.#openSinks(this.#sinkRun(runId, beginning.finishing), beginning.from));
    if (lostReason !== undefined) {
      notices.push(`${lostReason}: the run starts from zero`);
      beginning.from = undefined;
      beginning.finishing = false;
      await orLetGo(committer.reset());
    }
    crashpoint('opened');
    const { from, finishing } = beginning;
    const attempt = (run?.attempt ?? 0) + 1;
    this.#document = {
      run_key: runKey,
      run_id: runId,
      pipeline: this.#o.pipeline,
      attempt,
      status: finishing ? 'finishing' : 'running',
      ...(invocation === undefined ? {} : { invocation }),
      plan: beginning.hashes,
      stream,
      splits: splits.map(({ index, name, size }) => ({ index, name, ...(size === undefined ? {} : { size }) })),
      started_at: run?.started_at ?? this.#o.now().toISOString(),
      worker_id: this.#o.holder.workerId,
      ...(from === undefined ? {} : { resumed_from: from.n }),
    };
    // With the first hard checkpoint this has to be durable, and not before.
    await orLetGo(this.#save(store.ordered ? 'soft' : 'hard'));

    const observer = await this.#o.observe({ runId, attempt });
    const figures = makeFigures(plan, from?.counters ?? {}, totalOf(splits));
    figures.records = from?.records ?? 0;
    figures.bytes = from?.bytes ?? 0;
    observer.started({ plan, splits, figures, resumedFrom: from, notices });
    const work = { observer, figures, from, committer, splits, stream, finishing };
    const summary = await this.#work(work)
      .then(async (done) => {
        if (done.status === 'succeeded') await this.#o.deliver({ runId, attempt, summary: done, repeated: false });
        return done;
      })
      .catch((error) => this.#failed(error, figures, committer));
    // Nothing was saved that speaks of what the sinks hold: nobody goes on from it.
    await this.#closeSinks(summary.status === 'failed' && from === undefined && committer.last === undefined);
    await plan.source.source.close();
    await this.#end(summary);
    observer.finished(summary);
    return { runId, attempt, summary, repeated: false };
  }

  /** The run has finished under this invocation: an attempt that does nothing but say so. */
  async #repeat(before: RunDocument): Promise<RunResult> {
    const { run_id: runId } = before;
    const attempt = before.attempt + 1;
    this.#document = { ...before, attempt };
    await this.#save('soft');
    const summary = before.summary as unknown as RunSummary;
    (await this.#o.observe({ runId, attempt })).finished(summary);
    return { runId, attempt, summary, repeated: true };
  }

  async #work(work: {
    observer: RunObserver;
    figures: RunFigures;
    from: Checkpoint | undefined;
    committer: Committer;
    splits: readonly Split[];
    stream: StreamInfo;
    finishing: boolean;
  }): Promise<RunSummary> {
    const { observer, figures, from, committer, splits, stream } = work;
    if (!work.finishing) {
      const ended = await runFlow(this.#o, {
        from,
        splits,
        stream,
        figures,
        startMs: Date.parse(this.#document.started_at),
        commit: async (barrier) => {
          const checkpoint = await committer.commit(barrier);
          await this.#published(checkpoint);
          observer.checkpoint(checkpoint, splits);
        },
        recordErrors: (messages) => observer.recordErrors(messages),
        skip: this.#skip,
      });
      if (ended === 'interrupted') return this.#interrupted(figures, committer);
    } else if (from !== undefined) {
      const marks: Record<string, Mark> = {};
      for (const { sink, step } of this.#sinks) marks[step.id] = await sink.prepare(from.n, 'hard');
      await committer.restate(marks);
    }
    const last = committer.last;
    if (last === undefined) throw new Error('the flow ended without a checkpoint');
    this.#document = { ...this.#document, status: 'finishing' };
    const outputs = await this.#finish(last);
    return this.#summary('succeeded', 0, figures, committer, outputs);
  }

  /** Opens every sink at its mark; returns why all of them were opened anew, where one has lost what its mark speaks of. */
  async #openSinks(run: (step: string) => SinkRun, from: Checkpoint | undefined): Promise<string | undefined> {
    let reason: string | undefined;
    for (const { sink, step } of this.#sinks) {
      const mark = from?.marks[step.id] as Mark | undefined;
      const held = await sink.open(run(step.id), mark);
      if (held.at === 'lost') reason ??= `step "${step.id}": ${held.reason}`;
      else if (from !== undefined && mark === undefined) reason ??= `step "${step.id}" is new and holds nothing`;
      else if (held.at === 'ahead') this.#skip.set(step.id, held.mark.records - (mark?.records ?? 0));
    }
    if (reason === undefined) return undefined;
    this.#skip.clear();
    for (const { sink, step } of this.#sinks) {
      await sink.abort();
      await sink.open(run(step.id), undefined);
    }
    return reason;
  }

  readonly #skip = new Map<string, number>();

  async #closeSinks(discard: boolean): Promise<void> {
    if (discard) for (const { sink } of this.#sinks) await sink.abort().catch(() => undefined);
    for (const { sink } of this.#sinks) await sink.close();
  }

  #sinkRun(runId: string, finishing: boolean): (step: string) => SinkRun {
    const { predecessor } = this.#held;
    return (step) => ({
      runKey: this.#o.runKey,
      runId,
      pipeline: this.#o.pipeline,
      step,
      token: this.#lease.token,
      ...(predecessor === undefined
        ? {}
        : { predecessor: { token: predecessor.token, provenDead: predecessor.provenDead || predecessor.released } }),
      finishing,
    });
  }

  async #published(checkpoint: Checkpoint): Promise<void> {
    for (const { sink } of this.#sinks) await sink.published?.(checkpoint.n);
    const { source } = this.#o.plan.source;
    const split = this.#document.splits[checkpoint.position.split];
    if (split !== undefined) await source.committed?.(split as Split, checkpoint.position.offset);
  }

  async #finish(last: Checkpoint): Promise<RunSummary['outputs']> {
    const outputs: ({ step: string } & Output)[] = [];
    for (const { sink, step } of this.#sinks) {
      const mark = last.marks[step.id] as Mark | undefined;
      if (mark === undefined) throw new Error(`no mark of "${step.id}" in the last checkpoint`);
      outputs.push({ step: step.id, ...(await sink.finish(mark)) });
    }
    return outputs;
  }

  #interrupted(figures: RunFigures, committer: Committer): RunSummary {
    const stop = this.#o.stop.reason as StopRequest;
    return this.#summary(stop.cancelled ? 'cancelled' : 'interrupted', stop.exitCode, figures, committer, []);
  }

  /** Says how the attempt failed; a worker that lost its lease has failed by that, whatever it ran into afterwards. */
  async #failed(error: unknown, figures: RunFigures, committer: Committer): Promise<RunSummary> {
    const held = await this.#o.store.renew(this.#lease).catch(() => true);
    const cause = held ? error : lost(this.#o.runKey);
    if (this.#o.stop.aborted && held && this.#o.kill.aborted) return this.#interrupted(figures, committer);
    const known = cause instanceof OxiError;
    const summary = this.#summary('failed', known ? cause.exitCode : 1, figures, committer, []);
    const message = known ? cause.message : cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    return { ...summary, error: { code: known ? cause.code : 'INTERNAL', message: this.#o.redact(message) } };
  }

  #summary(
    status: RunSummary['status'],
    exit_code: RunSummary['exit_code'],
    figures: RunFigures,
    committer: Committer,
    outputs: RunSummary['outputs'],
  ): RunSummary {
    const attempt_ms = this.#elapsed();
    const checkpoint = committer.last;
    const earlier = Math.max(0, (checkpoint?.elapsed_ms ?? 0) - attempt_ms);
    return {
      status,
      exit_code,
      checkpoint: checkpoint?.n ?? 0,
      counters: countersReport(figures),
      durations: { attempt_ms: Math.round(attempt_ms), total_ms: Math.round(earlier + attempt_ms) },
      outputs,
    };
  }

  /** Writes down how the attempt ended. A store that is gone, or belongs to another worker by now, changes nothing about that. */
  async #end(summary: RunSummary): Promise<void> {
    const { store, runKey, pipeline } = this.#o;
    const { status, error } = summary;
    const finished = status === 'succeeded';
    const at = this.#o.now().toISOString();
    this.#document = {
      ...this.#document,
      status: finished ? 'finished' : status === 'failed' ? 'failed' : 'interrupted',
      ...(finished ? { finished_at: at } : {}),
      ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
      summary: summary as unknown as { [key: string]: Json },
    };
    crashpoint('end');
    try {
      // Lost with the machine, it is found out again: the outputs are in place and the last checkpoint says so.
      await this.#save('soft');
      const { run_id, attempt } = this.#document;
      await store.appendHistory({
        runKey,
        runId: run_id,
        pipeline,
        attempt,
        status,
        finishedAt: at,
        summary: summary as unknown as { [key: string]: Json },
      });
      if (finished) await store.prune(HISTORY_MS);
    } catch (failure) {
      if (finished) throw failure;
    }
    crashpoint('ended');
  }

  async #save(grade: Grade): Promise<void> {
    const body = this.#document as unknown as { [key: string]: Json };
    const { store, runKey } = this.#o;
    for (;;) {
      const result = await store.write(runKey, 'run', {
        expected: this.#version,
        token: this.#lease.token,
        body,
        grade,
      });
      if (result.written) {
        this.#version = result.version;
        return;
      }
      // A predecessor's last word came in between: ours has the younger token and goes over it.
      if (result.reason === 'fenced' || result.token >= this.#lease.token) throw lost(runKey);
      this.#version = result.version;
    }
  }

  /** Waiting for the first of an input that nobody writes ends when the run is asked to. Throws the StopRequest. */
  async #unlessStopped<T>(work: Promise<T>): Promise<T> {
    const { stop, plan } = this.#o;
    const { promise, reject } = Promise.withResolvers<never>();
    const onStop = (): void => reject(stop.reason);
    stop.addEventListener('abort', onStop, { once: true });
    if (stop.aborted) onStop();
    try {
      return await Promise.race([work, promise]);
    } catch (error) {
      await plan.source.source.close();
      throw error;
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  #elapsed(): number {
    return performance.now() - this.#startedAt;
  }
}

/** The checkpoints of this run; none where those in the store belong to another one. */
function parseSplit(stored: StoredDocument | undefined, run: RunDocument | undefined): SplitDocument {
  // Of a finished run nobody needs them.
  if (stored === undefined || run === undefined || run.status === 'finished') return { checkpoint: {} };
  const split = parseSplitDocument(stored.body);
  return split.run_id === run.run_id ? split : { checkpoint: {} };
}

/** How records stand in the input, seen from the first bytes of the first split. */
function detectFraming({ parser, source, select }: Plan, splits: readonly Split[]): Promise<StreamInfo> {
  return detectStream(source.source, splits, parser && { oxi: parser.oxi, config: parser.step.config, select });
}

function totalOf(splits: readonly Split[]): number | undefined {
  return splits.every(({ size }) => size !== undefined) ? bytesBefore(splits, splits.length, 0) : undefined;
}
