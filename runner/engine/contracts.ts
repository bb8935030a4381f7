/**
 * What the engine asks of everybody else: the three contracts (Source, Step, Sink), the formats between them, and the
 * definition by which an oxi makes itself known. The engine imports no oxi; oxis, state and observe implement these.
 *
 * Glossary. *Record*: one JSON text. *Block*: bytes that hold whole records, and where each one stands. *Split*: a part of
 * the input that is read in order (a file). *Position*: where reading goes on. *Barrier*: a mark that flows through all
 * stages behind the records before it. *Mark*: what a sink holds durably at a barrier.
 */
import type { $ZodType } from 'zod/v4/core';
import type { RowForm, StepForm } from '../kernel/bytes/forms.ts';
import type { Grade, Json } from '../state/store.ts';

export type JsonObject = { [key: string]: Json };

// ---------------------------------------------------------------- streams

/** What flows between two steps: bytes nobody has cut yet, JSON records, or text that a formatter has laid out. */
export type StreamKind = 'bytes' | 'records' | 'text';

/** How records stand in a byte stream; `rows` are those of CSV. */
export type Framing = 'lines' | 'array' | 'document' | 'rows';

/**
 * A block of whole records. Record i is `bytes[spans[2i], spans[2i+1])`; what lies between records belongs to nobody.
 * Whoever receives a block owns its bytes and may transfer or overwrite them.
 */
export interface Block {
  bytes: Uint8Array;
  /** Start and end of each record in `bytes`; two entries a record, `2 * count` in use. */
  spans: Uint32Array;
  count: number;
  /**
   * Where each record began in its split, in bytes; shared by all records that came from one (json_select). Of a split that is packed
   * or not UTF-8 they count bytes of its text, unpacked and as UTF-8.
   */
  offsets: Float64Array;
  /** The split that the records came from. */
  split: number;
  /** Its one record is a value on its own (a document, a selected object), not an element of an array or a line. */
  whole?: boolean;
  /** Its bytes are whole records that nobody has cut yet: the first step of the stage does. `count` is 0 until then. */
  uncut?: { offset: number; broken: readonly { offset: number; reason: string }[] };
  /** Its bytes stand in an open file and are read by whoever works on it: `size` from `at` on. `bytes` is empty until then. */
  stored?: { fd: number; at: number; size: number };
  /** Its bytes are `count` records with a line feed behind each, and nothing else; spans and offsets of them may be left out. */
  areLines?: boolean;
  /** Its turn to be written, where those who work on blocks write what comes of them. */
  turn?: number;
  /**
   * Its records stand in the output already, in so many bytes, written in so many milliseconds; `bytes` is empty. As parts of arrays:
   * `open` is the one that begins there and does not end, its bytes so far and the offset of its first record.
   */
  put?: { bytes: number; ms: number; open?: { bytes: number; offset: number } | undefined };
  /** Names of the columns, where the records are rows of CSV: not parsed yet, or laid out. */
  columns?: readonly string[];
  /** Where the records were laid out as rows of CSV: runs of them, in order, that count all of them. */
  runs?: readonly RowRun[];
}

/** Rows that were laid out in the order of the same columns. */
export interface RowRun {
  count: number;
  columns: readonly string[];
  /** Rows may have fewer cells than there are columns: those before the one that brought the others. */
  ragged?: true;
}

// ---------------------------------------------------------------- sources

/** A part of the input, read in order by one reader. Recorded before the first read. */
export interface Split {
  index: number;
  /** Its index in the whole input, where the work is shared. */
  place?: number;
  /** What it is called in messages: a path, `stdin`. */
  name: string;
  /** Bytes, where known before reading. */
  size?: number;
  /** Only these bytes of it belong to the split; all of it where left out. `size` is that of the whole all the same. */
  range?: SplitRange;
}

/** A part of a file: it begins where a record begins, and ends where another one does or the file ends. */
export interface SplitRange {
  from: number;
  to: number;
  /** State of the framer at `from`. */
  framer: Json;
  /** Of the file before `from`, as `Source.fingerprint` gives it: a file that became another one is cut elsewhere. */
  fingerprint: string;
}

/** How the work on an input is to be cut. */
export interface CutWish {
  /** So many groups of splits at most; just so many, some of them empty, with `exactly`. */
  groups: number;
  exactly?: boolean;
  /** No group needs to be smaller than that. */
  minBytes: number;
  /** Bytes of each group, in order, where they are not to be alike: as many as `groups`, of about as many bytes as there are. */
  sizes?: readonly number[];
}

/** Encodings of text files. `utf-16` goes by the byte order mark, little-endian without one. */
export type TextEncoding = 'utf-8' | 'utf-16' | 'utf-16le' | 'utf-16be' | 'latin1';

/** How a file is packed; `auto` goes by the ending of its name, .gz or .zst. */
export type Compression = 'auto' | 'none' | 'gzip' | 'zstd';

export interface RawBlock {
  /** Alone on their memory, which is the receiver's from here on: it is written to, and used again. */
  bytes: Uint8Array;
  /** Offset in the split of the first byte behind this block. */
  after: number;
  /** So many bytes in front of `bytes`, in the same memory, may be written to: a line that was cut off is put together there. */
  headroom?: number;
}

/** A file as one thing, however many names it has. */
export interface FilePlace {
  /** What people call it. */
  name: string;
  /** What tells it from others: two places that have one of them in common are the same. */
  keys: readonly string[];
  /** What was there before is put there. */
  backup?: true;
}

export interface Source {
  /** offset: can be read again from a position; ack: redelivered until acknowledged; once: read once, never resumed. */
  readonly kind: 'offset' | 'ack' | 'once';
  readonly bounded: boolean;
  /** Its bytes are given as they are: nothing is unpacked or decoded, and no byte order mark is skipped. */
  readonly binary?: boolean;
  /** How its text is encoded; UTF-8 where left out. */
  readonly encoding?: TextEncoding;
  /** How it is packed; not at all where left out. */
  readonly compression?: Compression;
  /** Bytes that may come out of a packed byte, once it is more than 100 MB; 200 where left out. */
  readonly maxExpansion?: number;
  /** The input as it stands now. Throws OxiError INPUT_MISSING, PERMISSION_DENIED. */
  splits(): Promise<Split[]>;
  /** The same splits again, as they are now: for the check on resume. Throws OxiError INPUT_MISSING. */
  recorded(splits: readonly Split[]): Promise<Split[]>;
  /** Cuts an input that is no bytes of files (ranges of keys, partitions) into groups; files are cut by the engine. */
  cut?(splits: readonly Split[], wish: CutWish): Promise<Split[][]>;
  /** Reads from `from` (bytes) to the end of the split or of its range; ends early, without an error, once `signal` is aborted. */
  open(split: Split, from: number, signal: AbortSignal): AsyncIterable<RawBlock>;
  /** Opens a split for those who read it at any place, on any thread. Absent where its bytes can't be had so. */
  readonly direct?: ((split: Split) => Promise<DirectInput>) | undefined;
  /** The first bytes of a split, at most `length`, without consuming them; for detection of the framing. */
  peek(split: Split, length: number): Promise<Uint8Array>;
  /** What identifies the input up to `offset`: a hash of the 64 KB before it. Absent where the input can't be read twice. */
  fingerprint?(split: Split, offset: number): Promise<string>;
  /**
   * Whether what was read of a split that `open` was called for still stands there: throws OxiError INPUT_REWRITTEN where it does
   * not. Returns what else there is to say of it (it grew).
   */
  recheck?(split: Split): Promise<string | undefined>;
  /** What later steps may refer to as `${steps.ID.FIELD}`; of one split. */
  metadata?(split: Split): Promise<Record<string, string | number>>;
  /** The files that these splits are; absent where they are none. */
  places?(splits: readonly Split[]): Promise<readonly FilePlace[]>;
  /** Called after the checkpoint that covers `upTo` is in the store (Kafka commit, SQS delete). */
  committed?(split: Split, upTo: number): Promise<void>;
  close(): Promise<void>;
}

/** An open split. Others read pieces of it by the descriptor; what ends where is found here. */
export interface DirectInput {
  readonly fd: number;
  /**
   * At most `length` bytes from `at` on; none at the end. They hold until the next call. Waits for the disk, as those who read the
   * pieces do: of a few bytes at a time the way there and back would take ten times as long.
   */
  read(at: number, length: number): Uint8Array;
  /** Before what is missing is taken for the end: throws OxiError INPUT_REWRITTEN where it may not be. */
  check(): Promise<void>;
  /** Nobody reads by the descriptor any more. */
  close(): Promise<void>;
}

/** Cuts a byte stream into records (parse_json). Lives in the source's stage; its snapshot is part of the position. */
export interface Framer {
  /** Takes the next bytes of a split, which it may keep; returns the records that are whole by now. */
  push(bytes: Uint8Array, headroom?: number): FramedRecords;
  /** The split ends here: what is left is the last record, or broken (throws OxiError DOCUMENT_BROKEN). */
  end(): FramedRecords;
  /** Bytes taken but not yet given out: the position is the source's offset less these. */
  readonly pending: number;
  /** The state behind the last record that was given out, to go on there later; null at the beginning. */
  snapshot(): Json;
}

/** Records in the form of a Block, which the receiver owns. */
export interface FramedRecords {
  bytes: Uint8Array;
  spans: Uint32Array;
  offsets: Float64Array;
  count: number;
  whole?: boolean;
  columns?: readonly string[];
  /** Records that nobody can cut (longer than the limit): where they began, and why. */
  broken?: { offset: number; reason: string }[];
}

/** Bytes that hold whole records which nobody has cut yet. */
export interface Piece {
  bytes: Uint8Array;
  /** Where `bytes` begin in the split. */
  offset: number;
  columns?: readonly string[];
  /** As in FramedRecords: what the chunker itself gave up; a cutter passes it on. */
  broken?: { offset: number; reason: string }[];
}

/**
 * The cheap half of a framer, for formats whose records can be cut on the threads of a stage: finds where the last whole record
 * ends. Runs where the source does, in order.
 */
export interface Chunker {
  /** Any line feed ends a whole record, and nothing needs to be known of what stands before it; longer lines are given up. */
  readonly longestLine?: number;
  /** Without such a rule: it has to see all bytes, and others may read its pieces again where they stand. */
  readonly seesAll?: true;
  /** Takes the next bytes, which it may keep; undefined where no record has ended yet. */
  push(bytes: Uint8Array, headroom?: number): Piece | undefined;
  /** The split ends here. */
  end(): Piece | undefined;
  /** As of a framer. */
  readonly pending: number;
  snapshot(): Json;
}

/** The other half: cuts a piece into records, on any thread, with no state between two pieces. */
export interface Cutter {
  /** It cuts lines, and gives up those that are longer. */
  readonly longestLine?: number;
  /** It cuts rows of CSV, and gives up those that are longer. */
  readonly longestRow?: number;
  cut(piece: Piece): FramedRecords;
}

/** What is known of a stream once its first bytes were seen; recorded in the run, so that a resumed run sees the same. */
export interface StreamInfo {
  framing: Framing;
  /** The framer already applied the `json_select` that follows it. */
  selected: boolean;
}

// ---------------------------------------------------------------- steps

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

// ---------------------------------------------------------------- sinks

/** What a sink holds durably at checkpoint `n`; it understands `data` itself. */
export interface Mark {
  n: number;
  records: number;
  bytes: number;
  data: JsonObject;
}

/** What a sink made, for the summary and the orchestrator's UI. */
export interface Output {
  /** Path or table; absent for stdout. */
  path?: string;
  rows: number;
  bytes: number;
  columns?: string[];
}

/** What an earlier run of the same key has put in place, as the store knows it. `at`: ISO time by which that was done. */
export interface EarlierOutput {
  path: string;
  bytes: number;
  at: string;
}

export interface SinkRun {
  runKey: string;
  runId: string;
  pipeline: string;
  step: string;
  /** The fencing token: part of the name of everything that is staged. */
  token: number;
  /** The token that staged what the mark speaks of, and whether that process is proven dead. */
  predecessor?: { token: number; provenDead: boolean };
  /** The predecessor had begun to publish: the output may already stand where it belongs. */
  finishing: boolean;
}

/** What the sink itself says it holds, which wins over the store. */
export type Held =
  /** It is exactly at the mark (having dropped what it had beyond it), or empty where no mark was given. */
  | { at: 'mark' }
  /** It holds more than the store knows of: a transaction was committed and the checkpoint was not. */
  | { at: 'ahead'; mark: Mark }
  /** What the mark speaks of is missing or shorter: the run has to start from zero, and says why. */
  | { at: 'lost'; reason: string };

/** What a worker made of its share of an output. */
export type PartOutput = Pick<Output, 'rows' | 'bytes' | 'columns'>;

export interface MergeOptions {
  /** Undefined: one stands behind the other, as they are. */
  join: Join | undefined;
  /** Throws OxiError LEASE_LOST where another worker has the right to merge by now. */
  mustHold(): Promise<void>;
}

/** Turns the texts of parts, those without records left out, into the text of the whole. */
export type Join = (parts: readonly PartText[]) => AsyncIterable<Uint8Array>;

export interface PartText extends PartOutput {
  /** What messages call it. */
  name: string;
  /** In UTF-8, not packed, without a byte order mark. */
  text(): AsyncIterable<Uint8Array>;
}

export interface Sink {
  /** How it keeps a mark: with the data (transaction), by cutting back (truncate), by keys, or not at all (append). */
  readonly guarantee: 'transaction' | 'truncate' | 'keyed' | 'append';
  /** What it writes to, as one text: no two sinks of a pipeline may have the same. */
  readonly target: string;
  /** The files that publishing writes to or replaces, as they stand now. */
  places?(): readonly FilePlace[];
  /** The file that holds what it has written until that is published; for people who look for it. */
  readonly pending?: string | undefined;
  /** What it writes will be joined to what is there already. */
  readonly continues?: boolean;
  /** Refuses (throws, exit 2) what can be known to fail before anything starts. Writes nothing. */
  check?(): Promise<void>;
  open(run: SinkRun, mark: Mark | undefined): Promise<Held>;
  /** Takes bytes as they are to stand in the output; resolves when it can take more (back-pressure). */
  write(bytes: Uint8Array, records: number): Promise<void>;
  /** The open file, and the byte of it that `write` writes next: for others who write there, in its place. */
  readonly direct?: (() => { fd: number; at: number } | undefined) | undefined;
  /** Others have written so many bytes, behind all that was written before. */
  advance?(bytes: number, records: number): void;
  /** Makes what was written durable to `grade` and returns the mark. */
  prepare(n: number, grade: Grade): Promise<Mark>;
  /** The checkpoint that has this mark is in the store. */
  published?(n: number): Promise<void>;
  /**
   * All that was written goes through `rewrite` and takes its place, before the last mark: the header of a CSV file whose columns
   * grew. A crash at any instant leaves what the last checkpoint speaks of. Absent where output can't be taken back.
   */
  rewrite?(rewrite: Rewrite): Promise<void>;
  /**
   * Makes the output visible. Called after the final mark is in the store, and again (with the same mark, after `open`) by a
   * successor if the process died in between: it must be idempotent.
   */
  finish(mark: Mark): Promise<Output>;
  /**
   * Of an output whose parts, each made by another worker with a `share`, become one file in their order: puts them together and
   * makes that visible, then they go. A crash at any instant leaves what a successor with a higher token ends well; where all of it
   * is done, nothing happens. Throws OxiError where they can't be joined: the parts stay.
   */
  readonly merge?: ((run: SinkRun, parts: readonly PartOutput[], how: MergeOptions) => Promise<Output>) | undefined;
  /**
   * Outputs of earlier runs go that stand beside that of this one: parts of another cut, or the whole where this one makes parts. Only
   * those that are known and still as they were made. `of`: the parts that this run makes; undefined: none. `dry`: nothing goes.
   * Returns the names of those that stay.
   */
  clearEarlier?(known: readonly EarlierOutput[], how: { of: number | undefined; dry: boolean }): Promise<string[]>;
  /** What workers of earlier runs of this key have staged for parts of it goes; `of`: how many there were, 0 where nobody knows. */
  sweepParts?(run: SinkRun, of: number): Promise<void>;
  /** The run starts over, or is given up: staged data of this sink goes, published data stays. */
  abort(): Promise<void>;
  close(): Promise<void>;
}

/** Turns the whole text of an output (UTF-8, not packed) into another one, in pieces. */
export type Rewrite = (text: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;

/** Lays records out as text: separators, brackets, indentation. Runs at the sink, in order. */
export interface Encoder {
  /** A record that can't be laid out goes to `fail`, and is not among the pieces. */
  encode(block: Block, fail: FailRecord): Uint8Array[];
  end(): Uint8Array[];
  snapshot(): Json;
  restore(state: Json): void;
  /** It puts a line feed behind each record and nothing else: others may do that. Told of how many they did. */
  readonly lines?: ((records: number) => void) | undefined;
  /** Names of the columns so far, where it has a header. */
  readonly columns?: readonly string[];
  /** Records that it took and that are not among the pieces yet; part of its snapshot. */
  readonly held?: number;
  /** Asked behind `end`: what was written first has to be written anew. */
  rewrite?(): Rewrite | undefined;
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

// ---------------------------------------------------------------- definitions

/** What is known of the project and run when a step is made. No secrets in it unless the config holds them as Secret. */
export interface MakeContext {
  /** Folder that relative paths count from. */
  projectRoot: string;
  /** Which split group of a shared run the step works on; absent where one worker does it all. */
  share?: Share | undefined;
  stepId: string;
  /** Says something to whoever looks closely (level debug). Absent on threads. */
  debug?: ((message: string) => void) | undefined;
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
