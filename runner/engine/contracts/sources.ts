/** Where records come from: splits of an input, and who reads them. */
import type { Json } from '../../state/store.ts';

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
