/**
 * The threads of one stage. Blocks go to the thread with the least to do. A thread that dies never hangs the run: another one
 * takes its place and its work, as often as allowed, or the run fails. Where a step may loop, a thread that does not answer is
 * ended too, and its block is tried in ever smaller parts until the record that no thread survives is known.
 */
import type { Worker } from 'node:worker_threads';
import type { Block } from '../engine/contracts.ts';
import { RecordError } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';
import { MOST_POISON, mostInARow, partsOf } from '../engine/poison.ts';
import type { Pool, PoolOptions } from '../engine/pool.ts';
import { failRecords, joinResults } from '../engine/results.ts';
import type { StageResult, StageSpec } from '../engine/stage-spec.ts';
import { cutBlock } from '../kernel/blocks.ts';
import { giveBuffer, isShared, takeKept } from '../kernel/buffers.ts';
import { threadEntry } from './entry.ts';
import { type AnswerMessage, packBlock, type ThreadStart, unpackError, type WorkMessage } from './messages.ts';
import { startThread } from './start.ts';

/** Garbage of the records is short-lived: a small young generation costs no speed and keeps the memory of a thread small. */
const YOUNG_MB = 3;
/** What the code of a thread and the blocks on their way need, beyond the records' own memory: a heap without it ends the process. */
const BASE_MB = 32;
/** Blocks that a thread has at once: the next one is there when the last one is done. */
const DEPTH = 2;
/** The same of pieces that it reads itself and results that it writes itself: they hold no memory while they wait. */
const DEPTH_OF_LANE = 4;
/** For one block, where nobody says how long. */
const DEADLINE_MS = 30_000;
/** A deadline is counted in so many looks of this process, so that a machine that slept lets no deadline pass. */
const LOOKS = 10;

/** How long the end of the pool waits for the ends of its threads. */
const LEAVE_MS = 2000;

/** A block, or a part of one, that is to be worked on. */
interface Job {
  block: Block;
  resolve(result: StageResult): void;
  reject(error: unknown): void;
}

interface Member {
  worker: Worker;
  /** Its steps are made. */
  ready: boolean;
  /** What it was given, by id, oldest first: it works on the first. */
  jobs: Map<number, Job>;
  /** How often it was looked at while it worked on the first of them. */
  looks: number;
  at: Int32Array;
  error?: Error;
}

export class StagePool implements Pool {
  readonly #spec: StageSpec;
  readonly #o: PoolOptions;
  readonly #entry: URL;
  readonly #name: string;
  readonly #deadlineMs: number;
  readonly #depth: number;
  /** A block may have to be done again: it is kept, and a copy is sent. */
  readonly #keeps: boolean;
  readonly #members = new Set<Member>();
  readonly #ending = new Set<Promise<unknown>>();
  readonly #ticker: NodeJS.Timeout | undefined;
  #queue: Job[] = [];
  #next = 0;
  #restarts = 0;
  #poison = 0;
  /** Shared memory that came with the last result, in bytes. */
  #resultBytes = 0;
  #inARow = 0;
  #dead: unknown;

  /** `entry`: the code of the threads. */
  constructor(spec: StageSpec, options: PoolOptions, entry = threadEntry('stage-thread')) {
    this.#spec = spec;
    this.#o = options;
    this.#entry = entry;
    this.#name = spec.steps.map((step) => step.id).join(', ');
    this.#depth = spec.lane === undefined ? DEPTH : DEPTH_OF_LANE;
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#keeps = options.mayLoop || options.restarts > 0;
    for (let i = 0; i < options.threads; i++) this.#start();
    if (options.mayLoop) this.#ticker = setInterval(() => this.#look(), this.#deadlineMs / LOOKS);
  }

  /** Threads that died and were replaced, whatever the reason. */
  get restarts(): number {
    return this.#restarts + this.#poison;
  }

  get isReady(): boolean {
    return this.#dead !== undefined || [...this.#members].some(({ ready }) => ready);
  }

  /** Works on a block, which is given away. */
  run(block: Block): Promise<StageResult> {
    return new Promise((resolve, reject) => {
      if (this.#dead !== undefined) return reject(this.#dead);
      this.#queue.push({ block, resolve, reject });
      this.#dispatch();
    });
  }

  #start(): void {
    const at = new SharedArrayBuffer(4);
    const start: ThreadStart = { role: 'stage', spec: this.#spec, at };
    const { heapMb } = this.#o;
    const worker = startThread(
      {
        name: this.#name,
        data: start,
        youngMb: YOUNG_MB,
        heapMb: heapMb === undefined ? undefined : BASE_MB + heapMb,
      },
      this.#entry,
    );
    const member: Member = { worker, ready: false, jobs: new Map(), looks: 0, at: new Int32Array(at) };
    this.#members.add(member);
    worker.on('message', (answer: AnswerMessage) => this.#answered(member, answer));
    worker.on('error', (error) => {
      member.error = error;
    });
    // Behind everything that it said.
    worker.on('exit', (code) => this.#died(member, member.error?.message ?? `it ended with code ${code}`));
  }

  /** Gives what waits to the threads that have the least to do. */
  #dispatch(): void {
    while (this.#queue.length > 0) {
      let free: Member | undefined;
      for (const member of this.#members)
        if (member.jobs.size < this.#depth && (free === undefined || member.jobs.size < free.jobs.size)) free = member;
      if (free === undefined) return;
      const job = this.#queue.shift() as Job;
      const id = this.#next++;
      // A thread writes to what it is given.
      const packed = packBlock(this.#keeps ? copyOf(job.block) : job.block);
      const spare = this.#spareFor(packed.block);
      const message: WorkMessage = { id, block: packed.block, ...(spare === undefined ? {} : { spare }) };
      if (free.jobs.size === 0) free.looks = 0;
      free.jobs.set(id, job);
      free.worker.postMessage(message, packed.transfer);
    }
  }

  /**
   * What comes of a block leaves a thread with its memory, and what came in stays there: where that is none that can be used again, the
   * thread would have to make new memory for each block.
   */
  #spareFor({ bytes, stored }: Block): SharedArrayBuffer | undefined {
    return this.#resultBytes === 0 || stored !== undefined || isShared(bytes) ? undefined : takeKept(this.#resultBytes);
  }

  #answered(member: Member, answer: AnswerMessage): void {
    if (!this.#members.has(member)) return;
    member.looks = 0;
    if ('ready' in answer) {
      member.ready = true;
      return;
    }
    const job = member.jobs.get(answer.id);
    member.jobs.delete(answer.id);
    this.#inARow = 0;
    if (job !== undefined && this.#keeps) giveBuffer(job.block.bytes);
    if ('result' in answer) {
      const { bytes } = answer.result.block;
      this.#resultBytes = isShared(bytes) ? bytes.buffer.byteLength : 0;
      job?.resolve(answer.result);
    } else job?.reject(unpackError(answer.error));
    this.#dispatch();
  }

  /** One look at every thread: whoever was seen too often with the same block is ended. */
  #look(): void {
    for (const member of this.#members) {
      if (!member.ready || member.jobs.size === 0 || ++member.looks <= LOOKS) continue;
      this.#end(member);
      this.#guilty(member, `it took longer than ${this.#deadlineMs} ms (max_processing_time_ms)`, 'timeout');
    }
  }

  /** Ends a thread whose answers do not matter any more. */
  #end(member: Member): void {
    this.#members.delete(member);
    const ended = member.worker.terminate();
    this.#ending.add(ended);
    void ended.finally(() => this.#ending.delete(ended));
  }

  #died(member: Member, cause: string): void {
    // One that was ended here was seen to already.
    if (!this.#members.delete(member) || this.#dead !== undefined) return;
    if (this.#o.mayLoop && member.ready && member.jobs.size > 0) {
      this.#guilty(member, `the thread that worked on it died: ${cause}`, 'death');
      return;
    }
    if (this.#restarts >= this.#o.restarts) {
      const tries = this.#restarts === 0 ? '' : `, the last of ${this.#restarts + 1} (retry_attempts)`;
      this.#fail(`a thread of the steps ${this.#name} died${tries}: ${cause}`, [...member.jobs.values()], member.error);
      return;
    }
    this.#restarts++;
    this.#o.say?.(
      `a thread of the steps ${this.#name} died (${cause}); another one takes its place, ${this.#restarts} of ${this.#o.restarts}`,
    );
    this.#queue.unshift(...member.jobs.values());
    this.#start();
    this.#dispatch();
  }

  /** The block that the thread worked on is to blame: in parts, until it is one record. What waited behind it is done again. */
  #guilty(member: Member, cause: string, how: 'timeout' | 'death'): void {
    const [job, ...others] = member.jobs.values();
    if (job === undefined) return;
    this.#inARow++;
    const most = mostInARow(this.#o.threads);
    if (this.#inARow > most || this.#poison >= MOST_POISON) {
      const much = this.#inARow > most ? `${this.#inARow} times in a row` : `for ${this.#poison} records already`;
      const what = how === 'timeout' ? 'did not answer in time' : 'died';
      this.#fail(`a thread of the steps ${this.#name} ${what} ${much}: ${cause}`, [...member.jobs.values()]);
      return;
    }
    const owner = Math.min(member.at[0] ?? 0, this.#spec.steps.length - 1);
    this.#queue.unshift(...this.#parts(job, owner, cause), ...others);
    this.#start();
    this.#dispatch();
  }

  /** Smaller jobs that make up `job`; none where it is one record, which is refused. */
  #parts(job: Job, owner: number, cause: string): Job[] {
    const { block } = job;
    if (block.count <= 1) {
      this.#poison++;
      const step = this.#spec.steps[owner]?.id ?? '';
      this.#o.say?.(`step "${step}": a record is given up: ${cause}`);
      failRecords(this.#spec, block, owner, new RecordError(cause, undefined, 'TIMEOUT')).then(job.resolve, job.reject);
      return [];
    }
    const parts: Job[] = [];
    const results: Promise<StageResult>[] = [];
    for (const part of partsOf(block)) {
      const { promise, resolve, reject } = Promise.withResolvers<StageResult>();
      parts.push({ block: part, resolve, reject });
      results.push(promise);
    }
    Promise.all(results)
      .then(([first, ...rest]) => joinResults([first as StageResult, ...rest]))
      .then(job.resolve, job.reject);
    return parts;
  }

  /** The end of the pool: all that waits and all that comes fails. */
  #fail(message: string, jobs: readonly Job[], cause?: Error): void {
    this.#stop(new OxiError('THREAD_DIED', message, { cause }), jobs);
  }

  #stop(error: unknown, jobs: readonly Job[] = []): void {
    this.#dead ??= error;
    clearInterval(this.#ticker);
    const waiting = [...jobs, ...this.#queue, ...[...this.#members].flatMap((member) => [...member.jobs.values()])];
    this.#queue = [];
    for (const member of this.#members) member.jobs.clear();
    for (const job of waiting) job.reject(this.#dead);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop(
      new OxiError('THREAD_DIED', `the threads of the steps ${this.#name} were ended before they had finished`),
    );
    for (const member of [...this.#members]) this.#end(member);
    // One that is in a call of the system ends when that returns.
    let late: NodeJS.Timeout | undefined;
    const patience = new Promise((resolve) => {
      late = setTimeout(resolve, LEAVE_MS);
    });
    await Promise.race([Promise.all(this.#ending), patience]);
    clearTimeout(late);
  }
}

/** For a thread that may die over it. */
function copyOf(block: Block): Block {
  return block.uncut === undefined
    ? cutBlock(block, 0, block.count)
    : { ...block, bytes: Uint8Array.from(block.bytes) };
}
