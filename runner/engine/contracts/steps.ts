/** What is done with records: steps over one record or over whole blocks, and what is wrong with a record. */
import type { RowForm, StepForm } from '../../kernel/bytes/forms.ts';
import type { Json } from '../../state/store.ts';
import type { Cutter, StreamInfo } from './framing.ts';
import type { Block } from './streams.ts';

/** A path of object keys from the root of a record; the empty path is the record itself. */
export type FieldPath = readonly string[];

/**
 * How a stage works on its records, cheapest first. bytes: the kernel runs built-in operations on spans. spans: compiled
 * functions over the touched fields, spliced back. values: each record as a table of its members.
 */
export const TIERS = ['bytes', 'spans', 'values'] as const;
export type Tier = (typeof TIERS)[number];

/** The outcome of a record step for one record. */
export type Verdict = 'keep' | 'filter';

/** A record being worked on: fields are read and written through it, untouched bytes stay as they are. */
export interface RecordView {
  /** The value at `path`, or undefined where there is none. Values: see `expressions/values.ts`. */
  get(path: FieldPath): unknown;
  has(path: FieldPath): boolean;
  /** First byte of the JSON text of the value at `path`, which says of what kind it is; -1 where there is none. */
  kind(path: FieldPath): number;
  /** Writes at the place of the old field, or last; parents that are missing are made. `json` is compact JSON text. */
  set(path: FieldPath, json: string): void;
  /** Removes a field; nothing happens where there is none. */
  drop(path: FieldPath): void;
  /**
   * Gives members other keys, at their places; another member of the new name goes. All old names mean the record as it is
   * before the first of them, so two fields can trade names.
   */
  rename(renames: readonly { from: FieldPath; to: FieldPath }[]): void;
  /** Keeps only these, in the record's own order. */
  select(paths: readonly FieldPath[]): void;
}

/** What a step may know of the world while it works; the same in every attempt of a run. */
export interface StepContext {
  /** Start of the run (first attempt), milliseconds since the epoch. */
  now: number;
  params: ReadonlyMap<string, unknown>;
  env: ReadonlyMap<string, string>;
  stream: StreamInfo;
  /** Name of the split at hand. */
  splitName: string;
  /** Its place in the whole input, where that is another one than among the splits that are read here. */
  splitPlace?: number | undefined;
  /** Offset of the record at hand in its split, in bytes. */
  offset: number;
}

/**
 * A step that looks at one record at a time. Neighbours of this kind are fused: parsed once, spliced once.
 * `touches` are the fields that it reads or writes; a faster tier takes the cheapest form that every step of a stage has.
 */
export interface RecordStep {
  readonly form: 'record';
  readonly cardinality: 'one' | 'filter';
  readonly touches: readonly FieldPath[];
  /** Those of them that it gives another value, place or name. */
  readonly writes?: readonly FieldPath[];
  /**
   * The same meaning in cheaper tiers, as data that the tier compiles; the bytes that leave are the same in every tier. The first
   * pass of a stage runs on the byte kernel where all of its steps have a form for that, and on `apply` otherwise.
   */
  readonly forms?: {
    readonly bytes?: StepForm;
    /** Why there is none for bytes, or why it has a script; as a clause. */
    readonly why?: string;
  };
  /** Keeps every record as it is: of records that were checked before, nothing has to be looked at again. */
  readonly passes?: true;
  /** Of a parser: cuts what its chunker has found to be whole. */
  readonly cutter?: Cutter;
  /** Throws RecordError for this record only. */
  apply(record: RecordView, context: StepContext): Verdict;
}

/** A step over whole blocks: one to many, collecting, stateful or asynchronous ones. */
export interface BlockStep {
  readonly form: 'block';
  readonly cardinality: 'one' | 'filter' | 'many' | 'collect';
  /** `ordered` state needs every block of the stream in order: its stage runs on one thread. */
  readonly state: 'none' | 'ordered';
  /** It only leaves records out, and looks at them where they stand: in the memory of the kernel, too. */
  readonly picks?: true;
  /** It has the kernel do its work, record by record where that can; `why`: as a clause, where it has not. */
  readonly onKernel?: { readonly why?: string | undefined };
  /** Of a parser: cuts what its chunker has found to be whole. */
  readonly cutter?: Cutter;
  /** Of a parser of CSV: what it is to the byte kernel, or why it is nothing for that, as a clause. */
  readonly rows?: { readonly form: RowForm } | { readonly form?: never; readonly why: string };
  /** Sync or async; record errors go to `fail` (and throw there when the run has to stop). */
  process(block: Block, context: StepContext, fail: FailRecord): Block | Promise<Block>;
  /** The stream ends: what is still held comes out. */
  flush?(): Block | undefined;
  /** All records have been worked on: finds out what only shows then, such as how a program ended. Throws OxiError. */
  end?(): Promise<void>;
  /** What it remembers at a barrier, bounded; part of the checkpoint. */
  snapshot?(): Json;
  restore?(state: Json): void;
  /** About how large the snapshot is, in bytes, for those that grow: a large one is not saved twice a second. */
  readonly snapshotBytes?: number;
  /** Nothing that comes from here on leaves the step: reading more of the input is of no use. */
  readonly enough?: boolean;
  /** What it waits for at the moment, where it works with others: for the message when that takes too long. */
  readonly doing?: string | undefined;
  /** What it holds goes; a call of `process` that is at work fails. */
  close?(): Promise<void>;
}

export type Step = RecordStep | BlockStep;

/** Reports that a record of a block is bad; it takes no further part. */
export type FailRecord = (index: number, error: RecordError) => void;

/** What is wrong with a record, for dead letters and for those who sort them. */
export type RecordErrorCode =
  /** Not the grammar of its format. */
  | 'GRAMMAR'
  /** Not text in its encoding. */
  | 'ENCODING'
  /** Longer, deeper or wider than a limit allows. */
  | 'TOO_LARGE'
  /** An expression, a cast or a query can't work on it. */
  | 'VALUE'
  /** It breaks a schema. */
  | 'SCHEMA'
  /** It took too long, or the thread that worked on it died. */
  | 'TIMEOUT'
  /** What works on it, or takes it, said no. */
  | 'REFUSED';

/** A data error: it travels with its record, and `on_error` of the step decides. */
export class RecordError extends Error {
  /** Bytes from the start of the record, where known. */
  readonly at: number | undefined;
  readonly code: RecordErrorCode;

  constructor(message: string, at?: number, code: RecordErrorCode = 'VALUE') {
    super(message);
    this.name = 'RecordError';
    this.at = at;
    this.code = code;
  }
}
