/** The first node of a flow: reads splits in order, cuts records, and injects barriers between blocks. */
import type { Grade } from '../state/store.ts';
import type { Block, Framer, Piece, Split } from './contracts.ts';
import { RecordError } from './contracts.ts';
import { crashpoint } from './crashpoint.ts';
import { BARRIER_WEIGHT, type Barrier, type Flow, type Position, weightOf } from './flow.ts';
import { aborted, type PauseGate } from './pause.ts';
import { readDirect } from './source-direct.ts';
import { beginning, isCutOff, lookAgain, openChunker, openFramer, type SourceNode, UNCUT } from './source-node.ts';
import { SourceText, type SplitPosition } from './source-text.ts';

/** Reads splits in order, cuts records, and injects barriers between blocks. */
export async function runSource(node: SourceNode, out: Flow): Promise<void> {
  let position = node.from;
  let latest = Promise.resolve();
  const barrier = async (grade: Grade, last: Barrier['last']): Promise<void> => {
    const counters = new Map([[node.stepId, { ...node.counters }]]);
    const barrier: Barrier = {
      n: node.nextBarrier(),
      grade,
      last,
      position,
      counters,
      snapshots: {},
      encoders: {},
      marks: {},
      declined: false,
      branches: [],
      over: Promise.withResolvers(),
    };
    latest = barrier.over.promise;
    await out.send({ kind: 'barrier', barrier }, BARRIER_WEIGHT);
  };
  const paused = async (gate: PauseGate): Promise<void> => {
    // One barrier at a time; one that fails ends the flow elsewhere.
    await Promise.race([latest, aborted(node.reading)]);
    if (gate.closedBy === undefined || node.reading.aborted) return;
    await barrier('hard', 'no');
    await Promise.race([latest, aborted(node.reading)]);
    if (node.reading.aborted) return;
    node.say(`paused by ${gate.closedBy}: a checkpoint is saved, nothing is read until "oxiflow resume"`);
    node.waits?.(true);
    await gate.opened(node.reading);
    node.waits?.(false);
    if (!node.reading.aborted) node.say('going on');
  };

  for (const split of node.splits.slice(position.split)) {
    if (node.stop.aborted || node.enough.aborted || position.records >= node.limit) break;
    position = await readSplit(node, split, position, out, (at) => {
      position = at;
      if (node.pause?.closedBy !== undefined) return paused(node.pause);
      const grade = node.due();
      return grade === undefined ? undefined : barrier(grade, 'no');
    });
  }
  await barrier(
    'hard',
    node.stop.aborted && !node.enough.aborted && position.split < node.splits.length ? 'interrupted' : 'finished',
  );
  out.close();
}

/** Reads one split from `from`; returns the position at its end, or where the run was stopped. */
async function readSplit(
  node: SourceNode,
  split: Split,
  from: Position,
  out: Flow,
  between: (position: Position) => Promise<void> | undefined,
): Promise<Position> {
  let records = from.records;
  const text = new SourceText(node.source, split, node.parser !== undefined);
  const begun = await beginning(node, split, text, from);
  const read = await readDirect(node, split, begun, records, out, between);
  if (read !== undefined && 'split' in read) return read;
  const { start, state } = read ?? begun;
  let after = start.text?.at ?? start.offset;
  const chunker = openChunker(node, split, after, state);
  const framer = chunker ?? openFramer(node, split, after, state);
  let counted = start;
  // What is read and not cut yet is read again by whoever goes on from here: it counts when it is cut.
  const countTo = (at: number): SplitPosition => {
    const position = text.position(at);
    node.counters.bytes_in += position.offset - counted.offset;
    node.counters.bytes_out += (position.text?.at ?? position.offset) - (counted.text?.at ?? counted.offset);
    counted = position;
    return position;
  };
  const take = async (framed: ReturnType<Framer['push']>): Promise<void> => {
    const room = node.limit - records;
    const broken = (framed.broken ?? []).slice(0, room).map(({ offset, reason }) => ({
      split: split.index,
      offset,
      error: new RecordError(reason, undefined, 'TOO_LARGE'),
    }));
    const count = Math.min(framed.count, room - broken.length);
    if (count + broken.length === 0) return;
    records += count + broken.length;
    node.counters.added += count + broken.length;
    node.counters.out += count + broken.length;
    const { bytes, spans, offsets } = framed;
    const block: Block = {
      bytes,
      spans: spans.subarray(0, 2 * count),
      offsets: offsets.subarray(0, count),
      count,
      split: split.index,
      whole: framed.whole === true,
      ...(framed.columns === undefined ? {} : { columns: framed.columns }),
    };
    await out.send({ kind: 'block', block, broken, letters: [] }, weightOf(block));
  };

  const sendPiece = async (piece: Piece | undefined): Promise<void> => {
    if (piece === undefined) return;
    const { bytes, offset, columns, broken = [] } = piece;
    if (bytes.byteLength === 0 && broken.length === 0) return;
    const block: Block = { ...UNCUT, bytes, split: split.index, uncut: { offset, broken } };
    if (columns !== undefined) block.columns = columns;
    await out.send({ kind: 'block', block, broken: [], letters: [] }, weightOf(block));
  };

  let readTo = start.offset;
  for await (const raw of text.open(start, node.reading)) {
    crashpoint('read');
    const size = text.raw - readTo;
    readTo = text.raw;
    after = raw.after;
    const started = performance.now();
    const piece = chunker?.push(raw.bytes, raw.headroom);
    const framed = chunker === undefined ? (framer as Framer).push(raw.bytes, raw.headroom) : undefined;
    node.busy(performance.now() - started);
    const position = countTo(after - framer.pending);
    await (framed === undefined ? sendPiece(piece) : take(framed));
    node.progress(size, node.cutsLater ? undefined : records);
    if (records >= node.limit || node.enough.aborted)
      return { split: node.splits.length, offset: 0, records, framer: null };
    await between({ split: split.index, ...position, records, framer: framer.snapshot() });
    if (node.stop.aborted) break;
  }
  if (text.ended) await lookAgain(node, split);
  if (node.stop.aborted && (!text.ended || framer.pending > 0))
    return { split: split.index, ...countTo(after - framer.pending), records, framer: framer.snapshot() };
  // What follows the last record of a range is the matter of whoever reads the next one.
  if (!isCutOff(split) || framer.pending > 0)
    await (chunker === undefined ? take((framer as Framer).end()) : sendPiece(chunker.end()));
  countTo(after);
  node.progress(text.raw - readTo, node.cutsLater ? undefined : records);
  return { split: split.index + 1, offset: 0, records, framer: null };
}
