/** Events to a pipe or socket that somebody reads, perhaps slowly, perhaps no longer. */
import { Socket } from 'node:net';
import { errnoOf } from '../engine/errors.ts';
import { type EventWriter, Losses, lineOf, type WriterOptions } from './event-lines.ts';
import { LineQueue } from './queue.ts';
import type { RunEvent } from './types.ts';

/** What may wait for a slow reader, in bytes. */
const MAX_WAITING_BYTES = 1024 * 1024;

/** A pipe or socket: never blocks; what the reader does not take waits in a bounded queue. */
export class PipeWriter implements EventWriter {
  readonly #socket: Socket;
  readonly #queue: LineQueue;
  readonly #losses: Losses;
  readonly #onIdle = new Set<() => void>();
  #written = 0;
  #failed = 0;
  #gone = false;

  constructor(fd: number, name: string, options: WriterOptions) {
    this.#queue = new LineQueue(options.maxWaitingBytes ?? MAX_WAITING_BYTES);
    this.#losses = new Losses(name, options.warn);
    this.#socket = new Socket({ fd, readable: false, writable: true });
    // Events keep no process alive by themselves: whoever ends the run flushes with a deadline.
    this.#socket.unref();
    this.#socket.on('error', (error) => this.#lost(errnoOf(error) ?? error.message));
    this.#socket.on('close', () => this.#lost('closed'));
  }

  get counts(): { written: number; dropped: number; failed: number } {
    return { written: this.#written, dropped: this.#queue.dropped, failed: this.#failed };
  }

  onEvent(event: RunEvent): void {
    if (this.#gone) {
      this.#failed += 1;
      return;
    }
    const dropped = this.#queue.dropped;
    this.#queue.push(event.type, lineOf(event));
    this.#pump();
    if (this.#queue.dropped > dropped) this.#losses.tell('its reader is too slow');
  }

  /** Hands over one line at a time, so that all others can still be given up. */
  #pump(): void {
    while (!this.#gone && this.#socket.writableLength === 0) {
      const line = this.#queue.shift();
      if (line === undefined) break;
      this.#socket.write(line, (error) => {
        if (error == null) {
          this.#written += 1;
          this.#pump();
        } else this.#failed += 1;
      });
    }
    if (this.#idle) this.#wake();
  }

  get #idle(): boolean {
    return this.#gone || (this.#queue.empty && this.#socket.writableLength === 0);
  }

  #lost(reason: string): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#failed += this.#queue.clear();
    this.#losses.tell(`its reader is gone (${reason})`);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#onIdle) wake();
    this.#onIdle.clear();
  }

  async flush(deadlineMs: number): Promise<void> {
    if (this.#idle) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, deadlineMs);
    this.#onIdle.add(resolve);
    await promise;
    clearTimeout(timer);
    this.#onIdle.delete(resolve);
  }

  async close(deadlineMs: number): Promise<void> {
    await this.flush(deadlineMs);
    if (!this.#idle) this.#lost('it did not take the last events in time');
    this.#gone = true;
    this.#socket.destroy();
  }
}
