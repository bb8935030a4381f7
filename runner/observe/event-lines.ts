/** What the writers of the event stream have in common: options, counts, the text of a line, and telling of losses. */
import type { EventListener, RunEvent } from './types.ts';

export interface WriterOptions {
  /** Told once, the first time that a line is lost, as a sentence. */
  warn: (message: string) => void;
  maxWaitingBytes?: number;
  /** A file that would grow beyond so much begins anew, with `run.started`; by default it grows. */
  limitBytes?: number | undefined;
  /** In place of the operating system's write to a file; returns the bytes taken. For tests. */
  write?: (fd: number, bytes: Uint8Array) => number;
}

export interface EventWriter extends EventListener {
  onEvent(event: RunEvent): void;
  /** Lines given to the operating system, dropped because the reader was slow, and lost because a write failed. */
  readonly counts: { written: number; dropped: number; failed: number };
  /** Resolves when everything is written, or after `deadlineMs`. */
  flush(deadlineMs: number): Promise<void>;
  /** Flushes, gives up what is left, and closes. */
  close(deadlineMs: number): Promise<void>;
}

export function lineOf(event: RunEvent): Buffer {
  return Buffer.from(`${JSON.stringify(event)}\n`);
}

/** Tells of the first loss, and only of that. */
export class Losses {
  readonly #warn: (message: string) => void;
  readonly #name: string;
  #told = false;

  constructor(name: string, warn: (message: string) => void) {
    this.#name = name;
    this.#warn = warn;
  }

  tell(problem: string): void {
    if (this.#told) return;
    this.#told = true;
    this.#warn(`--events ${this.#name}: ${problem}; the run goes on, events are lost`);
  }
}
