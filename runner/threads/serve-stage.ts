/** What a thread of a stage's pool does: makes the steps of the stage, then works on one block after the other, in order. */
import { getHeapStatistics } from 'node:v8';
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { threadpoint } from '../engine/crashpoint.ts';
import { ThreadClock, type ThreadUsage } from '../engine/gauge.ts';
import { Lane } from '../engine/lane.ts';
import { StageProgram } from '../engine/stage.ts';
import type { MakeSteps, StageResult } from '../engine/stage-spec.ts';
import { giveBuffer } from '../kernel/buffers.ts';
import { LaneKeeper } from './lane-keeper.ts';
import { type AnswerMessage, packBlock, packError, type ThreadStart, type WorkMessage } from './messages.ts';

/** Asking for the memory takes longer than a block may cost, so it is asked every so many blocks. */
const MEMORY_EVERY = 16;

export function serveStage(makeSteps: MakeSteps): void {
  const port = parentPort;
  if (port === null) throw new Error('this file is the entry of a thread');
  const { spec, at } = workerData as ThreadStart;
  const place = new Int32Array(at);
  const program = new StageProgram(spec, makeSteps, false, (owner) => {
    place[0] = owner;
  });

  const clock = new ThreadClock();
  let blocks = 0;
  const usage = (): ThreadUsage[] => {
    const taken = { thread: threadId, cpuMicros: clock.take() };
    if (blocks++ % MEMORY_EVERY !== 0) return [taken];
    const heap = getHeapStatistics();
    return [{ ...taken, memoryBytes: heap.used_heap_size + heap.external_memory }];
  };

  const send = (id: number, result: StageResult): void => {
    const packed = packBlock(result.block);
    const answer: AnswerMessage = { id, result: { ...result, block: packed.block, usage: usage() } };
    port.postMessage(answer, packed.transfer);
  };
  const lane = spec.lane && new LaneKeeper(new Lane(spec.lane));

  const work = async ({ id, block }: WorkMessage): Promise<void> => {
    threadpoint();
    try {
      const result = await program.process(block);
      if (lane === undefined || block.turn === undefined) send(id, result);
      else lane.take(block.turn, result, (written) => send(id, written));
    } catch (error) {
      const answer: AnswerMessage = { id, error: packError(error) };
      port.postMessage(answer);
    }
  };
  // A step may wait; the steps hold one block at a time.
  let last = Promise.resolve();
  port.on('message', (message: WorkMessage) => {
    if (message.spare !== undefined) giveBuffer(new Uint8Array(message.spare));
    last = last.then(() => work(message));
  });
  const ready: AnswerMessage = { ready: true };
  port.postMessage(ready);
}
