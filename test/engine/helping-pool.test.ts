/** Who works on a block: the threads of a stage, or the main thread that would wait for them. */
import { expect, test } from 'vitest';
import type { Block } from '../../runner/engine/contracts.ts';
import { HelpingPool } from '../../runner/engine/helping-pool.ts';
import type { Pool } from '../../runner/engine/pool.ts';
import type { StageProgram } from '../../runner/engine/stage.ts';
import type { StageResult } from '../../runner/engine/stage-spec.ts';

const BLOCK = { count: 0 } as Block;

/** `ready`: of the threads, of which nobody ever answers. */
function scene(ready: { is: boolean } | undefined): { pool: HelpingPool; here: () => number; there: () => number } {
  let here = 0;
  let there = 0;
  const others: Pool = {
    run: () => {
      there++;
      return new Promise(() => undefined);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  if (ready !== undefined) Object.defineProperty(others, 'isReady', { get: () => ready.is });
  const program = { process: async () => ({ block: BLOCK, at: ++here }) as unknown as StageResult };
  const pool = new HelpingPool(others, 1, () => program as unknown as StageProgram);
  return { pool, here: () => here, there: () => there };
}

test('blocks that come before a thread is there are worked on at once, and none of them waits for it', async () => {
  const ready = { is: false };
  const { pool, here, there } = scene(ready);
  for (let i = 0; i < 5; i++) await pool.run(BLOCK);
  expect([here(), there()]).toEqual([5, 0]);
  ready.is = true;
  for (let i = 0; i < 2; i++) void pool.run(BLOCK);
  await expect.poll(there).toBe(2);
  // They have enough.
  await pool.run(BLOCK);
  expect([here(), there()]).toEqual([6, 2]);
});

test('a pool that does not say so is always ready', async () => {
  const { pool, here, there } = scene(undefined);
  for (let i = 0; i < 2; i++) void pool.run(BLOCK);
  await expect.poll(there).toBe(2);
  expect(here()).toBe(0);
});
