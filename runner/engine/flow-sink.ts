/** A sink as a node of the flow: lays records out, writes them, and answers every barrier with its mark. */
import { giveBuffer } from '../kernel/buffers.ts';
import type { Block, Encoder, RecordError, Sink } from './contracts.ts';
import type { StepCounters } from './counters.ts';
import { crashpoint } from './crashpoint.ts';
import { BARRIER_WEIGHT, type Barrier, type Flow, weightOf } from './flow.ts';

export interface SinkNode {
  stepId: string;
  sink: Sink;
  encoder: Encoder | undefined;
  /** Indentation and order of keys, where no step of a stage saw to them. */
  layOut: ((block: Block) => Promise<Block>) | undefined;
  counters: StepCounters;
  /** A record that can't be laid out; throws where it stops the run. */
  failed(block: Block, index: number, error: RecordError): void;
  /** Records that the sink has already, beyond the checkpoint: they are not written again. */
  skip: number;
  /** Milliseconds spent laying out and writing. */
  busy(ms: number): void;
}

/** Lays out, writes, and answers barriers with its mark; `out` gets every block too (a sink in the middle). */
export async function runSink(
  node: SinkNode,
  input: Flow,
  out: Flow | undefined,
  commit: (barrier: Barrier) => Promise<void>,
): Promise<void> {
  for (let item = await input.receive(); item !== undefined; item = await input.receive()) {
    if (item.kind === 'block') {
      const started = performance.now();
      await writeBlock(node, item.block);
      node.busy(performance.now() - started);
      if (out === undefined) giveBuffer(item.block.bytes);
      else await out.send(item, weightOf(item.block));
      continue;
    }
    const { barrier } = item;
    if (barrier.last === 'finished') await finishText(node);
    if (node.encoder !== undefined) barrier.encoders[node.stepId] = node.encoder.snapshot();
    crashpoint('prepare');
    barrier.marks[node.stepId] = await node.sink.prepare(barrier.n, barrier.grade);
    barrier.counters.set(node.stepId, { ...node.counters });
    if (out === undefined) await commit(barrier);
    else await out.send(item, BARRIER_WEIGHT);
  }
  out?.close();
}

/** What stands behind the last record; then, where the encoder learnt more on the way, all of it anew. */
async function finishText({ encoder, sink, ...node }: SinkNode): Promise<void> {
  if (encoder === undefined) return;
  await writePieces({ encoder, sink, ...node }, encoder.end(), 0);
  const rewrite = encoder.rewrite?.();
  if (rewrite === undefined) return;
  if (sink.rewrite === undefined) throw new Error(`the sink of "${node.stepId}" can't rewrite its output`);
  await sink.rewrite(rewrite);
}

async function writeBlock(node: SinkNode, block: Block): Promise<void> {
  const skipped = Math.min(node.skip, block.count);
  node.skip -= skipped;
  const rest: Block =
    skipped === 0
      ? block
      : {
          ...block,
          spans: block.spans.subarray(2 * skipped),
          offsets: block.offsets.subarray(skipped),
          count: block.count - skipped,
        };
  let failed = 0;
  if (rest.count > 0) {
    const laidOut = node.layOut === undefined ? rest : await node.layOut(rest);
    const fail = (index: number, error: RecordError): void => {
      failed++;
      node.failed(laidOut, index, error);
    };
    if (node.encoder !== undefined) {
      const pieces = node.encoder.encode(laidOut, fail);
      await writePieces(node, pieces, rest.count - failed);
    } else await writePieces(node, [rest.bytes.subarray(rest.spans[0], rest.spans[2 * rest.count - 1])], rest.count);
    if (laidOut.bytes.buffer !== rest.bytes.buffer) giveBuffer(laidOut.bytes);
  }
  node.counters.in += block.count;
  node.counters.dropped += failed;
  node.counters.out += block.count - failed;
}

async function writePieces(node: SinkNode, pieces: readonly Uint8Array[], records: number): Promise<void> {
  let due = records;
  for (const piece of pieces) {
    crashpoint('write');
    await node.sink.write(piece, due);
    node.counters.bytes_in += piece.byteLength;
    node.counters.bytes_out += piece.byteLength;
    due = 0;
  }
}
