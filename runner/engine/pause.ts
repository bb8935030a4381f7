/** Holds a run up between two blocks, for as long as somebody asks for it. */
import { setTimeout as sleep } from 'node:timers/promises';

export class PauseGate {
  #open = Promise.withResolvers<void>();
  #closedBy: string | undefined;

  /** Who asked for the pause; undefined where nobody does. */
  get closedBy(): string | undefined {
    return this.#closedBy;
  }

  close(by: string): void {
    if (this.#closedBy === undefined) this.#open = Promise.withResolvers();
    this.#closedBy = by;
  }

  open(): void {
    this.#closedBy = undefined;
    this.#open.resolve();
  }

  /** Resolves when the run may go on, or `signal` is aborted. */
  async opened(signal: AbortSignal): Promise<void> {
    if (this.#closedBy === undefined) return;
    const done = new AbortController();
    // Keeps the process alive: nothing else may be going on.
    const aborted = sleep(1 << 30, undefined, { signal: AbortSignal.any([signal, done.signal]) }).catch(
      () => undefined,
    );
    await Promise.race([this.#open.promise, aborted]);
    done.abort();
  }
}
