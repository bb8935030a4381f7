/**
 * Steps that wait for something outside (a program, a service): several instances of the stage on the main thread, each with one
 * block in work. A block is the unit that is timed and, where allowed, done again by a new instance.
 */
import { cutBlock } from '../kernel/blocks.ts';
import type { Block } from './contracts.ts';
import { EXIT, OxiError } from './errors.ts';
import type { Pool } from './pool.ts';
import { passRecords } from './results.ts';
import { type RetryOptions, type Timeout, withRetry, withTimeout } from './retry.ts';
import { StageProgram } from './stage.ts';
import type { MakeSteps, StageResult, StageSpec } from './stage-spec.ts';

export interface SideBySideOptions {
  spec: StageSpec;
  makeSteps: MakeSteps;
  /** At most so many at the same time. */
  instances: number;
  /** For one block: the shorter of `timeout_seconds` and `max_processing_time_ms`. */
  timeout: Timeout | undefined;
  /** `attempts` 0: a block that failed is not done again. */
  retry: RetryOptions;
}

export class SideBySide implements Pool {
  readonly #o: SideBySideOptions;
  readonly #free: StageProgram[] = [];
  readonly #all = new Set<StageProgram>();
  readonly #waiting: (() => void)[] = [];
  readonly #closing = new AbortController();
  #working = 0;

  constructor(options: SideBySideOptions) {
    this.#o = options;
  }

  async run(block: Block): Promise<StageResult> {
    while (this.#working >= this.#o.instances && !this.#closing.signal.aborted)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#closing.signal.throwIfAborted();
    this.#working++;
    // A block that nobody can work on may have to go on as it came.
    const passes = this.#o.spec.steps[0]?.onError === 'pass';
    const kept = passes ? cutBlock(block, 0, block.count) : undefined;
    try {
      const { attempts, signal } = this.#o.retry;
      const stop = AbortSignal.any([signal, this.#closing.signal]);
      return await withRetry(
        // The last attempt may have the block itself.
        (attempt) => this.#attempt(attempt < attempts ? cutBlock(block, 0, block.count) : block, stop),
        { ...this.#o.retry, signal: stop },
      );
    } catch (error) {
      if (kept === undefined || !(error instanceof OxiError) || this.#closing.signal.aborted) throw error;
      if (this.#o.retry.signal.aborted || error.exitCode !== EXIT.failed) throw error;
      return await passRecords(this.#o.spec, kept, error);
    } finally {
      this.#working--;
      this.#waiting.shift()?.();
    }
  }

  async #attempt(block: Block, signal: AbortSignal): Promise<StageResult> {
    const program = this.#free.pop() ?? this.#make();
    try {
      const result = await withTimeout(() => program.process(block), this.#timeoutOf(program), signal);
      this.#free.push(program);
      return result;
    } catch (error) {
      // Nobody knows what state it is in.
      await this.#close(program);
      throw error;
    }
  }

  #timeoutOf(program: StageProgram): Timeout | undefined {
    const { timeout } = this.#o;
    return timeout && { ...timeout, hint: () => program.doing };
  }

  #make(): StageProgram {
    const program = new StageProgram(this.#o.spec, this.#o.makeSteps);
    this.#all.add(program);
    return program;
  }

  async #close(program: StageProgram): Promise<void> {
    this.#all.delete(program);
    await program.close();
  }

  async end(): Promise<void> {
    const { signal } = this.#o.retry;
    await Promise.all(
      [...this.#all].map((program) => withTimeout(() => program.end(), this.#timeoutOf(program), signal)),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new OxiError('EXEC_FAILED', 'the run ended before this block was done'));
    for (const wake of this.#waiting.splice(0)) wake();
    await Promise.all([...this.#all].map((program) => this.#close(program)));
  }
}
