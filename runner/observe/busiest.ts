/** Which step works most at the moment: found a few times a second from what each has worked so far, so records cost nothing. */
import type { EventPayloads } from './types.ts';

/** What was seen this long ago counts for about a third: a name that flickers can't be read. */
const MEMORY_MS = 2000;
/** Whoever works less than this, in percent of one thread, is not worth a name. */
const LEAST = 5;

export type Busiest = NonNullable<EventPayloads['progress']['busiest']>;

export class BusiestStep {
  readonly #now: () => number;
  #last: number;
  #elapsed = 0;
  readonly #steps = new Map<string, { total: number; recent: number }>();

  constructor(now: () => number) {
    this.#now = now;
    this.#last = now();
  }

  /** `busyMs`: summed over the threads of the step, since the attempt began. */
  read(steps: readonly { readonly id: string; readonly busyMs: number }[]): Busiest | undefined {
    const now = this.#now();
    const elapsed = now - this.#last;
    this.#last = now;
    // A clock that was set back tells nothing.
    const keep = elapsed > 0 ? Math.exp(-elapsed / MEMORY_MS) : 1;
    this.#elapsed = this.#elapsed * keep + Math.max(0, elapsed);
    let best: { step: string; recent: number } | undefined;
    for (const { id, busyMs } of steps) {
      const before = this.#steps.get(id) ?? { total: 0, recent: 0 };
      const recent = before.recent * keep + Math.max(0, busyMs - before.total);
      this.#steps.set(id, { total: busyMs, recent });
      if (best === undefined || recent > best.recent) best = { step: id, recent };
    }
    if (best === undefined || this.#elapsed <= 0) return undefined;
    const busy_percent = Math.round((100 * best.recent) / this.#elapsed);
    return busy_percent < LEAST ? undefined : { step: best.step, busy_percent };
  }
}
