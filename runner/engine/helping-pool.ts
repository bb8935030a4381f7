/**
 * The threads of a stage, one of which is the main thread: it would only wait for the others otherwise, and on two processors a
 * thread more than there are processors costs memory and gains nothing. The others come first, once they are there: it works when they
 * have enough.
 */
import type { Block } from './contracts.ts';
import type { Pool } from './pool.ts';
import type { StageProgram } from './stage.ts';
import type { StageResult } from './stage-spec.ts';

/** Blocks for each of the others, so that none of them runs dry while the main thread is at work on one. */
const AHEAD = 2;
/** Where they hold no memory. */
const AHEAD_OF_LANE = 4;

export class HelpingPool implements Pool {
  readonly #others: Pool;
  readonly #most: number;
  readonly #program: () => StageProgram;
  #out = 0;
  /** The program works on one block at a time. */
  #helping: Promise<unknown> | undefined;
  /** The block that came last has been given to somebody. */
  #given: Promise<void> = Promise.resolve();

  /** `threads`: how many the others are. `hasLane`: what comes of blocks leaves there. */
  constructor(others: Pool, threads: number, program: () => StageProgram, hasLane = false) {
    this.#others = others;
    this.#most = threads * (hasLane ? AHEAD_OF_LANE : AHEAD);
    this.#program = program;
  }

  async run(block: Block): Promise<StageResult> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = this.#given;
    this.#given = promise;
    await before;
    // Who came first is given away first: what comes of a block waits for what comes of those before it.
    while (this.#haveEnough && this.#helping !== undefined) await this.#helping;
    resolve();
    if (this.#haveEnough) return this.#help(block);
    this.#out++;
    try {
      return await this.#others.run(block);
    } finally {
      this.#out--;
    }
  }

  /** A thread takes longer to start than many blocks to be worked on, and those behind them would wait for them. */
  get #haveEnough(): boolean {
    return this.#out >= this.#most || this.#others.isReady === false;
  }

  #help(block: Block): Promise<StageResult> {
    const work = this.#program().process(block);
    // What the others have said meanwhile comes first: blocks that are there already would keep this thread from hearing it.
    this.#helping = work
      .catch(() => undefined)
      .then(() => new Promise((resolve) => setImmediate(resolve)))
      .then(() => {
        this.#helping = undefined;
      });
    return work;
  }

  async end(): Promise<void> {
    await this.#others.end?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#others[Symbol.asyncDispose]();
  }
}
