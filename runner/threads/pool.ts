/** The threads of one stage. Blocks go to the thread with the least to do; a thread that dies fails the run, it never hangs. */
import type { Worker } from 'node:worker_threads';
import type { Block } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';
import type { StageResult, StageSpec } from '../engine/stage.ts';
import { threadEntry } from './entry.ts';
import { type AnswerMessage, packBlock, type ThreadStart, unpackError, type WorkMessage } from './messages.ts';

/** Garbage of the records is short-lived: a small young generation costs no speed and keeps the memory of a thread small. */
const YOUNG_MB = 6;

interface Waiting {
  resolve(result: StageResult): void;
  reject(error: unknown): void;
}

interface Member {
  worker: Worker;
  waiting: Map<number, Waiting>;
}

export class StagePool implements AsyncDisposable {
  readonly #members: Member[];
  readonly #name: string;
  #next = 0;
  #closing = false;
  #dead: unknown;

  constructor(spec: StageSpec, threads: number) {
    this.#name = spec.steps.map((step) => step.id).join(', ');
    this.#members = Array.from({ length: threads }, () => this.#start({ role: 'stage', spec }));
  }

  #start(start: ThreadStart): Member {
    // Loaded here: a run on one thread starts without it.
    const worker = new (process.getBuiltinModule('node:worker_threads').Worker)(threadEntry('stage-thread'), {
      workerData: start,
      name: `oxiflow: ${this.#name}`,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    });
    const member: Member = { worker, waiting: new Map() };
    worker.on('message', (answer: AnswerMessage) => {
      const waiting = member.waiting.get(answer.id);
      member.waiting.delete(answer.id);
      if ('result' in answer) waiting?.resolve(answer.result);
      else waiting?.reject(unpackError(answer.error));
    });
    worker.on('error', (error) => this.#died(member, error));
    worker.on('exit', (code) => this.#died(member, new Error(`the thread ended with code ${code}`)));
    return member;
  }

  #died(member: Member, cause: Error): void {
    if (this.#closing) return;
    this.#dead ??= new OxiError('THREAD_DIED', `a thread of the steps ${this.#name} died: ${cause.message}`, { cause });
    for (const waiting of member.waiting.values()) waiting.reject(this.#dead);
    member.waiting.clear();
  }

  /** Works on a block, which is given away. */
  run(block: Block): Promise<StageResult> {
    return new Promise((resolve, reject) => {
      if (this.#dead !== undefined) return reject(this.#dead);
      const member = this.#members.reduce((a, b) => (b.waiting.size < a.waiting.size ? b : a));
      const id = this.#next++;
      const packed = packBlock(block);
      const message: WorkMessage = { id, block: packed.block };
      member.waiting.set(id, { resolve, reject });
      member.worker.postMessage(message, packed.transfer);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#members.map((member) => member.worker.terminate()));
  }
}
