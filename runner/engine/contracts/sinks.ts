/** Where records go: sinks with their marks, and encoders that lay out text. */
import type { Grade, Json } from '../../state/store.ts';
import type { FilePlace } from './sources.ts';
import type { FailRecord } from './steps.ts';
import type { Block, JsonObject } from './streams.ts';

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

/** How others lay records out as an encoder does, which is told of how many they did. */
export interface ByOthers {
  /** `lines`: a line feed stands behind each. `elements`: a comma stands before each, a bracket before the first of all. */
  readonly form: 'lines' | 'elements';
  /** It has laid out some already. */
  readonly begun: boolean;
  did(records: number): void;
}

/** Lays records out as text: separators, brackets, indentation. Runs at the sink, in order. */
export interface Encoder {
  /** A record that can't be laid out goes to `fail`, and is not among the pieces. */
  encode(block: Block, fail: FailRecord): Uint8Array[];
  end(): Uint8Array[];
  snapshot(): Json;
  restore(state: Json): void;
  /** Where others may lay records out in its place. */
  readonly byOthers?: ByOthers | undefined;
  /** Names of the columns so far, where it has a header. */
  readonly columns?: readonly string[];
  /** Records that it took and that are not among the pieces yet; part of its snapshot. */
  readonly held?: number;
  /** Asked behind `end`: what was written first has to be written anew. */
  rewrite?(): Rewrite | undefined;
}
