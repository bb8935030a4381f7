/**
 * Records as arrays of so many each, an array a line, written part by part: behind a record stands a comma until its array ends. What
 * a part of the stream looks like so follows from how many records its array has before it, whoever writes the others.
 */
import type { Block } from '../engine/contracts.ts';
import { giveBuffer, takeBuffer } from './buffers.ts';
import { SpanList } from './spans.ts';

const OPEN = 0x5b;
const CLOSE = 0x5d;
const COMMA = 0x2c;
const OPEN_PIECE = Buffer.from('[');
const CLOSE_PIECE = Buffer.from(']\n');
/** More pieces than that are put together first: a write each would be dear. */
const MOST_PIECES = 48;

/** What stands between records beyond the byte behind each: of `count` records, `before` of whose first array stand in front. */
export function bracketBytes(before: number, count: number, perArray: number): number {
  const after = before + count;
  return Math.ceil(after / perArray) - Math.ceil(before / perArray) + Math.floor(after / perArray);
}

export interface ArrayPart {
  pieces: Uint8Array[];
  /** The array that begins in it and does not end there: its bytes so far, and the offset of its first record. */
  open: { bytes: number; offset: number } | undefined;
}

/** The part of the records of a block, whose bytes between records are written to, and which stays what it was. */
export function arrayPart(block: Block, before: number, perArray: number): ArrayPart {
  const { count, offsets } = block;
  const { bytes, spans } = withCommas(block);
  const pieces: Uint8Array[] = [];
  let open: ArrayPart['open'];
  let held = before;
  for (let from = 0; from < count; ) {
    const to = Math.min(count, from + perArray - held);
    const isWhole = to - from === perArray - held;
    const start = spans[2 * from] as number;
    const end = (spans[2 * to - 1] as number) + (isWhole ? 0 : 1);
    if (held === 0) pieces.push(OPEN_PIECE);
    pieces.push(bytes.subarray(start, end));
    if (isWhole) pieces.push(CLOSE_PIECE);
    else if (held === 0) open = { bytes: 1 + end - start, offset: offsets[from] as number };
    held = isWhole ? 0 : held + to - from;
    from = to;
  }
  return { pieces: pieces.length > MOST_PIECES ? [joined(pieces)] : pieces, open };
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const size = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const out = takeBuffer(size).subarray(0, size);
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.byteLength;
  }
  return out;
}

/** What `arrayPart` has put together is not needed any more. */
export function givePart({ pieces: [first] }: Pick<ArrayPart, 'pieces'>, block: Block): void {
  if (first !== undefined && first.buffer !== block.bytes.buffer && first !== OPEN_PIECE) giveBuffer(first);
}

/** The records with a comma behind each: where they stand, if they stand a byte apart. */
function withCommas({ bytes, spans, count }: Block): Pick<Block, 'bytes' | 'spans'> {
  let isDense = count > 0 && (spans[2 * count - 1] as number) < bytes.byteLength;
  for (let i = 1; i < count && isDense; i++) isDense = spans[2 * i] === (spans[2 * i - 1] as number) + 1;
  if (isDense) {
    for (let i = 0; i < count; i++) bytes[spans[2 * i + 1] as number] = COMMA;
    return { bytes, spans };
  }
  let size = count;
  for (let i = 0; i < count; i++) size += (spans[2 * i + 1] as number) - (spans[2 * i] as number);
  const out = Buffer.allocUnsafe(size);
  const places = new Uint32Array(2 * count);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const record = bytes.subarray(spans[2 * i], spans[2 * i + 1]);
    out.set(record, at);
    places[2 * i] = at;
    at += record.byteLength;
    places[2 * i + 1] = at;
    out[at++] = COMMA;
  }
  return { bytes: out, spans: places };
}

/** The records of such a part, which are compact JSON; their offsets are not known. `isInside`: it begins behind a comma. */
export function recordsOfPart(
  bytes: Uint8Array,
  isInside: boolean,
): Pick<Block, 'bytes' | 'spans' | 'offsets' | 'count'> {
  const records = new SpanList();
  let depth = isInside ? 1 : 0;
  let start = 0;
  for (let p = 0; p < bytes.length; p++) {
    const byte = bytes[p] as number;
    if (byte === QUOTE) p = endOfText(bytes, p);
    else if (byte === OPEN || byte === BRACE) {
      if (depth++ === 0) start = p + 1;
    } else if (byte === CLOSE || byte === BRACE_END) {
      if (--depth > 0) continue;
      records.add(start, p, 0);
      // Its line feed.
      start = ++p + 1;
    } else if (byte === COMMA && depth === 1) {
      records.add(start, p, 0);
      start = p + 1;
    }
  }
  return { bytes, ...records.take() };
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BRACE = 0x7b;
const BRACE_END = 0x7d;

/** Of the text that begins at `p`, its last quotation mark. */
function endOfText(bytes: Uint8Array, p: number): number {
  let at = p + 1;
  // What somebody else has cut or written over may have no end.
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}

/** So many records, an array of which more are to come, as such a part begins. */
export function beginningOf(records: readonly string[]): Buffer {
  return Buffer.from(records.length === 0 ? '' : `[${records.map((record) => `${record},`).join('')}`);
}

/** Ends the array whose last comma stood where this is put. */
export const ARRAY_END: Uint8Array = CLOSE_PIECE;
