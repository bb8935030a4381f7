/** Questions to a person at a terminal, on standard error. Ctrl-C and Ctrl-D end them. */
import { createInterface, type Interface } from 'node:readline';
import { OxiError } from '../engine/errors.ts';

/** Somebody can be asked: both ends are a terminal. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

export class Questions implements Disposable {
  readonly #reader: Interface;
  /** Lines that were typed ahead wait in here for their question. */
  readonly #lines: AsyncIterator<string>;

  constructor() {
    this.#reader = createInterface({ input: process.stdin, output: process.stderr });
    this.#reader.on('SIGINT', () => this.#reader.close());
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /**
   * The first answer that `read` takes; it returns a sentence for one that it does not, and the question comes again. An empty
   * answer is `standard`. Throws OxiError INTERRUPTED.
   */
  async ask<T>(
    question: string,
    standard: string,
    read: (answer: string) => Promise<{ value: T } | { problem: string }>,
  ): Promise<T> {
    for (;;) {
      this.#reader.setPrompt(`${question} [${standard}]: `);
      this.#reader.prompt();
      const { value, done } = await this.#lines.next();
      if (done === true) {
        process.stderr.write('\n');
        throw new OxiError('INTERRUPTED', 'interrupted: nothing was made');
      }
      const answer = await read(value.trim() === '' ? standard : value.trim());
      if ('value' in answer) return answer.value;
      process.stderr.write(`${answer.problem}\n`);
    }
  }

  say(text: string): void {
    process.stderr.write(`${text}\n`);
  }

  [Symbol.dispose](): void {
    this.#reader.close();
  }
}
