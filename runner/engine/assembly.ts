/** What a flow is made of and with: what it needs of the world, the segment at hand, and what all of its nodes share. */
import type { Json } from '../state/store.ts';
import type { DirectInput, Split, StreamInfo } from './contracts.ts';
import type { DeadLetterFile } from './dead-letters.ts';
import { DirectSplit } from './direct-lines.ts';
import type { Checkpoint } from './documents.ts';
import type { Barrier } from './flow.ts';
import type { Letter } from './letters.ts';
import type { Patience } from './patience.ts';
import type { PauseGate } from './pause.ts';
import type { PlannedSource, PlannedStep, Segment } from './plan.ts';
import type { Pool, PoolOptions } from './pool.ts';
import type { RunFigures } from './report.ts';
import { StageProgram } from './stage.ts';
import type { MakeSteps, StageSpec, StageStepSpec } from './stage-spec.ts';
import type { Watch } from './watch.ts';

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
  /** Holds the flow up while it is closed. */
  pause?: PauseGate;
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

/** What the nodes of one flow share. Programs and pools that are made here end with it. */
export class Makings {
  readonly a: Assembly;
  readonly start: FlowStart;
  readonly splitNames: string[];
  /** Ends all waiting: for a retry, a sink, another chain. */
  readonly halt = new AbortController();
  readonly #figures: ReadonlyMap<string, RunFigures['steps'][number]>;
  readonly #pools: Pool[] = [];
  readonly #programs: StageProgram[] = [];
  readonly #inputs = new Set<DirectSplit>();

  constructor(a: Assembly, start: FlowStart) {
    this.a = a;
    this.start = start;
    this.splitNames = start.splits.map(({ name }) => name);
    this.#figures = new Map(start.figures.steps.map((step) => [step.id, step]));
  }

  figures(id: string): RunFigures['steps'][number] {
    const figures = this.#figures.get(id);
    if (figures === undefined) throw new Error(`no figures of step ${id}`);
    return figures;
  }

  /** What the step remembered at the checkpoint that this attempt goes on from. */
  stateOf(id: string): Json | undefined {
    return this.start.from?.snapshots[id];
  }

  /** The attempts and the time of a step, with what ends the waiting. */
  patience(step: PlannedStep): Patience {
    const signal = AbortSignal.any([this.a.kill, this.halt.signal]);
    return { step, signal, say: (message) => this.a.say(message) };
  }

  spec(steps: StageStepSpec[], checked: boolean): StageSpec {
    const { stream, startMs, splits } = this.start;
    const isShared = splits.some(({ place }) => place !== undefined);
    const { projectRoot, params, env } = this.a;
    return {
      steps,
      projectRoot,
      stream,
      splitNames: this.splitNames,
      ...(isShared ? { splitPlaces: splits.map(({ index, place = index }) => place) } : {}),
      checked,
      now: startMs,
      params: [...params],
      env: [...env],
    };
  }

  program(spec: StageSpec, keepsInput = false): StageProgram {
    const program = new StageProgram(spec, this.a.makeSteps, keepsInput);
    this.#programs.push(program);
    return program;
  }

  own(pool: Pool): void {
    this.#pools.push(pool);
  }

  /** Closed at the end, if not before. */
  openInput(input: DirectInput): DirectSplit {
    const split: DirectSplit = new DirectSplit(input, () => this.#inputs.delete(split));
    this.#inputs.add(split);
    return split;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([
      ...this.#pools.map((pool) => pool[Symbol.asyncDispose]()),
      ...this.#programs.map((program) => program.close()),
    ]);
    await Promise.all([...this.#inputs].map((split) => split.close()));
  }
}
