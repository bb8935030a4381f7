/** A sink as a node of the flow: lays records out, writes them, and answers every barrier with its mark. */
import { BlockJoiner, recordAt, sliceBlock } from '../kernel/blocks.ts';
import { giveBuffer } from '../kernel/buffers.ts';
import { letterOf, recordMessage, stopError } from './bad-record.ts';
import type { Block, Encoder, Sink } from './contracts.ts';
import { RecordError } from './contracts.ts';
import type { StepCounters } from './counters.ts';
import { crashpoint } from './crashpoint.ts';
import { OxiError } from './errors.ts';
import { BARRIER_WEIGHT, type Barrier, type Flow, weightOf } from './flow.ts';
import type { WaitClock } from './gauge.ts';
import { type Letter, sortLetters } from './letters.ts';
import { roomOf, sizeOf } from './limits.ts';
import type { PlannedStep } from './plan.ts';

export interface SinkNode {
  step: PlannedStep;
  sink: Sink;
  encoder: Encoder | undefined;
  /** Indentation and order of keys, where no step of a stage saw to them. */
  layOut: ((block: Block) => Promise<Block>) | undefined;
  counters: StepCounters;
  splitNames: readonly string[];
  /** Records that the sink has already, beyond the checkpoint: they are not written again. */
  skip: number;
  /** Runs one unit of work with the attempts and the time that the step has for it. */
  unit<T>(work: () => Promise<T>): Promise<T>;
  /** Milliseconds spent laying out and writing, without those of `outside`. */
  busy(ms: number): void;
  /** Runs while it waits for what it writes to. */
  outside: WaitClock;
  /** A unit of work was given up (continue_on_error), or a record could not be laid out. */
  failed(message: string): void;
  lettersSent(letters: readonly Letter[]): void;
}

/** Where a chain ends: letters find their file, and barriers are told. */
export interface ChainEnd {
  letters(letters: readonly Letter[]): Promise<void>;
  barrier(barrier: Barrier): Promise<void>;
}

/** Lays out, writes, and answers barriers with its mark; in the middle of a chain, `next` gets every block too. */
export async function runSink(node: SinkNode, input: Flow, next: Flow | ChainEnd): Promise<void> {
  for (let item = await input.receive(); item !== undefined; item = await input.receive()) {
    if (item.kind === 'block') {
      const started = performance.now();
      const outside = node.outside.total(started);
      const letters = await writeBlock(node, item.block);
      const now = performance.now();
      node.busy((item.block.put?.ms ?? 0) + now - started - (node.outside.total(now) - outside));
      if (letters.length > 0) {
        node.lettersSent(letters);
        item.letters = item.letters.concat(letters);
      }
      if (isEnd(next)) {
        if (item.letters.length > 0) await next.letters(sortLetters(item.letters));
        giveBuffer(item.block.bytes);
      } else await next.send(item, weightOf(item.block));
      continue;
    }
    const { barrier } = item;
    await answer(node, barrier);
    if (isEnd(next)) await next.barrier(barrier);
    else await next.send(item, BARRIER_WEIGHT);
  }
  if (!isEnd(next)) next.close();
}

function isEnd(next: Flow | ChainEnd): next is ChainEnd {
  return 'barrier' in next;
}

async function answer(node: SinkNode, barrier: Barrier): Promise<void> {
  const { step, encoder, sink } = node;
  if (barrier.last === 'finished') await finishText(node);
  if (barrier.declined) return;
  if (encoder !== undefined) barrier.encoders[step.id] = encoder.snapshot();
  crashpoint('prepare');
  barrier.marks[step.id] = await node.outside.during(node.unit(() => sink.prepare(barrier.n, barrier.grade)));
  barrier.counters.set(step.id, { ...node.counters });
}

/** What stands behind the last record; then, where the encoder learnt more on the way, all of it anew. */
async function finishText(node: SinkNode): Promise<void> {
  const { encoder, sink, step } = node;
  if (encoder === undefined) return;
  // Records that were held until now are counted as written: those that are given up here are not.
  const held = encoder.held ?? 0;
  const given = await writePieces(node, asUnit(node, encoder.end()), held);
  node.counters.out -= given;
  const rewrite = encoder.rewrite?.();
  if (rewrite === undefined) return;
  if (sink.rewrite === undefined) throw new Error(`the sink of "${step.id}" can't rewrite its output`);
  await sink.rewrite(rewrite);
}

/** Returns the letters of records that could not be laid out. */
async function writeBlock(node: SinkNode, block: Block): Promise<Letter[]> {
  if (block.put !== undefined) {
    countPut(node, block.count, block.put.bytes);
    return [];
  }
  if (block.areLines === true) {
    if (block.count === 0) return [];
    await writePieces(node, node.encoder?.encode(block, () => undefined) ?? [block.bytes], block.count);
    node.counters.in += block.count;
    node.counters.out += block.count;
    return [];
  }
  const skipped = Math.min(node.skip, block.count);
  node.skip -= skipped;
  const letters: Letter[] = [];
  const offered = sliceBlock(block, skipped, block.count);
  const rest = withoutLarge(node, offered, letters);
  let lost = offered.count - rest.count;
  if (rest.count > 0) {
    const laidOut = node.layOut === undefined ? rest : await node.layOut(rest);
    const fail = (index: number, error: RecordError): void => {
      lost++;
      refuse(node, laidOut, index, error, letters);
    };
    const before = node.step.continues ? node.encoder?.snapshot() : undefined;
    const held = node.encoder?.held ?? 0;
    const pieces = node.encoder?.encode(laidOut, fail) ?? [
      rest.bytes.subarray(rest.spans[0], rest.spans[2 * rest.count - 1]),
    ];
    const records = held + offered.count - lost - (node.encoder?.held ?? 0);
    const given = await writePieces(node, asUnit(node, pieces), records);
    if (given > 0 && before !== undefined) {
      // What was held before is held again, and comes with the next unit.
      node.encoder?.restore(before);
      node.counters.failed -= held;
      lost += given - held;
    }
    if (laidOut.bytes.buffer !== rest.bytes.buffer) giveBuffer(laidOut.bytes);
  }
  node.counters.in += block.count;
  node.counters.out += block.count - lost;
  return letters;
}

/** The threads of the stage have written it. */
function countPut({ sink, encoder, counters }: SinkNode, records: number, bytes: number): void {
  crashpoint('write');
  encoder?.byOthers?.did(records);
  sink.advance?.(bytes, records);
  counters.in += records;
  counters.out += records;
  counters.bytes_in += bytes;
  counters.bytes_out += bytes;
}

/** A record that is larger than the sink may take is refused; of the others nothing changes. */
function withoutLarge(node: SinkNode, block: Block, letters: Letter[]): Block {
  const room = roomOf(node.step.limits);
  if (block.bytes.byteLength <= room.bytes) return block;
  let joiner: BlockJoiner | undefined;
  for (let i = 0; i < block.count; i++) {
    const size = sizeOf(block.spans, i);
    if (size <= room.bytes) {
      joiner?.add(block, i, i + 1);
      continue;
    }
    if (joiner === undefined) {
      joiner = new BlockJoiner(block);
      joiner.add(block, 0, i);
    }
    const text = `it has ${size} bytes, and the step takes ${room.bytes} at most (max_memory_mb)`;
    refuse(node, block, i, new RecordError(text, undefined, 'TOO_LARGE'), letters);
  }
  return joiner?.take() ?? block;
}

function refuse(node: SinkNode, block: Block, index: number, error: RecordError, letters: Letter[]): void {
  const { step, splitNames, counters } = node;
  const file = splitNames[block.split] ?? '';
  const offset = block.offsets[index] as number;
  if (step.onError === 'stop' && !step.continues) throw stopError(step, file, offset, error);
  if (step.onError === 'dead_letter') {
    counters.dead_lettered++;
    letters.push(letterOf(step, file, block.split, offset, error, recordAt(block, index)));
  } else if (step.continues) counters.failed++;
  else counters.dropped++;
  node.failed(recordMessage(step, file, offset, error));
}

/** What may be given up is given up whole: no separator of it stays behind. */
function asUnit({ step }: SinkNode, pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  return step.continues && pieces.length > 1 ? [Buffer.concat(pieces)] : pieces;
}

/** Writes one unit; returns how many of its records were given up. */
async function writePieces(node: SinkNode, pieces: readonly Uint8Array[], records: number): Promise<number> {
  let due = records;
  for (const piece of pieces) {
    crashpoint('write');
    try {
      const n = due;
      // What it does before it gives way (packing, a blocking write) is its own work.
      await node.outside.during(node.unit(() => node.sink.write(piece, n)));
    } catch (error) {
      // Without its end the output is no text of its format: nobody may publish it.
      if (!node.step.continues || due === 0 || !(error instanceof OxiError)) throw error;
      node.counters.failed += due;
      node.failed(`${error.message}: ${due} records are not written ("continue_on_error")`);
      return due;
    }
    node.counters.bytes_in += piece.byteLength;
    node.counters.bytes_out += piece.byteLength;
    due = 0;
  }
  return 0;
}
