/** The entry of a thread of a stage's pool: makes the steps of the stage, then works on one block after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import { threadpoint } from '../engine/crashpoint.ts';
import { StageProgram } from '../engine/stage.ts';
import { makeSteps } from '../oxis/make.ts';
import { type AnswerMessage, packBlock, packError, type ThreadStart, type WorkMessage } from './messages.ts';

const port = parentPort;
if (port === null) throw new Error('this file is the entry of a thread');
const { spec } = workerData as ThreadStart;
const program = new StageProgram(spec, makeSteps);

port.on('message', ({ id, block }: WorkMessage) => {
  threadpoint();
  program.process(block).then(
    (result) => {
      const packed = packBlock(result.block);
      const answer: AnswerMessage = { id, result: { ...result, block: packed.block } };
      port.postMessage(answer, packed.transfer);
    },
    (error: unknown) => {
      const answer: AnswerMessage = { id, error: packError(error) };
      port.postMessage(answer);
    },
  );
});
