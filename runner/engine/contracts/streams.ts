/** What flows between steps: blocks of whole records. */
import type { Json } from '../../state/store.ts';

export type JsonObject = { [key: string]: Json };

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
