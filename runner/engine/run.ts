/**
 * One attempt of a run, from the lease to the summary: finds out what is left to do, opens the sinks at their marks, lets the
 * segments run one after the other, and publishes. Whatever happens in between, the next attempt goes on from the last checkpoint.
 */
import { randomUUID } from 'node:crypto';
import type { Holder, Lease, StateStore, StoredDocument } from '../state/store.ts';
import type { Assembly } from './assembly.ts';
import { bottleneckOf, theProcess } from './bottleneck.ts';
import { Committer, lost } from './checkpoint.ts';
import type { Mark, SinkRun } from './contracts.ts';
import { crashpoint } from './crashpoint.ts';
import { DeadLetterFile } from './dead-letters.ts';
import {
  type Checkpoint,
  type DoneSegment,
  parseRunDocument,
  type RunDocument,
  type SplitDocument,
} from './documents.ts';
import { clearEarlier, earlierOutputs, sweepParts } from './earlier.ts';
import { OxiError } from './errors.ts';
import { between, type FlowMoment, momentOf } from './flow-reading.ts';
import { type Held, holdLease } from './hold.ts';
import { alsoFor, isFor } from './invocations.ts';
import { type Plan, type Segment, sinksOf } from './plan.ts';
import { DEAD_LETTERS, isEmpty } from './planner.ts';
import { countersReport, makeFigures, type RunFigures, type RunObserver, type RunSummary } from './report.ts';
import { type Beginning, findBeginning, knownOf, type RecordedInput } from './resume.ts';
import { countersBefore, doneSegment, earlierOf, inputOf, parseSplit, totalOf, unlessAnew } from './run-parts.ts';
import { RunRecord } from './run-record.ts';
import { refuseOverInput } from './same-place.ts';
import { causeOf, checkSinks, type InputWaiting, openInput, SegmentRun } from './segment-run.ts';
import { openShare, refuseShared, type SharedInput } from './shared-input.ts';
import { sayIfSlow } from './slow.ts';
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
  keepLease(lease: Lease, lost: (why?: OxiError) => void): AsyncDisposable;
  /** What the attempt works on, where several workers share the run: one split group, whose input is known. */
  input?: SharedInput;
  observe(identity: { runId: string; attempt: number }): Promise<RunObserver>;
  /** Hands out the result of a success before the run is marked as finished; where it throws, a retry publishes and delivers. */
  deliver(result: RunResult): Promise<void>;
  say(message: string): void;
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
/** A run that was over before has no bottleneck worth a word. */
const BOTTLENECK_FROM_MS = 1000;

/** Throws OxiError where nothing was started; from the first line of work on, failures are in the summary. */
export async function executeRun(o: RunOptions): Promise<RunResult> {
  const held = await holdLease({
    store: o.store,
    runKey: o.runKey,
    holder: o.holder,
    ttlMs: o.lockTimeoutMs,
    waitMs: o.leaseWaitMs,
    fresh: o.fresh,
    stop: o.stop,
    say: o.say,
  });
  const gone = new AbortController();
  const keeper = o.keepLease(held.lease, (why) => gone.abort(why ?? lost(o.runKey)));
  try {
    return await new Run({ ...o, kill: AbortSignal.any([o.kill, gone.signal]) }, held).execute();
  } finally {
    await keeper[Symbol.asyncDispose]();
    if (!gone.signal.aborted) await o.store.release(held.lease).catch(() => undefined);
  }
}

/** The segment at work: opened, and ready to flow. */
interface Begun {
  index: number;
  run: SegmentRun;
  input: RecordedInput;
  committer: Committer;
  from: Checkpoint | undefined;
  finishing: boolean;
}

class Run {
  readonly #o: RunOptions;
  readonly #held: Held;
  readonly #lease: Lease;
  #began: FlowMoment | undefined;
  readonly #startedAt = performance.now();
  #record!: RunRecord;
  #runId = '';
  /** Version of the split document, as it was read or last written. */
  #splitVersion = 0;
  /** Milliseconds that earlier attempts have worked. */
  #elapsedBefore = 0;
  /** Those of the segment at work. */
  #letters: DeadLetterFile | undefined;

  constructor(options: RunOptions, held: Held) {
    this.#o = options;
    this.#held = held;
    this.#lease = held.lease;
  }

  async execute(): Promise<RunResult> {
    const { store, runKey, invocation, fresh, plan, input: shared } = this.#o;
    // A request to an earlier attempt must not end this one; a pause is for all of them.
    await store.clearRequests(runKey, { kinds: ['cancel', 'stop', 'rebalance'] });
    const stored = await store.read(runKey, 'run');
    const storedSplit = await store.read(runKey, PART);
    // A finished run that nobody asks for again is only replaced: what it was is in the history. So is what belongs to another
    // shared run, which was cut otherwise.
    const isOther = !isFor(stored?.body ?? {}, invocation);
    const over = isOther && (stored?.body.status === 'finished' || shared !== undefined);
    const before = stored === undefined || over ? undefined : unlessAnew(fresh, () => parseRunDocument(stored.body));
    await refuseShared(before, this.#o);
    const split = unlessAnew(fresh, () => parseSplit(storedSplit, before)) ?? { checkpoint: {} };
    this.#record = new RunRecord(store, this.#lease, stored?.version ?? 0, this.#o.now);
    if (!fresh && before?.status === 'finished' && isFor(before, invocation)) return this.#repeat(before);

    const comparing = findBeginning(before, split, this.#o);
    const beginning = await sayIfSlow(this.#o.say, 'comparing the input with the last checkpoint', comparing);
    const { run, notices } = beginning;
    const segment = await this.#plan(beginning.segment, run);
    if (isEmpty(segment))
      throw new OxiError(
        'PLAN_CHANGED',
        `run "${runKey}" is unfinished and the source that it was to go on with is skipped now: ${segment.skipped[0]}. --fresh starts over`,
      );
    const input = beginning.input ?? (await this.#input(segment, notices));
    if (run === undefined) {
      await checkSinks(plan);
      await refuseOverInput(plan, { ...input, index: 0 }, segment);
    }
    this.#runId = run?.run_id ?? randomUUID();
    this.#splitVersion = storedSplit?.version ?? 0;
    this.#elapsedBefore = beginning.from?.elapsed_ms ?? run?.done?.at(-1)?.elapsed_ms ?? 0;
    const earlier = run ?? (await this.#earlier(stored, segment));
    const begun = await this.#open(beginning, segment, input, split, storedSplit !== undefined);
    const { from } = begun;
    const attempt = (run?.attempt ?? 0) + 1;
    const document: RunDocument = {
      run_key: runKey,
      run_id: this.#runId,
      pipeline: this.#o.pipeline,
      attempt,
      status: begun.finishing ? 'finishing' : 'running',
      ...alsoFor(run, invocation),
      plan: beginning.hashes,
      ...inputOf(begun.index, input),
      started_at: run?.started_at ?? this.#o.now().toISOString(),
      worker_id: this.#o.holder.workerId,
      ...(from === undefined ? {} : { resumed_from: from.n }),
      ...(run?.done === undefined ? {} : { done: run.done }),
      ...(run?.dead_letters === undefined ? {} : { dead_letters: run.dead_letters }),
      ...(earlier.replaces === undefined ? {} : { replaces: earlier.replaces }),
    };
    // With the first hard checkpoint this has to be durable, and not before.
    await this.#orLetGo(begun, this.#record.save(document, store.ordered ? 'soft' : 'hard'));

    const observer = await this.#o.observe({ runId: this.#runId, attempt });
    const figures = makeFigures(plan, countersBefore(run, from), totalOf(plan, input.splits));
    figures.earlierRecords = earlierOf(run).records;
    figures.records = from?.records ?? figures.earlierRecords;
    figures.bytes = from?.bytes ?? earlierOf(run).bytes;
    this.#began = momentOf(figures);
    observer.started({ splits: input.splits, figures, resumedFrom: from, notices });
    const at = { current: begun };
    const summary = await this.#segments(at, observer, figures)
      .then(async (done) => {
        if (done.status === 'succeeded')
          await this.#o.deliver({ runId: this.#runId, attempt, summary: done, repeated: false });
        return done;
      })
      .catch((error) => this.#failed(error, figures, at.current));
    const { current } = at;
    // Nothing was saved that speaks of what the sinks hold: nobody goes on from it.
    const discard = summary.status === 'failed' && current.from === undefined && current.committer.last === undefined;
    await current.run.close(discard);
    // Letters are what tells a person why: the next attempt sweeps them away.
    const told = summary.status === 'failed' && this.#tellOfLetters();
    await this.#closeLetters(discard && current.index === 0 && !told);
    await this.#record.end(summary);
    observer.finished(summary);
    return { runId: this.#runId, attempt, summary, repeated: false };
  }

  /** The run has finished under this invocation: an attempt that does nothing but say so. */
  async #repeat(before: RunDocument): Promise<RunResult> {
    const { run_id: runId } = before;
    const attempt = before.attempt + 1;
    await this.#record.save({ ...before, attempt }, 'soft');
    const summary = before.summary as unknown as RunSummary;
    (await this.#o.observe({ runId, attempt })).finished(summary);
    return { runId, attempt, summary, repeated: true };
  }

  // ---------------------------------------------------------------- beginning

  /** Several workers have shared the run that this one takes the place of: their parts go, by and by. */
  async #earlier(stored: StoredDocument | undefined, segment: Segment): Promise<Pick<RunDocument, 'replaces'>> {
    const { store, runKey, input, plan } = this.#o;
    if (stored?.body.shared === undefined || input !== undefined) return {};
    const document = parseRunDocument(stored.body);
    await sweepParts(segment, plan, this.#sinkRun(false), document.shared?.groups.length ?? 0);
    return earlierOutputs(store, runKey, document);
  }

  #input(segment: Segment, notices: string[]): Promise<RecordedInput> {
    const { input, projectRoot } = this.#o;
    if (input !== undefined) return openShare(input, segment, projectRoot);
    return openInput(segment, projectRoot, notices, this.#inputWaiting(segment));
  }

  async #plan(index: number, run: Pick<RunDocument, 'done'> | undefined): Promise<Segment> {
    const outline = this.#o.plan.segments[index];
    if (outline === undefined) throw new Error(`the plan has no segment ${index}`);
    return outline.plan(knownOf(run));
  }

  #committer(index: number, input: RecordedInput, document: SplitDocument, run: RunDocument | undefined): Committer {
    return new Committer({
      store: this.#o.store,
      lease: this.#lease,
      runId: this.#runId,
      version: this.#splitVersion,
      document,
      segment: index,
      source: input.source.source,
      splits: input.splits,
      earlier: earlierOf(run),
      now: this.#o.now,
      elapsedMs: () => this.#elapsedBefore + this.#elapsed(),
    });
  }

  /** Opens the sinks of the segment that this attempt begins with. */
  async #open(
    beginning: Beginning,
    segment: Segment,
    input: RecordedInput,
    split: SplitDocument,
    isStored: boolean,
  ): Promise<Begun> {
    const { run, notices, segment: index } = beginning;
    const committer = this.#committer(index, input, split, run);
    // Checkpoints of another run go first: were this process to die behind the next line, the run begins from zero again.
    if (run === undefined && isStored) await committer.reset();
    crashpoint('begin');
    const begun: Begun = {
      index,
      run: new SegmentRun(segment, this.#o.plan.deadLetters),
      input,
      committer,
      from: beginning.from,
      finishing: beginning.finishing,
    };
    const letters = run?.dead_letters as Mark | undefined;
    const opening = begun.run.open(this.#sinkRun(begun.finishing), begun.from, letters);
    // What a predecessor on another machine has staged is copied.
    const lostReason = await this.#orLetGo(begun, sayIfSlow(this.#o.say, 'opening the outputs', opening));
    if (lostReason !== undefined) {
      notices.push(
        index === 0
          ? `${lostReason}: the run starts from zero`
          : `${lostReason}: the run starts again at "${input.source.step.id}"`,
      );
      begun.from = undefined;
      begun.finishing = false;
      await this.#orLetGo(begun, committer.reset());
    }
    crashpoint('opened');
    return begun;
  }

  /** A worker that is too late takes away what it has opened; but for what it took over, which may be all that there is. */
  async #orLetGo<T>(begun: Begun, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      const discard = begun.from === undefined;
      await begun.run.close(discard);
      await this.#closeLetters(discard && begun.index === 0);
      throw error;
    }
  }

  #sinkRun(finishing: boolean): (step: string) => SinkRun {
    const { predecessor } = this.#held;
    return (step) => ({
      runKey: this.#o.runKey,
      runId: this.#runId,
      pipeline: this.#o.pipeline,
      step,
      token: this.#lease.token,
      ...(predecessor === undefined
        ? {}
        : { predecessor: { token: predecessor.token, provenDead: predecessor.provenDead || predecessor.released } }),
      finishing,
    });
  }

  /** A run that failed publishes nothing, and its letters stand in a file that nobody would look for. */
  #tellOfLetters(): boolean {
    const letters = this.#letters?.records ?? 0;
    const pending = this.#letters?.sink.pending;
    if (letters === 0 || pending === undefined) return false;
    this.#o.say(`${lettersText(letters)} so far: ${pending}`);
    return true;
  }

  async #closeLetters(discard: boolean): Promise<void> {
    const sink = this.#o.plan.deadLetters?.sink;
    if (discard) await sink?.abort().catch(() => undefined);
    await sink?.close();
  }

  // ---------------------------------------------------------------- working

  /** Runs the segment at hand and those behind it. */
  async #segments(at: { current: Begun }, observer: RunObserver, figures: RunFigures): Promise<RunSummary> {
    const { deadLetters } = this.#o.plan;
    for (;;) {
      const begun = at.current;
      if ((await this.#work(begun, observer, figures)) === 'interrupted') return this.#interrupted(figures, begun);
      const last = begun.committer.last;
      if (last === undefined) throw new Error('the flow ended without a checkpoint');
      this.#record.document = { ...this.#record.document, status: 'finishing' };
      const outputs = await sayIfSlow(this.#o.say, 'publishing the outputs', begun.run.publish(last));
      const { replaces = [] } = this.#record.document;
      if (replaces.length > 0) await clearEarlier(begun.run.segment, replaces, { of: undefined });
      const done = [
        ...(this.#record.document.done ?? []),
        doneSegment(begun.run.segment, begun.input, last, outputs, figures),
      ];
      const next = await this.#following(begun.index, done);
      if (next === undefined) {
        const letters = await deadLetters?.sink.finish(last.marks[DEAD_LETTERS] as Mark);
        if (letters !== undefined && letters.rows > 0) this.#o.say(`${lettersText(letters.rows)}: ${letters.path}`);
        return this.#summary('succeeded', 0, figures, begun, outputs);
      }
      await this.#next(at, { ...next, done }, last, figures);
      if (this.#o.stop.aborted) return this.#interrupted(figures, at.current);
    }
  }

  async #work(begun: Begun, observer: RunObserver, figures: RunFigures): Promise<'finished' | 'interrupted'> {
    const { run, input, committer, from } = begun;
    if (begun.finishing) {
      if (from !== undefined) await run.restate(committer, from);
      return 'finished';
    }
    const { plan, redact } = this.#o;
    const { source, splits, stream } = input;
    const held = (from?.marks[DEAD_LETTERS]?.records ?? this.#record.document.dead_letters?.records) || 0;
    const deadLetters =
      plan.deadLetters === undefined
        ? undefined
        : new DeadLetterFile({ ...plan.deadLetters, redact: (text) => redact(text) }, held);
    this.#letters = deadLetters;
    return run.flow(this.#o, {
      source,
      splits,
      stream,
      from,
      checkpoints: this.#record.document.done?.at(-1)?.checkpoint ?? 0,
      figures,
      startMs: Date.parse(this.#record.document.started_at),
      deadLetters,
      commit: async (barrier) => {
        if (deadLetters !== undefined)
          barrier.marks[DEAD_LETTERS] = await deadLetters.sink.prepare(barrier.n, barrier.grade);
        const checkpoint = await committer.commit(barrier);
        await this.#published(begun, checkpoint);
        observer.checkpoint(checkpoint, splits);
      },
      recordErrors: (messages) => observer.recordErrors(messages),
      lettersSent: (letters) => observer.deadLettered(letters),
    });
  }

  async #published({ run, input }: Begun, checkpoint: Checkpoint): Promise<void> {
    await run.published(checkpoint.n);
    const split = input.splits[checkpoint.position.split];
    if (split !== undefined) await input.source.source.committed?.(split, checkpoint.position.offset);
  }

  /** The next segment that has something to do, by what those before it have left. */
  async #following(
    before: number,
    done: DoneSegment[],
  ): Promise<{ index: number; planned: Segment | OxiError } | undefined> {
    for (let index = before + 1; index < this.#o.plan.segments.length; index++) {
      // What it can't be planned with is said when it is written down how far the run has come.
      const planned = await this.#plan(index, { done }).catch((error) => {
        if (error instanceof OxiError) return error;
        throw error;
      });
      if (planned instanceof OxiError || !isEmpty(planned)) return { index, planned };
    }
    return undefined;
  }

  /** The segment has ended and its outputs are in place: what it has left is written down together with the step to the next one. */
  async #next(
    at: { current: Begun },
    { index, planned, done }: { index: number; planned: Segment | OxiError; done: DoneSegment[] },
    last: Checkpoint,
    figures: RunFigures,
  ): Promise<void> {
    const begun = at.current;
    await begun.run.close(false);
    const before = this.#record.document;
    const mark = last.marks[DEAD_LETTERS];
    const document: RunDocument = {
      ...before,
      status: 'running',
      segment: index,
      source: 0,
      splits: [],
      done,
      ...(mark === undefined ? {} : { dead_letters: mark }),
    };
    crashpoint('segment');
    await this.#record.save(document, 'hard');
    this.#splitVersion = begun.committer.version;
    if (planned instanceof OxiError) throw planned;
    const segment = planned;
    const notices: string[] = [];
    const input = await openInput(segment, this.#o.projectRoot, notices, this.#inputWaiting(segment));
    for (const notice of notices) this.#o.say(notice);
    await refuseOverInput(this.#o.plan, { ...input, index }, segment);
    const run = new SegmentRun(segment, this.#o.plan.deadLetters);
    const committer = this.#committer(index, input, { checkpoint: {} }, document);
    const next: Begun = { index, run, input, committer, from: undefined, finishing: false };
    at.current = next;
    for (const { sink } of sinksOf(segment.nodes)) await sink.check?.();
    await run.open(this.#sinkRun(false), undefined, 'open');
    await this.#record.save({ ...document, ...inputOf(index, input) }, this.#o.store.ordered ? 'soft' : 'hard');
    figures.earlierRecords = earlierOf(document).records;
  }

  // ---------------------------------------------------------------- ends

  #interrupted(figures: RunFigures, begun: Begun): RunSummary {
    const stop = this.#o.stop.reason as StopRequest;
    return this.#summary(stop.cancelled ? 'cancelled' : 'interrupted', stop.exitCode, figures, begun, []);
  }

  /** Says how the attempt failed; a worker that lost its lease has failed by that, whatever it ran into afterwards. */
  async #failed(error: unknown, figures: RunFigures, begun: Begun): Promise<RunSummary> {
    const held = await this.#o.store.renew(this.#lease).catch(() => true);
    const cause = held ? await causeOf(error, begun.input) : lost(this.#o.runKey);
    // What was read is not there any more: who went on from it would join two texts.
    if (cause instanceof OxiError && cause.code === 'INPUT_REWRITTEN') {
      await begun.committer.reset('hard').catch(() => undefined);
      begun.from = undefined;
    }
    if (this.#o.stop.aborted && held && (this.#o.kill.aborted || cause === this.#o.stop.reason))
      return this.#interrupted(figures, begun);
    const known = cause instanceof OxiError;
    if (known) countRefused(figures, cause);
    const summary = this.#summary('failed', known ? cause.exitCode : 1, figures, begun, []);
    const message = known ? cause.message : cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    return { ...summary, error: { code: known ? cause.code : 'INTERNAL', message: this.#o.redact(message) } };
  }

  #summary(
    status: RunSummary['status'],
    exit_code: RunSummary['exit_code'],
    figures: RunFigures,
    { committer }: Begun,
    outputs: RunSummary['outputs'],
  ): RunSummary {
    const attempt_ms = this.#elapsed();
    const earlier = (this.#record.document.done ?? []).flatMap((done) => done.outputs) as unknown as typeof outputs;
    const now = momentOf(figures);
    const reading = between(figures, this.#began ?? now, now);
    // Who reads nothing, or is done in no time, is held back by nobody.
    const isWork = figures.records > 0 && attempt_ms >= BOTTLENECK_FROM_MS;
    const bottleneck = isWork ? bottleneckOf(reading, theProcess(reading)) : undefined;
    return {
      status,
      exit_code,
      checkpoint: committer.last?.n ?? this.#record.document.done?.at(-1)?.checkpoint ?? 0,
      counters: countersReport(figures, reading),
      durations: {
        attempt_ms: Math.round(attempt_ms),
        total_ms: Math.round(this.#elapsedBefore + attempt_ms),
      },
      // What earlier segments have made is there, however the run ends.
      outputs: [...earlier, ...outputs],
      ...(bottleneck === undefined ? {} : { bottleneck }),
    };
  }

  #inputWaiting(segment: Segment): InputWaiting {
    const { stop, kill, say } = this.#o;
    return {
      signal: AbortSignal.any([stop, kill]),
      say: (message) => say(message),
      unlessStopped: (work) => this.#unlessStopped(work, segment),
    };
  }

  /** Waiting for the first of an input that nobody writes ends when the run is asked to. Throws the StopRequest. */
  async #unlessStopped<T>(work: Promise<T>, segment: Segment): Promise<T> {
    const { stop } = this.#o;
    const { promise, reject } = Promise.withResolvers<never>();
    const onStop = (): void => reject(stop.reason);
    stop.addEventListener('abort', onStop, { once: true });
    if (stop.aborted) onStop();
    try {
      return await Promise.race([work, promise]);
    } catch (error) {
      if (stop.aborted) for (const { source } of segment.sources) await source.close();
      throw error;
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  #elapsed(): number {
    return performance.now() - this.#startedAt;
  }
}

function lettersText(count: number): string {
  return `${count} dead ${count === 1 ? 'letter' : 'letters'}`;
}

/** The record that stopped the run: the block that it came in was given up, and is counted nowhere. */
function countRefused({ steps }: RunFigures, { code, place }: OxiError): void {
  const step = code === 'RECORD_INVALID' ? steps.find(({ id }) => id === place.step) : undefined;
  if (step === undefined) return;
  step.counters.in++;
  step.counters.failed++;
}
