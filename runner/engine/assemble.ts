/** Makes the nodes of a flow from a segment, joins them by channels, and runs them to the end of the input or to a stop. */

import type { Json } from '../state/store.ts';
import { BarrierClock } from './barrier-clock.ts';
import type { Encoder, Split, StreamInfo } from './contracts.ts';
import { imbalances, noCounters } from './counters.ts';
import type { DeadLetterFile } from './dead-letters.ts';
import type { Checkpoint } from './documents.ts';
import { OxiError } from './errors.ts';
import { type Barrier, type Flow, newChannel, type Position, runTogether } from './flow.ts';
import { runBatch } from './flow-batch.ts';
import { type NodeFigures, newNode, noteUsage } from './flow-reading.ts';
import { type ChainEnd, runSink, type SinkNode } from './flow-sink.ts';
import { runSource } from './flow-source.ts';
import { runStage, type StageNode } from './flow-stage.ts';
import { BranchBarriers, runTee } from './flow-tee.ts';
import { HelpingPool } from './helping-pool.ts';
import type { Letter } from './letters.ts';
import { type Patience, patientSource, patientUnit, unitMs, unitOf } from './patience.ts';
import {
  allNodes,
  type PlannedNode,
  type PlannedSink,
  type PlannedSource,
  type PlannedStage,
  type PlannedStep,
  type Segment,
  sinksOf,
  stageSteps,
  stepsOf,
} from './plan.ts';
import type { Pool, PoolOptions } from './pool.ts';
import { errorsOf, type RunFigures } from './report.ts';
import { SideBySide } from './side-by-side.ts';
import {
  letterOf,
  type MakeSteps,
  recordMessage,
  StageProgram,
  type StageResult,
  type StageSpec,
  type StageStepSpec,
  stopError,
} from './stage.ts';
import type { Watch, WatchedNode } from './watch.ts';

/** What a flow needs of the world around the engine. */
export interface Assembly {
  projectRoot: string;
  params: ReadonlyMap<string, unknown>;
  env: ReadonlyMap<string, string>;
  /** The run stops beyond so many record errors, or such a share of the records. */
  maxErrors: { readonly count: number } | { readonly share: number } | undefined;
  /** Records to read at most, over the whole run; Infinity for all. */
  limit: number;
  /** Between two soft checkpoints, and between two hard ones. */
  softIntervalMs: number;
  hardIntervalMs: number;
  makeSteps: MakeSteps;
  startPool(spec: StageSpec, options: PoolOptions): Pool;
  /** Finds out whether the flow is stuck, where somebody asks. */
  watch?: Watch;
  /** A unit of work failed and is tried again: a sentence for people. */
  say(message: string): void;
  /** Takes secrets out of a text. */
  redact(text: string): string;
  /** Aborted with a StopRequest: stop reading, drain, end with a hard checkpoint. */
  stop: AbortSignal;
  /** Aborted with the error to fail with: stop at once. */
  kill: AbortSignal;
}

export interface FlowStart {
  segment: Segment;
  /** The one of its sources that is read. */
  source: PlannedSource;
  from: Checkpoint | undefined;
  /** Number of the last checkpoint of earlier segments. */
  checkpoints: number;
  splits: readonly Split[];
  stream: StreamInfo;
  figures: RunFigures;
  /** Start of the run, milliseconds since the epoch: what `now()` says in every attempt. */
  startMs: number;
  deadLetters: DeadLetterFile | undefined;
  commit(barrier: Barrier): Promise<void>;
  recordErrors(messages: readonly string[]): void;
  lettersSent(letters: readonly Letter[]): void;
  /** Records by step that a sink has beyond the checkpoint. */
  skip: ReadonlyMap<string, number>;
}

/** A share of errors is judged from so many records on. */
const SHARE_FROM = 1000;

/** Resolves when the last barrier is committed. Throws what stopped the flow. */
export async function runFlow(a: Assembly, start: FlowStart): Promise<'finished' | 'interrupted'> {
  const assembler = new Assembler(a, start);
  return assembler.run();
}

class Assembler {
  readonly #a: Assembly;
  readonly #start: FlowStart;
  readonly #figures: ReadonlyMap<string, RunFigures['steps'][number]>;
  readonly #pools: Pool[] = [];
  readonly #programs: StageProgram[] = [];
  readonly #channels: Flow[] = [];
  /** Who sends into a channel. */
  readonly #senders = new Map<Flow, NodeFigures>();
  readonly #work: Promise<void>[] = [];
  readonly #halt = new AbortController();
  readonly #enough = new AbortController();
  readonly #clock: BarrierClock;
  readonly #splitNames: string[];
  #last: Barrier['last'] = 'no';

  constructor(a: Assembly, start: FlowStart) {
    this.#a = a;
    this.#start = start;
    this.#figures = new Map(start.figures.steps.map((step) => [step.id, step]));
    this.#splitNames = start.splits.map(({ name }) => name);
    const resumable = start.source.source.kind !== 'once';
    this.#clock = new BarrierClock({
      softMs: resumable ? a.softIntervalMs : Number.POSITIVE_INFINITY,
      hardMs: resumable ? a.hardIntervalMs : Number.POSITIVE_INFINITY,
      n: start.from?.n ?? start.checkpoints,
    });
  }

  async run(): Promise<'finished' | 'interrupted'> {
    const { segment } = this.#start;
    const first = this.#channel();
    this.#measure({ kind: 'source', steps: [this.#of(this.#start.source.step.id)] }, undefined, [first]);
    this.#chain(segment.nodes, first, this.#mainEnd(), true);
    this.#work.unshift(this.#source(first));
    try {
      await runTogether(this.#work, this.#channels, this.#a.kill, this.#halt);
    } finally {
      await Promise.all([
        ...this.#pools.map((pool) => pool[Symbol.asyncDispose]()),
        ...this.#programs.map((program) => program.close()),
      ]);
    }
    return this.#last === 'interrupted' ? 'interrupted' : 'finished';
  }

  #channel(): Flow {
    const channel = newChannel();
    this.#channels.push(channel);
    return channel;
  }

  #of(id: string): RunFigures['steps'][number] {
    const figures = this.#figures.get(id);
    if (figures === undefined) throw new Error(`no figures of step ${id}`);
    return figures;
  }

  /** Starts the nodes of a chain; `only`: nobody but this chain gets what the source reads. */
  #chain(nodes: readonly PlannedNode[], first: Flow, end: ChainEnd, only: boolean): void {
    let input = first;
    let alone = only;
    nodes.forEach((node, i) => {
      const last = i === nodes.length - 1;
      const out = last ? undefined : this.#channel();
      this.#node(node, input, out, end, alone, !worksOnBatches(nodes.slice(i + 1)));
      alone &&= node.kind === 'stage' || node.kind === 'batch';
      if (out !== undefined) input = out;
    });
  }

  /** Has it measured where the time of a node goes, and how full the queues at its ends are. */
  #measure(about: Parameters<typeof newNode>[0], input: Flow | undefined, outputs: readonly Flow[]): NodeFigures {
    const { nodes, queues } = this.#start.figures;
    const node = newNode(about);
    nodes.push(node);
    const from = input && this.#senders.get(input);
    if (input !== undefined && from !== undefined) queues.push({ from, to: node, gauge: input });
    for (const out of outputs) this.#senders.set(out, node);
    return node;
  }

  #node(
    node: PlannedNode,
    input: Flow,
    out: Flow | undefined,
    end: ChainEnd,
    alone: boolean,
    isTogether: boolean,
  ): void {
    const watched = this.#watched(node, input, out);
    const branch = node.kind === 'tee' ? this.#channel() : undefined;
    const measured = this.#measure(
      {
        kind: node.kind === 'sink' ? 'sink' : 'stage',
        steps: stepsOf(node).map(({ id }) => this.#of(id)),
        ordered: node.kind !== 'stage' || node.ordered,
        beside: node.kind === 'stage' && node.place === 'beside',
      },
      input,
      [out, branch].filter((flow) => flow !== undefined),
    );
    if (node.kind === 'sink') {
      this.#work.push(runSink(this.#sinkNode(node, measured), input, out ?? end));
      return;
    }
    if (out === undefined) throw new Error('a chain ends with a sink');
    if (node.kind === 'stage') this.#work.push(runStage(this.#stageNode(node, alone, watched, measured), input, out));
    else if (node.kind === 'batch') {
      const { id } = node.step;
      this.#work.push(
        runBatch(
          {
            stepId: id,
            spec: node.spec,
            counters: this.#of(id).counters,
            state: this.#stateOf(id),
            together: isTogether,
            checkpoint: () => this.#clock.ask(),
          },
          input,
          out,
        ),
      );
    } else if (branch !== undefined) {
      const barriers = new BranchBarriers();
      const { id } = node.step;
      this.#work.push(runTee({ stepId: id, counters: this.#of(id).counters }, input, out, branch, barriers));
      this.#chain(node.nodes, branch, this.#branchEnd(barriers), false);
    }
  }

  /** Has somebody look whether the node moves. */
  #watched(node: PlannedNode, input: Flow, out: Flow | undefined): WatchedNode | undefined {
    const { watch } = this.#a;
    const steps = stepsOf(node);
    const mayTake = Math.max(0, ...steps.map((step) => unitMs(step)));
    const name = steps.map(({ id }) => id).join(', ');
    const watched = watch?.node(name, node.kind === 'sink' ? 'write' : 'work', mayTake);
    if (watched === undefined) return undefined;
    watch?.queue(watched, input);
    input.receiver = watched;
    if (out !== undefined) out.sender = watched;
    // Whoever reads what it writes may take a rest.
    if (node.kind === 'sink' && node.sink.target === 'standard output') watched.waitsOutside(true);
    return watched;
  }

  /** The attempts and the time of a step, with what ends the waiting. */
  #patience(step: PlannedStep): Patience {
    return { step, signal: this.#patienceSignal, say: (message) => this.#a.say(message) };
  }

  get #patienceSignal(): AbortSignal {
    return AbortSignal.any([this.#a.kill, this.#halt.signal]);
  }

  #stateOf(id: string): Json | undefined {
    return this.#start.from?.snapshots[id];
  }

  // ---------------------------------------------------------------- ends

  /** Behind the last sink: a barrier that has come out of every chain is committed. */
  #mainEnd(): ChainEnd {
    const { deadLetters } = this.#start;
    const halted = this.#halted;
    return {
      letters: async (letters) => deadLetters?.write(letters),
      barrier: async (barrier) => {
        // A chain within a second chain is only known of once the barrier has come to it: before that of the second one resolves.
        for (let i = 0; i < barrier.branches.length; i++) await Promise.race([barrier.branches[i], halted]);
        if (!barrier.declined) {
          if (barrier.last === 'finished') this.#checkEnd(barrier);
          await this.#start.commit(barrier);
          this.#last = barrier.last;
        }
        this.#clock.over(barrier.declined ? 'soft' : barrier.grade);
        barrier.over.resolve();
      },
    };
  }

  /** Fails when the flow is stopped: who waits for another chain must not wait for one that has ended. */
  get #halted(): Promise<never> {
    const { promise, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(new Error('the flow was stopped'));
    if (this.#halt.signal.aborted) onAbort();
    else this.#halt.signal.addEventListener('abort', onAbort, { once: true });
    promise.catch(() => undefined);
    return promise;
  }

  /** Letters that come behind a barrier wait until it is committed: its mark must not speak of them. */
  #branchEnd(barriers: BranchBarriers): ChainEnd {
    const { deadLetters } = this.#start;
    const halted = this.#halted;
    let before: Promise<void> = Promise.resolve();
    return {
      letters: async (letters) => {
        await Promise.race([before, halted]);
        await deadLetters?.write(letters);
      },
      barrier: async (barrier) => {
        before = barrier.over.promise;
        barriers.arrived(barrier.n);
      },
    };
  }

  /** What has to hold before the last checkpoint: behind it the outputs are published, whatever happens. */
  #checkEnd(barrier: Barrier): void {
    this.#checkErrors(true);
    const { segment, source } = this.#start;
    // Of several sources one is read, which need not be the last.
    const sources = new Set(segment.sources.map(({ step }) => step.id));
    const broken = imbalances(
      segment.steps.map(({ id, after }) => ({
        id,
        after: after !== undefined && sources.has(after) ? source.step.id : after,
        counters: barrier.counters.get(id) ?? noCounters(),
      })),
    );
    if (broken.length > 0)
      throw new OxiError(
        'BALANCE_BROKEN',
        `the records do not add up: ${broken.join('; ')}. Nothing was published; this is a bug of oxiflow`,
      );
  }

  // ---------------------------------------------------------------- nodes

  #source(out: Flow): Promise<void> {
    const { source, segment, stream, from, splits, figures } = this.#start;
    const mine = this.#of(source.step.id);
    const position: Position =
      from === undefined ? { split: 0, offset: 0, records: 0, framer: null } : positionOf(from);
    const watched = this.#a.watch?.node(source.step.id, 'read', unitMs(source.step));
    out.sender = watched;
    // What comes from outside may be long in coming.
    if (source.source.kind !== 'offset') watched?.waitsOutside(true);
    return runSource(
      {
        source: patientSource(source.source, this.#patience(source.step)),
        splits,
        stepId: source.step.id,
        parser:
          segment.parser === undefined
            ? undefined
            : { oxi: segment.parser.oxi, config: segment.parser.step.config, stream, select: segment.select },
        cutsLater: this.#cutsLater,
        counters: mine.counters,
        from: position,
        // Segments before this one have read their share.
        limit: Math.max(0, this.#a.limit - figures.earlierRecords),
        due: () => this.#clock.due(),
        nextBarrier: () => this.#clock.next(),
        stop: this.#a.stop,
        enough: this.#enough.signal,
        reading: AbortSignal.any([this.#a.stop, this.#halt.signal]),
        progress: (bytes, records) => {
          figures.bytes += bytes;
          if (records !== undefined) figures.records = figures.earlierRecords + records;
        },
        busy: (ms) => {
          mine.busyMs += ms;
        },
      },
      out,
    );
  }

  #stageSpec(steps: StageStepSpec[], checked: boolean): StageSpec {
    const { stream, startMs } = this.#start;
    const { projectRoot, params, env } = this.#a;
    return {
      steps,
      projectRoot,
      stream,
      splitNames: this.#splitNames,
      checked,
      now: startMs,
      params: [...params],
      env: [...env],
    };
  }

  #program(spec: StageSpec, keepsInput = false): StageProgram {
    const program = new StageProgram(spec, this.#a.makeSteps, keepsInput);
    this.#programs.push(program);
    return program;
  }

  #stageNode(stage: PlannedStage, alone: boolean, watched: WatchedNode | undefined, measured: NodeFigures): StageNode {
    const spec = this.#stageSpec(stageSteps(stage), stage.checked);
    const { from } = this.#start;
    let program: StageProgram | undefined;
    let pool: Pool | undefined;
    const steps = stage.steps.map(({ id }) => this.#of(id));
    const cuts = this.#cutsLater && stage === this.#start.segment.nodes[0];
    const programOf = (): StageProgram => {
      if (program === undefined) {
        program = this.#program(spec);
        program.restore(from?.snapshots ?? {});
      }
      return program;
    };
    return {
      steps: stage.steps.map(({ id }) => id),
      counters: steps.map((step) => step.counters),
      threads: stage.ordered ? 1 : stage.threads,
      keepsOrder: stage.keepsOrder,
      apart: stage.place !== 'main',
      ordered: stage.ordered,
      program: programOf,
      startPool: () => {
        const started = this.#startPool(spec, stage, programOf);
        pool = started;
        if (!measured.beside) measured.pool = stage.place === 'main' ? stage.threads - 1 : stage.threads;
        this.#pools.push(started);
        return (block) => {
          watched?.atWork(1);
          return started.run(block).finally(() => watched?.atWork(-1));
        };
      },
      end: async () => {
        await program?.end();
        await pool?.end?.();
      },
      done: (result) => {
        if (result.cut !== undefined) this.#noteCut(result.cut);
        steps.forEach((step, i) => {
          step.busyMs += result.stepMs[i] ?? 0;
          step.sampled = result.sampled[i] === true;
        });
        for (const usage of result.usage ?? []) noteUsage(measured, usage);
        this.#checkErrors(false);
      },
      failed: (failures) => this.#start.recordErrors(failures.map(({ message }) => message)),
      lettersSent: (letters) => this.#start.lettersSent(letters),
      countedTo: (barrier) => {
        if (cuts) this.#countTo(barrier);
      },
      refuse: (result, broken) => {
        const [step] = stage.steps;
        const [counters] = result.counters;
        if (step === undefined || counters === undefined) return;
        for (const { error, offset, split } of broken) {
          const file = this.#splitNames[split] ?? '';
          if (step.onError === 'stop') throw stopError(step, file, offset, error);
          counters.in++;
          if (step.onError === 'dead_letter') {
            counters.dead_lettered++;
            result.letters.push(letterOf(step, file, split, offset, error, new Uint8Array()));
          } else counters.dropped++;
          if (result.failures.length < 3)
            result.failures.push({ step: step.id, message: recordMessage(step, file, offset, error) });
        }
      },
      enough: () => {
        if (alone) this.#enough.abort();
      },
    };
  }

  /**
   * The first stage has threads, and its parser can cut there: only whole pieces are looked for where the input is read. A limit
   * of records needs them counted at once.
   */
  get #cutsLater(): boolean {
    const { segment, stream } = this.#start;
    const [first] = segment.nodes;
    const { parser } = segment;
    if (first?.kind !== 'stage' || first.ordered || first.place !== 'main' || first.threads === 1) return false;
    if (parser?.oxi.chunk === undefined || this.#a.limit !== Number.POSITIVE_INFINITY) return false;
    const at = { offset: 0, state: null, name: '' };
    return parser.oxi.chunk(parser.step.config as never, stream, at) !== undefined;
  }

  #noteCut({ records, broken }: NonNullable<StageResult['cut']>): void {
    const { figures, source } = this.#start;
    const { counters } = this.#of(source.step.id);
    counters.added += records + broken.length;
    counters.out += records + broken.length;
    figures.records += records + broken.length;
  }

  /** What the first stage has cut is all that was read before the barrier. */
  #countTo(barrier: Barrier): void {
    const { figures, source } = this.#start;
    const { id } = source.step;
    const { added, out } = this.#of(id).counters;
    barrier.counters.set(id, { ...(barrier.counters.get(id) ?? noCounters()), added, out });
    barrier.position = { ...barrier.position, records: figures.records - figures.earlierRecords };
  }

  #startPool(spec: StageSpec, stage: PlannedStage, program: () => StageProgram): Pool {
    const { steps, threads, place } = stage;
    const [step] = steps;
    if (place === 'beside' && step !== undefined) {
      const { timeout, retry } = unitOf(this.#patience(step));
      return new SideBySide({ spec, makeSteps: this.#a.makeSteps, instances: threads, timeout, retry });
    }
    const apart = place === 'apart';
    const started = apart ? threads : threads - 1;
    const pool = this.#a.startPool(spec, {
      threads: started,
      mayLoop: apart,
      deadlineMs: least(steps.map(({ limits }) => limits.maxProcessingTimeMs)),
      restarts: Math.max(0, ...steps.map(({ retries }) => retries.attempts)),
      heapMb: apart ? least(steps.map(({ limits }) => limits.maxMemoryMb)) : undefined,
      say: (message) => this.#a.say(message),
    });
    return apart ? pool : new HelpingPool(pool, started, program);
  }

  #sinkNode(planned: PlannedSink, { outside }: NodeFigures): SinkNode {
    const { step, formatter, sink } = planned;
    const { stream, from, skip } = this.#start;
    const figures = this.#of(step.id);
    const encoder = makeEncoder(planned, stream, this.#a.projectRoot);
    const state = from?.encoders[step.id];
    if (encoder !== undefined && state !== undefined) encoder.restore(state);
    let program: StageProgram | undefined;
    if (formatter?.layOut === true) {
      // No formatter before it: the sink lays records out by itself, beside the stream that goes on.
      const { id, onError, limits } = step;
      const spec = this.#stageSpec([{ id, oxi: formatter.oxi.name, config: formatter.config, onError, limits }], false);
      program = this.#program(spec, true);
    }
    return {
      step,
      sink,
      encoder,
      layOut: program === undefined ? undefined : async (block) => (await program.process(block)).block,
      counters: figures.counters,
      splitNames: this.#splitNames,
      busy: (ms) => {
        figures.busyMs += ms;
      },
      outside,
      skip: skip.get(step.id) ?? 0,
      unit: patientUnit(this.#patience(step), sink.guarantee === 'append'),
      failed: (message) => this.#start.recordErrors([message]),
      lettersSent: (letters) => this.#start.lettersSent(letters),
    };
  }

  /** Throws OxiError TOO_MANY_ERRORS beyond the limit. */
  #checkErrors(atEnd: boolean): void {
    const { maxErrors } = this.#a;
    const { figures } = this.#start;
    if (maxErrors === undefined) return;
    const errors = errorsOf(figures);
    if ('count' in maxErrors) {
      if (errors <= maxErrors.count) return;
      throw new OxiError(
        'TOO_MANY_ERRORS',
        `${errors} ${errors === 1 ? 'record was' : 'records were'} bad and "max_errors" allows ${maxErrors.count}`,
      );
    }
    const { records } = figures;
    if (records === 0 || (!atEnd && records < SHARE_FROM) || errors / records <= maxErrors.share) return;
    throw new OxiError(
      'TOO_MANY_ERRORS',
      `${errors} of ${records} records ${errors === 1 ? 'was' : 'were'} bad and "max_errors" allows ${maxErrors.share * 100} %`,
    );
  }
}

/** Some node up to the next batch takes a block for its unit of work. */
function worksOnBatches(nodes: readonly PlannedNode[]): boolean {
  const next = nodes.findIndex(({ kind }) => kind === 'batch');
  return allNodes(next < 0 ? nodes : nodes.slice(0, next)).some(
    (node) => node.kind === 'stage' && node.place === 'beside',
  );
}

/** The smallest of those that are there. */
function least(numbers: readonly (number | undefined)[]): number | undefined {
  const known = numbers.filter((n) => n !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function positionOf(checkpoint: Checkpoint): Position {
  const { split, offset, text, ordinal, framer } = checkpoint.position;
  return { split, offset, ...(text === undefined ? {} : { text }), records: ordinal, framer };
}

/** The encoder of a sink, where records are laid out for it. Throws OxiError where its config and the stream do not fit. */
function makeEncoder(
  { step, formatter, sink }: PlannedSink,
  stream: StreamInfo,
  projectRoot: string,
): Encoder | undefined {
  return formatter?.oxi.encoder(formatter.config as never, stream, {
    projectRoot,
    stepId: formatter.id ?? step.id,
    output: sink.target,
    rewritable: sink.rewrite !== undefined,
    continues: sink.continues === true,
  });
}

/** Makes every encoder once, to find what is wrong before anything is written; the flow makes its own. */
export function checkEncoders(segment: Segment, stream: StreamInfo, projectRoot: string): void {
  for (const sink of sinksOf(segment.nodes)) makeEncoder(sink, stream, projectRoot);
}
