/** The split groups that a worker holds: the one at work, and those that it has claimed ahead so that it never waits for them. */
import type { OxiError } from '../engine/errors.ts';
import type { AcquireResult, Holder, Lease, Part, StateStore } from '../state/store.ts';

export type Claimed = Extract<AcquireResult, { acquired: true }>;

/** Keeps leases alive from a thread of its own. */
export interface LeaseKeeper {
  keep(lease: Lease, lost: (why?: OxiError) => void): void;
  drop(lease: Lease): void;
}

export interface ClaimsOptions {
  store: StateStore;
  runKey: string;
  holder: Holder;
  ttlMs: number;
  keeper: LeaseKeeper;
  /** Groups that it may hold beside the one at work. */
  most: number;
  /** Groups that could be claimed, in order; those that this worker holds may be among them. */
  candidates(): readonly number[];
  /** Another worker took one of them, or `why`. */
  lost(why?: OxiError): void;
  changed(): void;
}

/** Groups that are left to others when one is claimed ahead. */
const LEFT = 4;

export class Claims {
  readonly #o: ClaimsOptions;
  #ahead: Claimed[] = [];
  #current: Claimed | undefined;
  #claiming: Promise<void> | undefined;

  constructor(options: ClaimsOptions) {
    this.#o = options;
  }

  /** Numbers of the groups that it holds; the one at work is the first. */
  get held(): number[] {
    const all = this.#current === undefined ? this.#ahead : [this.#current, ...this.#ahead];
    return all.map(({ lease }) => indexOf(lease));
  }

  get isIdle(): boolean {
    return this.#current === undefined;
  }

  /** The next one to work on; undefined where others hold all that is left. */
  async next(): Promise<Claimed | undefined> {
    await this.#claiming;
    this.#current = this.#ahead.shift() ?? (await this.#claim());
    return this.#current;
  }

  /** Claims what comes next while there is plenty of it; does not wait for that. */
  claimAhead(): void {
    if (this.#claiming !== undefined) return;
    const claim = async (): Promise<void> => {
      while (this.#ahead.length < this.#o.most && this.#free().length > LEFT) {
        const claimed = await this.#claim();
        if (claimed === undefined) return;
        this.#ahead.push(claimed);
        this.#o.changed();
      }
    };
    // What can't be had now is asked for again when it is needed, and then its failure is told.
    this.#claiming = claim()
      .catch(() => undefined)
      .finally(() => {
        this.#claiming = undefined;
      });
  }

  /** The one at work is over, or given up. */
  async endCurrent(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    if (current !== undefined) await this.#release(current);
    this.#o.changed();
  }

  /** Gives back what was claimed and not begun; whether there was any. */
  async giveBack(): Promise<boolean> {
    await this.#claiming;
    const ahead = this.#ahead;
    this.#ahead = [];
    for (const claimed of ahead) await this.#release(claimed);
    if (ahead.length > 0) this.#o.changed();
    return ahead.length > 0;
  }

  #free(): number[] {
    const held = new Set(this.held);
    return this.#o.candidates().filter((index) => !held.has(index));
  }

  async #claim(): Promise<Claimed | undefined> {
    const { store, runKey, holder, ttlMs, keeper, lost } = this.#o;
    const parts = this.#free().map((index): Part => `split-${index}`);
    const claimed = parts.length === 0 ? undefined : await store.claim(runKey, parts, holder, ttlMs);
    if (claimed !== undefined) keeper.keep(claimed.lease, lost);
    return claimed;
  }

  async #release({ lease }: Claimed): Promise<void> {
    this.#o.keeper.drop(lease);
    // One that can't be given back ends by itself.
    await this.#o.store.release(lease).catch(() => undefined);
  }
}

/** Number of the split group that a lease is of. */
export function indexOf({ part }: Lease): number {
  return Number(part.slice('split-'.length));
}
