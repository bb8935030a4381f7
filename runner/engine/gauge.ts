/**
 * Clocks that tell where the time of a flow goes: how long somebody waited, how much processor time a thread took, and how the
 * time of a fused pass is shared out among its steps. They run on the hot path, so each costs next to nothing.
 */

/** The time spent in one kind of wait. A wait that still goes on counts, so that one who stands still shows. */
export class WaitClock {
  #total = 0;
  #since: number | undefined;

  begin(): void {
    this.#since ??= performance.now();
  }

  end(): void {
    if (this.#since === undefined) return;
    this.#total += performance.now() - this.#since;
    this.#since = undefined;
  }

  /** Runs as long as `work` is not done. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.begin();
    try {
      return await work;
    } finally {
      this.end();
    }
  }

  /** Milliseconds. */
  total(now: number): number {
    return this.#total + (this.#since === undefined ? 0 : Math.max(0, now - this.#since));
  }
}

/** What is read of a queue between two nodes. */
export interface QueueGauge {
  /** What waits in it. */
  readonly fill: { bytes: number; records: number };
  /** How full it is, 0 to 1, by the tighter of its bounds; 1 while its sender waits. */
  readonly share: number;
  /** Of its receiver for input, of its sender for room. */
  readonly waits: { readonly input: WaitClock; readonly room: WaitClock };
  /** When its sender sent the last item, and its receiver saw that nothing follows; by `performance.now()`. */
  readonly closedAt: number | undefined;
  readonly endedAt: number | undefined;
}

/** What a thread of a pool took since its last word. */
export interface ThreadUsage {
  thread: number;
  cpuMicros: number;
  /** Its heap and its buffers; now and then only. */
  memoryBytes?: number;
}

/** Processor time of this thread. Before Node 23.9 nobody tells it; the time that its event loop was busy stands in. */
export class ThreadClock {
  #last = threadMicros();

  /** Microseconds since the last time. */
  take(): number {
    const now = threadMicros();
    const since = now - this.#last;
    this.#last = now;
    return Math.max(0, since);
  }
}

export function threadMicros(): number {
  // Not in the older versions that the runner supports, whatever the types say.
  const usage = (process as { threadCpuUsage?: typeof process.threadCpuUsage }).threadCpuUsage;
  if (usage === undefined) return 1000 * performance.eventLoopUtilization().active;
  const { user, system } = usage.call(process);
  return user + system;
}

/** Blocks from one that is timed to the next: at five laps of 60 ns a record, about two thousandths of the work. */
const EVERY = 32;
/** The first of them. Before that the code of both ways through a pass would be compiled, for nothing. */
const FIRST = 4;
/**
 * A lap that takes so many times its usual: whoever ran meanwhile (the collector of garbage, another process) was not the step.
 * It counts as this many; what is usual is known from some laps on.
 */
const OUTLIER = 20;
const USUAL_FROM = 32;
/** A first block with fewer records is most likely the only one. */
const SMALL = 500;

/**
 * Shares out the time of a pass: in every 32nd block each piece of work is timed, and the whole time is
 * split in that ratio, in which older blocks count less and less.
 */
export class PassClock {
  readonly #owners: readonly number[];
  readonly #laps: Float64Array;
  readonly #counts: Float64Array;
  #blocks = 0;
  #at = 0;
  #sum = 0;

  /** `owners`: steps of the stage whose work is in the pass, at least one. */
  constructor(owners: Iterable<number>) {
    this.#owners = [...new Set(owners)];
    this.#laps = new Float64Array(Math.max(0, ...this.#owners) + 1);
    this.#counts = new Float64Array(this.#laps.length);
  }

  /** Several steps are in it: nobody measures each record of each. */
  get shared(): boolean {
    return this.#owners.length > 1;
  }

  get owners(): readonly number[] {
    return this.#owners;
  }

  /** Asked once for each block, with its records: whether this one is timed. */
  due(records: number): boolean {
    if (!this.shared) return false;
    const block = this.#blocks++;
    return block === 0 ? records < SMALL : block % EVERY === FIRST;
  }

  /** Timing of a block begins. */
  start(): void {
    this.#sum /= 2;
    for (const owner of this.#owners) {
      this.#laps[owner] = (this.#laps[owner] ?? 0) / 2;
      this.#counts[owner] = (this.#counts[owner] ?? 0) / 2;
    }
    this.#at = performance.now();
  }

  /** What went by since the last lap was the work of `owner`. */
  lap(owner: number): void {
    const now = performance.now();
    const before = this.#laps[owner] ?? 0;
    const laps = this.#counts[owner] ?? 0;
    const ms = laps < USUAL_FROM ? now - this.#at : Math.min(now - this.#at, (OUTLIER * before) / laps);
    this.#laps[owner] = before + ms;
    this.#counts[owner] = laps + 1;
    this.#sum += ms;
    this.#at = now;
  }

  /** The same of something that was done once for many records. */
  whole(owner: number): void {
    const now = performance.now();
    this.#laps[owner] = (this.#laps[owner] ?? 0) + now - this.#at;
    this.#sum += now - this.#at;
    this.#at = now;
  }

  /** Adds `ms` to the steps of the pass, equally where nothing was timed yet. */
  share(ms: number, into: number[]): void {
    for (const owner of this.#owners) {
      const part = this.#sum > 0 ? (this.#laps[owner] ?? 0) / this.#sum : 1 / this.#owners.length;
      into[owner] = (into[owner] ?? 0) + ms * part;
    }
  }
}
