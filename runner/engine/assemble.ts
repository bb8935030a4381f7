/** Makes the nodes of a flow from a plan, joins them by channels, and runs them to the end of the input or to a stop. */

import type { Grade } from '../state/store.ts';
import type { Block, Encoder, RecordError, Split, StreamInfo } from './contracts.ts';
import { imbalances, noCounters, type StepCounters } from './counters.ts';
import type { Checkpoint } from './documents.ts';
import { OxiError } from './errors.ts';
import { type Barrier, type Flow, newChannel, type Position, runTogether } from './flow.ts';
import { runSink, type SinkNode } from './flow-sink.ts';
import { runSource } from './flow-source.ts';
import { runStage, type StageNode } from './flow-stage.ts';
import { type Plan, type PlannedSink, type PlannedStage, type PlannedStep, stageSteps } from './plan.ts';
import type { Pool, PoolOptions } from './pool.ts';
import { errorsOf, type RunFigures } from './report.ts';
import { type MakeSteps, StageProgram, type StageSpec, type StageStepSpec } from './stage.ts';
import type { Watch, WatchedNode } from './watch.ts';

/** What a flow needs of the world around the engine. */
export interface Assembly {
  plan: Plan;
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
  /** Takes secrets out of a text. */
  redact(text: string): string;
  /** Aborted with a StopRequest: stop reading, drain, end with a hard checkpoint. */
  stop: AbortSignal;
  /** Aborted with the error to fail with: stop at once. */
  kill: AbortSignal;
}

export interface FlowStart {
  from: Checkpoint | undefined;
  splits: readonly Split[];
  stream: StreamInfo;
  figures: RunFigures;
  /** Start of the run, milliseconds since the epoch: what `now()` says in every attempt. */
  startMs: number;
  commit(barrier: Barrier): Promise<void>;
  recordErrors(messages: readonly string[]): void;
  /** Records by step that a sink has beyond the checkpoint. */
  skip: ReadonlyMap<string, number>;
}

/** A share of errors is judged from so many records on. */
const SHARE_FROM = 1000;

/** Resolves when the last barrier is committed. Throws what stopped the flow. */
export async function runFlow(a: Assembly, start: FlowStart): Promise<'finished' | 'interrupted'> {
  const { plan } = a;
  const counters = new Map(start.figures.steps.map((step) => [step.id, step]));
  const figuresOf = (id: string): { counters: StepCounters; busyMs: number } => {
    const figures = counters.get(id);
    if (figures === undefined) throw new Error(`no figures of step ${id}`);
    return figures;
  };
  const pools: Pool[] = [];
  const halt = new AbortController();
  const clock = new BarrierClock(a, start.from?.n ?? 0);
  const end: { last: Barrier['last'] } = { last: 'no' };
  const commit = async (barrier: Barrier): Promise<void> => {
    if (barrier.last === 'finished') checkEnd(a, start.figures, barrier);
    await start.commit(barrier);
    end.last = barrier.last;
    clock.committed(barrier.grade);
  };

  const channels: Flow[] = [newChannel()];
  const work: Promise<void>[] = [];
  plan.nodes.forEach((node, i) => {
    const input = channels.at(-1) as Flow;
    const last = i === plan.nodes.length - 1;
    const out = newChannel();
    if (!last) channels.push(out);
    const watched =
      node.kind === 'stage'
        ? a.watch?.node(node.steps.map(({ id }) => id).join(', '), 'work')
        : a.watch?.node(node.step.id, 'write');
    if (watched !== undefined) {
      a.watch?.queue(watched, input);
      input.receiver = watched;
      if (!last) out.sender = watched;
      // Whoever reads what it writes may take a rest.
      if (node.kind === 'sink' && node.sink.target === 'standard output') watched.waitsOutside(true);
    }
    if (node.kind === 'stage') {
      work.push(runStage(stageNode(a, start, node, figuresOf, pools, watched), input, out));
    } else work.push(runSink(sinkNode(a, start, node, figuresOf(node.step.id)), input, last ? undefined : out, commit));
  });
  const first = channels[0] as Flow;
  const reader = a.watch?.node(plan.source.step.id, 'read');
  first.sender = reader;
  // What comes from outside may be long in coming.
  if (plan.source.source.kind !== 'offset') reader?.waitsOutside(true);
  const position: Position =
    start.from === undefined ? { split: 0, offset: 0, records: 0, framer: null } : positionOf(start.from);
  work.unshift(
    runSource(
      {
        source: plan.source.source,
        splits: start.splits,
        stepId: plan.source.step.id,
        parser:
          plan.parser === undefined
            ? undefined
            : { oxi: plan.parser.oxi, config: plan.parser.step.config, stream: start.stream, select: plan.select },
        counters: figuresOf(plan.source.step.id).counters,
        from: position,
        limit: a.limit,
        due: () => clock.due(),
        nextBarrier: () => clock.next(),
        stop: a.stop,
        reading: AbortSignal.any([a.stop, halt.signal]),
        progress: (bytes, records) => {
          start.figures.bytes += bytes;
          start.figures.records = records;
        },
        busy: (ms) => {
          figuresOf(plan.source.step.id).busyMs += ms;
        },
      },
      first,
    ),
  );
  try {
    await runTogether(work, channels, a.kill, halt);
  } finally {
    await Promise.all(pools.map((pool) => pool[Symbol.asyncDispose]()));
  }
  return end.last === 'interrupted' ? 'interrupted' : 'finished';
}

/** What has to hold before the last checkpoint: behind it the outputs are published, whatever happens. */
function checkEnd(a: Assembly, figures: RunFigures, barrier: Barrier): void {
  checkErrors(a, figures, true);
  const broken = imbalances(a.plan.steps.map(({ id }) => ({ id, counters: barrier.counters.get(id) ?? noCounters() })));
  if (broken.length > 0)
    throw new OxiError(
      'BALANCE_BROKEN',
      `the records do not add up: ${broken.join('; ')}. Nothing was published; this is a bug of oxiflow`,
    );
}

function positionOf(checkpoint: Checkpoint): Position {
  const { split, offset, ordinal, framer } = checkpoint.position;
  return { split, offset, records: ordinal, framer };
}

/** Says when a barrier is due, one at a time: a second one never starts before the first is committed. */
class BarrierClock {
  readonly #soft: number;
  readonly #hard: number;
  #lastSoft = performance.now();
  #lastHard = performance.now();
  #n: number;
  #under = false;

  constructor(a: Assembly, n: number) {
    const resumable = a.plan.source.source.kind !== 'once';
    this.#soft = resumable ? a.softIntervalMs : Number.POSITIVE_INFINITY;
    this.#hard = resumable ? a.hardIntervalMs : Number.POSITIVE_INFINITY;
    this.#n = n;
  }

  due(): Grade | undefined {
    if (this.#under) return undefined;
    const now = performance.now();
    if (now - this.#lastHard >= this.#hard) return 'hard';
    return now - this.#lastSoft >= this.#soft ? 'soft' : undefined;
  }

  next(): number {
    this.#under = true;
    return ++this.#n;
  }

  committed(grade: Grade): void {
    this.#under = false;
    this.#lastSoft = performance.now();
    if (grade === 'hard') this.#lastHard = this.#lastSoft;
  }
}

function stageSpec(a: Assembly, start: FlowStart, steps: StageStepSpec[]): StageSpec {
  return {
    steps,
    projectRoot: a.projectRoot,
    stream: start.stream,
    splitNames: start.splits.map(({ name }) => name),
    now: start.startMs,
    params: [...a.params],
    env: [...a.env],
  };
}

function stageNode(
  a: Assembly,
  start: FlowStart,
  stage: PlannedStage,
  figuresOf: (id: string) => { counters: StepCounters; busyMs: number },
  pools: Pool[],
  watched: WatchedNode | undefined,
): StageNode {
  const spec = stageSpec(a, start, stageSteps(stage));
  let program: StageProgram | undefined;
  const figures = stage.steps.map(({ id }) => figuresOf(id));
  const first = stage.steps[0];
  return {
    steps: stage.steps.map(({ id }) => id),
    counters: figures.map((step) => step.counters),
    threads: stage.ordered ? 1 : stage.threads,
    inline: (block) => {
      if (program === undefined) {
        const made = new StageProgram(spec, a.makeSteps);
        pools.push({ run: (one) => made.process(one), [Symbol.asyncDispose]: () => made.close() });
        program = made;
      }
      return program.process(block);
    },
    end: async () => program?.end(),
    startPool: () => {
      const pool = a.startPool(spec, { threads: stage.threads, mayLoop: false, restarts: 0 });
      pools.push(pool);
      return (block) => {
        watched?.atWork(1);
        return pool.run(block).finally(() => watched?.atWork(-1));
      };
    },
    done: (result) => {
      // Steps of one pass share its time: nobody measures them apart.
      for (const step of figures) step.busyMs += result.busyMs / figures.length;
      checkErrors(a, start.figures, false);
    },
    failed: (failures) => start.recordErrors(failures.map(({ message }) => message)),
    refuse: (result, broken) => {
      const counters = result.counters[0];
      if (counters === undefined || first === undefined) return;
      for (const { message, offset } of broken) {
        if (first.onError === 'stop')
          throw new OxiError(
            'RECORD_INVALID',
            `${message}. Set "on_error: drop" on the step "${first.id}" to leave such records out`,
            { place: { step: first.id, offset } },
          );
        counters.in++;
        counters.dropped++;
        if (result.failures.length < 3) result.failures.push({ step: first.id, message });
      }
    },
  };
}

function sinkNode(
  a: Assembly,
  start: FlowStart,
  planned: PlannedSink,
  figures: { counters: StepCounters; busyMs: number },
): SinkNode {
  const { step, formatter } = planned;
  const encoder = makeEncoder(planned, start.stream, a.projectRoot);
  const state = start.from?.encoders[step.id];
  if (encoder !== undefined && state !== undefined) encoder.restore(state);
  let program: StageProgram | undefined;
  if (formatter?.layOut === true) {
    // No formatter before it: the sink lays records out by itself, beside the stream that goes on.
    const spec = stageSpec(a, start, [
      { id: step.id, oxi: formatter.oxi.name, config: formatter.config, onError: 'stop' },
    ]);
    program = new StageProgram(spec, a.makeSteps, true);
  }
  return {
    stepId: step.id,
    sink: planned.sink,
    encoder,
    layOut: program === undefined ? undefined : async (block) => (await program.process(block)).block,
    counters: figures.counters,
    failed: (block, index, error) => start.recordErrors([refuseAtSink(start, step, block, index, error)]),
    busy: (ms) => {
      figures.busyMs += ms;
    },
    skip: start.skip.get(step.id) ?? 0,
  };
}

/** The encoder of a sink, where records are laid out for it. Throws OxiError where its config and the stream do not fit. */
export function makeEncoder(
  { step, formatter, sink }: PlannedSink,
  stream: StreamInfo,
  projectRoot: string,
): Encoder | undefined {
  return formatter?.oxi.encoder(formatter.config as never, stream, {
    projectRoot,
    stepId: formatter.id ?? step.id,
    output: sink.target,
    rewritable: sink.rewrite !== undefined,
  });
}

/** What is said of a record that a sink can't take. Throws OxiError RECORD_INVALID where it stops the run. */
function refuseAtSink(start: FlowStart, step: PlannedStep, block: Block, index: number, error: RecordError): string {
  const split = start.splits[block.split]?.name ?? '';
  const offset = block.offsets[index] as number;
  const message = `${split}: record at byte ${offset}: step "${step.id}": ${error.message}`;
  if (step.onError === 'drop') return message;
  throw new OxiError('RECORD_INVALID', `${message}. Set "on_error: drop" on the step to leave such records out`, {
    place: { step: step.id, file: split, offset },
    cause: error,
  });
}

/** Throws OxiError TOO_MANY_ERRORS beyond the limit. */
function checkErrors(a: Assembly, figures: RunFigures, atEnd: boolean): void {
  const { maxErrors } = a;
  if (maxErrors === undefined) return;
  const errors = errorsOf(figures);
  if ('count' in maxErrors) {
    if (errors <= maxErrors.count) return;
    throw new OxiError('TOO_MANY_ERRORS', `${errors} records were bad and "max_errors" allows ${maxErrors.count}`);
  }
  const { records } = figures;
  if (records === 0 || (!atEnd && records < SHARE_FROM) || errors / records <= maxErrors.share) return;
  throw new OxiError(
    'TOO_MANY_ERRORS',
    `${errors} of ${records} records were bad and "max_errors" allows ${maxErrors.share * 100} %`,
  );
}
