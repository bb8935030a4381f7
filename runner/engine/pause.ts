/** Holds a run up between two blocks, for as long as somebody asks for it. */

/** Of a timer, in milliseconds: the most that fits. */
export const LONGEST_MS = 2 ** 31 - 1;

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
    // Nothing else may be going on that keeps the process alive.
    const alive = setInterval(() => undefined, LONGEST_MS);
    await Promise.race([this.#open.promise, aborted(signal)]);
    clearInterval(alive);
  }
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
