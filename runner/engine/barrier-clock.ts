/** Says when a barrier is due, one at a time: a second one never starts before the first is over. */
import type { Grade } from '../state/store.ts';

/** Between soft checkpoints, in milliseconds. */
export const SOFT_INTERVAL_MS = 500;

export class BarrierClock {
  readonly #softMs: number;
  readonly #hardMs: number;
  #lastSoft = performance.now();
  #lastHard = performance.now();
  #n: number;
  #under = false;
  #asked = false;

  /** `n`: the number of the last barrier that was committed. */
  constructor(options: { softMs: number; hardMs: number; n: number }) {
    this.#softMs = options.softMs;
    this.#hardMs = options.hardMs;
    this.#n = options.n;
  }

  due(): Grade | undefined {
    if (this.#under) return undefined;
    const now = performance.now();
    if (now - this.#lastHard >= this.#hardMs) return 'hard';
    if (this.#asked && this.#softMs !== Number.POSITIVE_INFINITY) return 'soft';
    return now - this.#lastSoft >= this.#softMs ? 'soft' : undefined;
  }

  /** A step wants a checkpoint soon. */
  ask(): void {
    this.#asked = true;
  }

  next(): number {
    this.#under = true;
    this.#asked = false;
    return ++this.#n;
  }

  /** The barrier is committed, or was declined. */
  over(grade: Grade): void {
    this.#under = false;
    this.#lastSoft = performance.now();
    if (grade === 'hard') this.#lastHard = this.#lastSoft;
  }
}
