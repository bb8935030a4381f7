/** Reading of a split for the threads of the first stage: here is found where its pieces end, and they read them again by themselves. */
import { setImmediate } from 'node:timers/promises';
import { giveBuffer, takeBuffer } from '../kernel/buffers.ts';
import { READ_HEADROOM } from '../kernel/lines.ts';
import type { Block, Chunker, Piece, Split } from './contracts.ts';
import { crashpoint } from './crashpoint.ts';
import { nextPiece } from './direct-lines.ts';
import { type Flow, type Position, weightOf } from './flow.ts';
import { type Begun, isCutOff, lookAgain, openChunker, type SourceNode, UNCUT } from './source-node.ts';

/** Bytes that are looked at in one go: in the cache of a processor with what comes of them. */
const SEEN_BYTES = 224 << 10;

/**
 * The pieces of a split of lines go on unread, for the threads of the stage. Returns the position at its end, or where the run was
 * stopped; where reading has to go on here, before a line that is longer than a piece may be; undefined where that is all of it.
 */
export async function readDirect(
  node: SourceNode,
  split: Split,
  begun: Begun,
  records: number,
  out: Flow,
  between: (position: Position) => Promise<void> | undefined,
): Promise<Position | Begun | undefined> {
  if (node.direct === undefined) return undefined;
  const from = begun.start.offset;
  const chunker = openChunker(node, split, from, begun.state);
  if (chunker?.seesAll === true) return readSeen(node, split, chunker, from, records, out, between);
  const longest = chunker?.longestLine;
  if (longest === undefined) return undefined;
  const opened = await node.direct(split);
  const to = split.range?.to ?? Number.POSITIVE_INFINITY;
  let at = from;
  try {
    for (;;) {
      const piece = await nextPiece(opened.input, at, to, longest);
      if (piece === undefined) break;
      crashpoint('read');
      const { size, isLast } = piece;
      const block = storedBlock(split, { fd: opened.input.fd, at, size }, []);
      at += size;
      node.counters.bytes_in += size;
      node.counters.bytes_out += size;
      await out.send({ kind: 'block', block, broken: [], letters: [], read: opened.hold() }, weightOf(block));
      node.progress(size, undefined);
      if (node.enough.aborted) return { split: node.splits.length, offset: 0, records, framer: null };
      if (isLast) {
        await lookAgain(node, split);
        return { split: split.index + 1, offset: 0, records, framer: null };
      }
      await between({ split: split.index, offset: at, records, framer: null });
      if (node.stop.aborted) return { split: split.index, offset: at, records, framer: null };
    }
  } finally {
    opened.end();
  }
  return { start: { offset: at }, state: null };
}

/**
 * The same of a split whose bytes have to be seen here to find where records end: they are read, and the threads of the stage read
 * them again, which costs less than memory that goes to them.
 */
async function readSeen(
  node: SourceNode,
  split: Split,
  chunker: Chunker,
  from: number,
  records: number,
  out: Flow,
  between: (position: Position) => Promise<void> | undefined,
): Promise<Position> {
  const opened = await (node.direct as NonNullable<SourceNode['direct']>)(split);
  const { input } = opened;
  const to = split.range?.to ?? Number.POSITIVE_INFINITY;
  let at = from;
  let counted = from;
  const count = (done: number): void => {
    const more = done - counted;
    node.counters.bytes_in += more;
    node.counters.bytes_out += more;
    counted = done;
    node.progress(more, undefined);
  };
  const send = async ({ bytes, offset, columns, broken = [] }: Piece): Promise<void> => {
    const block = storedBlock(split, { fd: input.fd, at: offset, size: bytes.byteLength }, broken);
    if (columns !== undefined) block.columns = columns;
    await out.send({ kind: 'block', block, broken: [], letters: [], read: opened.hold() }, weightOf(block));
  };
  try {
    for (;;) {
      const wanted = Math.min(SEEN_BYTES, to - at);
      const bytes = input.read(at, wanted);
      if (bytes.length < wanted) await input.check();
      if (bytes.length === 0) {
        await lookAgain(node, split);
        // What follows the last record of a range is the matter of whoever reads the next one.
        const rest = !isCutOff(split) || chunker.pending > 0 ? chunker.end() : undefined;
        if (rest !== undefined) await send(rest);
        count(at);
        return { split: split.index + 1, offset: 0, records, framer: null };
      }
      crashpoint('read');
      at += bytes.length;
      const started = performance.now();
      const memory = takeBuffer(READ_HEADROOM + SEEN_BYTES);
      memory.set(bytes, READ_HEADROOM);
      const piece = chunker.push(memory.subarray(READ_HEADROOM, READ_HEADROOM + bytes.length), READ_HEADROOM);
      // Of what it gave out it keeps nothing.
      const size = piece?.bytes.byteLength ?? 0;
      if (size > 0) giveBuffer(memory);
      node.busy(performance.now() - started);
      const done = at - chunker.pending;
      // Reading waits for nobody here: signals, leases and what threads answer have to come in between.
      if (piece === undefined) await setImmediate();
      else await send(piece);
      count(done);
      if (node.enough.aborted) return { split: node.splits.length, offset: 0, records, framer: null };
      await between({ split: split.index, offset: done, records, framer: chunker.snapshot() });
      if (node.stop.aborted) return { split: split.index, offset: done, records, framer: chunker.snapshot() };
    }
  } finally {
    opened.end();
  }
}

/** A piece that whoever works on it reads. */
function storedBlock(
  split: Split,
  stored: NonNullable<Block['stored']>,
  broken: NonNullable<Block['uncut']>['broken'],
): Block {
  return { ...UNCUT, split: split.index, uncut: { offset: stored.at, broken }, stored };
}
