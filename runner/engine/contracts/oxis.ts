/** How an oxi makes itself known: its name, its config, and how it is made. */

import type { $ZodType } from 'zod/v4/core';
import type { Json } from '../../state/store.ts';
import type { Chunker, Framer, StreamInfo } from './framing.ts';
import type { Encoder, Join, Sink } from './sinks.ts';
import type { Source } from './sources.ts';
import type { RecordStep, Step, Tier } from './steps.ts';
import type { StreamKind } from './streams.ts';

/** What is known of the project and run when a step is made. No secrets in it unless the config holds them as Secret. */
export interface MakeContext {
  /** Folder that relative paths count from. */
  projectRoot: string;
  /** Which split group of a shared run the step works on; absent where one worker does it all. */
  share?: Share | undefined;
  stepId: string;
  /** The tier that everything runs on that can; undefined: the fastest. */
  tier?: Tier | undefined;
  /** Says something to whoever looks closely (level debug). Absent on threads. */
  debug?: ((message: string) => void) | undefined;
}

/** Where an encoder writes to. */
export interface EncoderContext extends MakeContext {
  /** Name of the output as the pipeline gives it: its ending may decide the framing. Empty where it has none. */
  output: string;
  /** The sink can rewrite what it has. */
  rewritable: boolean;
  /** What is written is joined to text that is there already. */
  continues: boolean;
}

/**
 * What an oxi may use at most. The configuration can tighten it, never widen it. Sizes are in MB of 1024 * 1024 bytes, times in
 * milliseconds.
 */
export interface ProcessingLimits {
  /** Records in one block that the step is given. */
  readonly maxBatchSize?: number;
  /** Bytes of the records that it works on at a time, and of what it holds; of a source and a parser: of the longest record. */
  readonly maxMemoryMb?: number;
  /** One call of a step that may loop. */
  readonly maxProcessingTimeMs?: number;
  /** Units of work at the same time. */
  readonly concurrentOperations?: number;
}

/** A part of the work of a run that several workers share. */
export interface Share {
  /** From 0. */
  readonly index: number;
  readonly of: number;
}

interface OxiCommon {
  readonly name: string;
  /** Its own limits: the specification's ProcessingLimits. What kinds of input it takes follows from its kind. */
  readonly limits?: ProcessingLimits;
  /** One sentence for lists and reference pages. */
  readonly summary: string;
  /** The truth about the config, from `zod/mini`: every field with description, default, unit and range in its meta. A strict object. */
  readonly config: $ZodType;
  /** The whole stream has to come to it in one place: workers can't share a run that has it. */
  readonly alone?: {
    /** A clause with the step as its subject. */
    readonly why: string;
    /** Only with such a config; always where left out. */
    when?(config: never): boolean;
  };
  /** Other spellings of config fields: alias to canonical name. */
  readonly aliases?: Readonly<Record<string, string>>;
}

export interface SourceOxi<C = never> extends OxiCommon {
  readonly kind: 'source';
  readonly output: StreamKind;
  make(config: C, context: MakeContext): Source;
}

export interface ParserOxi<C = never> extends OxiCommon {
  readonly kind: 'parser';
  /** Finds out how records stand in the stream; `select` is the path of a json_select that follows directly. */
  detect(config: C, first: Uint8Array, name: string, select: SelectPath | undefined): StreamInfo;
  /** `at`: the snapshot of an earlier framer and the offset of the first byte that will be pushed. */
  frame(
    config: C,
    stream: StreamInfo,
    select: SelectPath | undefined,
    at: { offset: number; state: Json; name: string },
  ): Framer;
  /**
   * How such a stream can be cut in ranges: `lines`: behind any line feed, where its framer has no state; `scan`: behind any record,
   * once all before it was framed. Not at all where left out.
   */
  cutting?(config: C, stream: StreamInfo, select: SelectPath | undefined): 'lines' | 'scan' | undefined;
  /** The cheap half of `frame`, where its step has the other one: the records of this stream are cut by threads. `at` as there. */
  chunk?(config: C, stream: StreamInfo, at: { offset: number; state: Json; name: string }): Chunker | undefined;
  /**
   * Names of the columns of a file that begins with `first`, `isAll`: and ends there; undefined where these bytes, or none at all,
   * do not tell them. Throws OxiError DOCUMENT_BROKEN.
   */
  columns?(config: C, name: string, first?: Uint8Array, isAll?: boolean): readonly string[] | undefined;
  /** The same config with records of so many MB at most, if it allows larger ones: nobody holds more of one than that. */
  within(config: C, maxRecordMb: number): C;
  /** The record's own part of parsing, on the threads of the stage. */
  make(config: C, context: MakeContext): Step;
}

export interface StepOxi<C = never> extends OxiCommon {
  readonly kind: 'step';
  /** One step, or several record steps that follow one another (the phases of `map`). */
  make(config: C, context: MakeContext): Step | readonly RecordStep[];
  /** Set by json_select: what a framer straight before it may do in its place; by json: that it wants the whole document. */
  select?(config: C): SelectPath;
  /** Finds what is wrong with the config where that takes loading something, before anything starts. Throws OxiError CONFIG_INVALID. */
  check?(config: C, context: MakeContext): Promise<void>;
  /** Runs queries or code of users, which may loop: on threads that can be ended, never inline. */
  readonly mayLoop?: true;
  /** Waits for something outside most of the time: several of it work side by side on the main thread. */
  readonly waits?: true;
  /** What else decides its meaning, beside the config (a schema file): part of the plan's hash. */
  fingerprint?(config: C, context: MakeContext): string;
}

export interface FormatterOxi<C = never> extends OxiCommon {
  readonly kind: 'formatter';
  /** The part that each record can have on its own, on the threads of the stage. */
  make(config: C, context: MakeContext): Step;
  encoder(config: C, stream: StreamInfo, context: EncoderContext): Encoder;
  /** How parts of an output that were laid out apart become one; undefined where they only have to stand one behind the other. */
  join?(config: C, stream: StreamInfo, context: EncoderContext): Join | undefined;
  /** Names of its columns, where the config tells them. */
  columns?(config: C): readonly string[] | undefined;
}

export interface SinkOxi<C = never> extends OxiCommon {
  readonly kind: 'sink';
  make(config: C, context: MakeContext): Sink;
  /** The formatter for records that nobody laid out before the sink: its name and its whole config. */
  implicitFormat(config: C): { oxi: string; config: unknown };
  /** Fields that are set and speak of that formatter alone: refused where somebody else lays the records out. */
  onlyImplicit?(config: C): readonly string[];
}

/** When a batch is whole, and what becomes of it. */
export interface BatchSpec {
  /** records: the batch is the block that the steps behind it are given; array: one record, a JSON array. */
  readonly emit: 'records' | 'array';
  /** Whole at so many records, bytes of records, or milliseconds after its first record; whichever comes first. */
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly maxMs: number | undefined;
  /** Batches that may wait to be taken while the next one fills; 0: the next one begins when the last one is taken. */
  readonly waiting: number;
  /** The steps behind it may hand batches on in another order. */
  readonly preserveOrder: boolean;
  /** A checkpoint is asked for after so many batches. */
  readonly checkpointEvery: number | undefined;
}

export interface BatchOxi<C = never> extends OxiCommon {
  readonly kind: 'batch';
  /** `threads`: 2 lets one batch be handed on while the next one is taken in. */
  batch(config: C, threads: number): BatchSpec;
  /** Fields that have no effect beside the others, and why: whoever has set one is told. */
  idle?(config: C, threads: number): readonly { field: string; why: string }[];
}

/** A second chain of steps, under `steps` of its config, that gets every record too. */
export interface TeeOxi extends OxiCommon {
  readonly kind: 'tee';
  /** The field of its config that holds them. */
  readonly nested: 'steps';
}

/** A path into a document: keys and array indices. */
export interface SelectPath {
  readonly segments: readonly (string | number)[];
  /** Nothing at the path is an error, unless there is a fallback. */
  readonly strict: boolean;
  /** JSON text of the record that stands in for a missing one. */
  readonly fallback?: string;
  /** What is there is one record, an array too; the step behind the framer has all of its work to do still. */
  readonly whole?: true;
}

export type Oxi = SourceOxi | ParserOxi | StepOxi | FormatterOxi | SinkOxi | BatchOxi | TeeOxi;
