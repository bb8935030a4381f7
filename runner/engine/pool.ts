/** What works on the blocks of a stage away from the flow: threads, or instances side by side on the main thread. */
import type { Block } from './contracts.ts';
import type { StageResult } from './stage-spec.ts';

/** Ended when disposed; what is still at work then fails. */
export interface Pool extends AsyncDisposable {
  /** Works on a block, which is given away. Results come back in any order. */
  run(block: Block): Promise<StageResult>;
  /** A block that came now would be worked on, or be told why not; until then it would wait. Not said: always. */
  readonly isReady?: boolean;
  /** All blocks have been worked on: before the last barrier passes. Throws what the steps find wrong only now. */
  end?(): Promise<void>;
}

export interface PoolOptions {
  threads: number;
  /**
   * A step of it may loop or grow without end: a thread that does not answer, or dies, is replaced, and the records that it worked
   * on are tried apart until the guilty one is known. That one is a record error, the others go on. Needs steps without state.
   */
  mayLoop: boolean;
  /** How long such a thread may work on one block, in milliseconds. */
  deadlineMs?: number | undefined;
  /** So many threads that died for no known reason are replaced, and their blocks done again; one more ends the run. */
  restarts: number;
  /** JavaScript objects of the records that a thread may hold, in MB; its own code and bytes of blocks do not count. */
  heapMb?: number | undefined;
  /** Told of every thread that died and was replaced. */
  say?(message: string): void;
}
