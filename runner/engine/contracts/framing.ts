/** How records are cut out of bytes: in one go, or in a cheap half where the source is and another one on threads. */
import type { Json } from '../../state/store.ts';
import type { Framing } from './streams.ts';

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
