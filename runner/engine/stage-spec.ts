/** What crosses between the main thread and the threads of a stage: what is to be done, and what came of a block. */
import type { Block, ProcessingLimits, RecordStep, Step, StreamInfo, Tier } from './contracts.ts';
import { addCounters, type StepCounters } from './counters.ts';
import type { ThreadUsage } from './gauge.ts';
import type { LaneSpec } from './lane.ts';
import type { Letter } from './letters.ts';

/** What happens to a bad record; `pass`: it leaves the step as it came in (continue_on_error). */
export type OnError = 'stop' | 'drop' | 'dead_letter' | 'pass';

/** A step of a stage, as it crosses to a thread: plain data. */
export interface StageStepSpec {
  id: string;
  oxi: string;
  /** The oxi's checked configuration. */
  config: unknown;
  onError: OnError;
  /** What it is given at a time, at most. */
  limits: ProcessingLimits;
  /** Where the stream is `selected`, the framer has done its work already. */
  byFramer?: true;
}

/** Everything that a thread needs to do the work of a stage. */
export interface StageSpec {
  steps: StageStepSpec[];
  projectRoot: string;
  stream: StreamInfo;
  splitNames: string[];
  /** Their places in the whole input, where the work is shared. */
  splitPlaces?: number[];
  /** The records were checked by a stage before this one. */
  checked: boolean;
  /** Start of the run, milliseconds since the epoch. */
  now: number;
  params: [string, unknown][];
  env: [string, string][];
  /** The tier that everything runs on that can; undefined: the fastest. */
  tier?: Tier | undefined;
  /** What comes of blocks that have a turn leaves by it. */
  lane?: LaneSpec | undefined;
}

/** A record error that did not stop the run, for the log: how many there were is in the counters. */
export interface Failure {
  step: string;
  message: string;
}

export interface StageResult {
  block: Block;
  /** What this block added to each step. */
  counters: StepCounters[];
  /** The first few only. */
  failures: Failure[];
  /** Where the block came uncut: records that were found in it, and those that nobody could cut. */
  cut?: { records: number; broken: readonly { offset: number; reason: string }[] };
  /** Every record that a step gave up for the dead-letter file. */
  letters: Letter[];
  busyMs: number;
  /** The same for each step. */
  stepMs: number[];
  /** Steps whose time was found by samples: they share a pass with others. */
  sampled: readonly boolean[];
  /** Of the threads of a pool that worked on it. */
  usage?: readonly ThreadUsage[];
}

/** Makes the steps of a stage; the registry lies outside the engine. */
export type MakeSteps = (spec: StageSpec) => (Step | readonly RecordStep[])[];

export function addAll(into: readonly StepCounters[], delta: readonly StepCounters[]): void {
  into.forEach((counters, i) => {
    const d = delta[i];
    if (d !== undefined) addCounters(counters, d);
  });
}
