/** The entry of a thread whose steps do, for some rides, what no step should: the stories of the tests of the pool. */
import { parentPort } from 'node:worker_threads';
import type { BlockStep, RecordStep } from '../../runner/engine/contracts.ts';
import { serveStage } from '../../runner/threads/serve-stage.ts';

interface Ride {
  ride: number;
  does?: 'loop' | 'grow' | 'exit' | 'throw' | 'wait' | 'leave' | 'slow';
}

const SLOW_MS = 200;

/** It ends behind its next answer: earlier, the block would not be answered on a busy machine, and be done again. */
let leaves = false;
const answer = parentPort?.postMessage.bind(parentPort);
if (parentPort !== null && answer !== undefined)
  parentPort.postMessage = (message, transfer) => {
    answer(message, transfer);
    if (leaves) setImmediate(() => process.exit(7));
  };

const PASS: RecordStep = { form: 'record', cardinality: 'one', touches: [], apply: () => 'keep' };

/** What a ride asks for happens to the thread that works on it. */
const obey: BlockStep = {
  form: 'block',
  cardinality: 'one',
  state: 'none',
  process: async (block) => {
    const bytes = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    for (let i = 0; i < block.count; i++) {
      const { does } = JSON.parse(bytes.toString('utf8', block.spans[2 * i], block.spans[2 * i + 1])) as Ride;
      if (does === 'loop') for (;;);
      if (does === 'exit') process.exit(7);
      if (does === 'leave') leaves = true;
      if (does === 'slow') for (const end = performance.now() + SLOW_MS; performance.now() < end; );
      if (does === 'wait') await new Promise(() => undefined);
      // Where nothing catches it: not even the step can say what happened.
      if (does === 'throw')
        await new Promise(() => {
          setImmediate(() => {
            throw new TypeError('the route is not a function');
          });
        });
      if (does === 'grow') {
        const routes: number[][] = [];
        // Large ones: a heap that fills slowly collects garbage for seconds before it gives up.
        for (;;) routes.push(new Array<number>(500_000).fill(1));
      }
    }
    return block;
  },
};

serveStage((spec) => {
  if (spec.params.some(([name]) => name === 'broken')) throw new Error('the steps cannot be made');
  return spec.steps.map(({ oxi }) => (oxi === 'obey' ? obey : PASS));
});
