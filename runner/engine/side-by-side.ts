/**
 * A stage whose step waits for something outside: instances of it work side by side on the main thread, each with at most one
 * block in work. A block is the unit that is timed and, where allowed, done again by a new instance. Where the configuration says
 * how long it may take, a block that an instance hangs on, or dies over, is tried in ever smaller parts: the record that none
 * survives is a record error, and the others go on.
 */
import { cutBlock } from '../kernel/blocks.ts';
import { giveBuffer } from '../kernel/buffers.ts';
import type { Block } from './contracts.ts';
import { RecordError } from './contracts.ts';
import { DiedOverRecords, EXIT, OxiError } from './errors.ts';
import { DEADLINE_FIELD } from './patience.ts';
import { MOST_POISON, mostInARow, partsOf } from './poison.ts';
import type { Pool } from './pool.ts';
import { failRecords, joinResults, passRecords } from './results.ts';
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
  /** A record that an instance hangs on, or dies over, is looked for. */
  findsPoison?: boolean;
  /** Told of every record that was given up. */
  say?(message: string): void;
  /** Told of every attempt: what works on parts of a block moves. */
  begins?(): void;
}

export class SideBySide implements Pool {
  readonly #o: SideBySideOptions;
  readonly #free: StageProgram[] = [];
  readonly #all = new Set<StageProgram>();
  readonly #waiting: (() => void)[] = [];
  readonly #closing = new AbortController();
  #working = 0;
  #poison = 0;
  #inARow = 0;

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
      if (this.#o.findsPoison === true) return await this.#apart(block, true, stop);
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

  /** Works on a block, or on its parts where one of its records may be to blame that nobody can. `whole`: it is no such part. */
  async #apart(block: Block, whole: boolean, signal: AbortSignal): Promise<StageResult> {
    const { retry } = this.#o;
    try {
      const result = await withRetry(() => this.#attempt(cutBlock(block, 0, block.count), signal), {
        ...retry,
        signal,
        // Who hangs once hangs again; and who died over a part is asked again when the part is one record.
        unless: (error) => isLate(error) || (error instanceof DiedOverRecords && !whole && block.count > 1),
      });
      giveBuffer(block.bytes);
      this.#inARow = 0;
      return result;
    } catch (error) {
      if (!(error instanceof OxiError) || signal.aborted) throw error;
      const blame = this.#blame(error);
      if (blame === undefined) throw error;
      this.#bound(error);
      if (block.count <= 1) return await this.#giveUp(block, blame);
    }
    const [first, ...others] = partsOf(block);
    if (first === undefined) throw new Error('a block without records needs no parts');
    const results: [StageResult, ...StageResult[]] = [await this.#apart(first, false, signal)];
    // One behind the other: they are one block still, and have one instance.
    for (const part of others) results.push(await this.#apart(part, false, signal));
    return joinResults(results);
  }

  /** What a record is refused with that is to blame for `error`; undefined where none is. */
  #blame(error: OxiError): RecordError | undefined {
    if (isLate(error))
      return new RecordError(`it took longer than ${this.#o.timeout?.ms} ms (${DEADLINE_FIELD})`, undefined, 'TIMEOUT');
    return error instanceof DiedOverRecords ? new RecordError(error.what, undefined, 'REFUSED') : undefined;
  }

  /** Throws where there were too many of them: then it is not the records. */
  #bound(error: OxiError): void {
    const inARow = ++this.#inARow;
    const isInARow = inARow > mostInARow(this.#o.instances);
    if (!isInARow && this.#poison < MOST_POISON) return;
    const much = isInARow ? `${inARow} times in a row` : `for ${this.#poison} records already`;
    throw new OxiError(error.code, `${error.message}: it came to that ${much}`, { place: error.place, cause: error });
  }

  #giveUp(block: Block, blame: RecordError): Promise<StageResult> {
    this.#poison++;
    this.#o.say?.(`step "${this.#o.spec.steps[0]?.id}": a record is given up: ${blame.message}`);
    return failRecords(this.#o.spec, block, 0, blame);
  }

  async #attempt(block: Block, signal: AbortSignal): Promise<StageResult> {
    const program = this.#free.pop() ?? this.#make();
    this.#o.begins?.();
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

function isLate(error: OxiError): boolean {
  return error.code === 'TIMED_OUT' && error.place.field === DEADLINE_FIELD;
}
