/** What every part of the suite works with: a backend on its bench, and a clock that the tests move. */
import { afterEach, beforeEach, expect } from 'vitest';
import { thisHolder } from '../../../runner/state/host.ts';
import type {
  AcquireResult,
  Grade,
  Holder,
  Json,
  Lease,
  Part,
  StateStore,
  StoreOptions,
  WriteResult,
} from '../../../runner/state/store.ts';

export const DAMAGES = ['empty', 'truncated', 'nul bytes', 'bit flip', 'wrong shape', 'duplicate keys'] as const;
export type Damage = (typeof DAMAGES)[number];

/** What a backend brings with it to be tested. `store-child.ts` opens it by its name and location in other processes. */
export interface Bench {
  location: string;
  /** One more store on the same data, as another process would open it. */
  open(options?: StoreOptions): StateStore;
  /** Damages the newest version of a document; says whether the one before it can be had back. */
  damage(runKey: string, part: Part, damage: Damage): Promise<{ restorable: boolean }>;
  /** Makes what is stored look as if a newer program had written it. */
  makeNewer(runKey: string, part: Part): Promise<void>;
  /** Makes what is stored look as the format before this one did; absent where there was none. */
  makeOlder?(): Promise<void>;
  /** Where the clock is a server's: makes all leases older by so much. */
  elapse?(ms: number): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export type Body = { [key: string]: Json };

/** Runs as another process or thread. */
export const CHILD = new URL('../store-child.ts', import.meta.url);
export const TTL_MS = 30_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

export class Scene {
  bench!: Bench;
  store!: StateStore;
  /** Leases end by the clock of a server, which goes on by itself. */
  readonly isServers: boolean;
  /** Milliseconds on the boot's clock, as the stores see it. */
  #clock = 0;

  constructor(isServers: boolean) {
    this.isServers = isServers;
  }

  begin(bench: Bench): void {
    this.#clock = 5_000_000;
    this.bench = bench;
    this.store = this.open();
  }

  open(): StateStore {
    return this.bench.open({ monotonicMs: () => this.#clock });
  }

  async pass(ms: number): Promise<void> {
    this.#clock += ms;
    await this.bench.elapse?.(ms);
  }

  here(workerId = 'rides-1'): Holder {
    return thisHolder(workerId);
  }

  /** A worker on another machine, of which nothing can be proven. */
  elsewhere(workerId = 'rides-2'): Holder {
    return { ...this.here(workerId), host: 'harbour', bootId: 'another' };
  }

  put(body: Body, expected: number, token = 1, part: Part = 'run', runKey = 'rides'): Promise<WriteResult> {
    const grade: Grade = 'soft';
    return this.store.write(runKey, part, { expected, token, body, grade });
  }

  async take(holder = this.here(), from = this.store, part: Part = 'split-0'): Promise<Lease> {
    return leaseOf(await from.acquire('rides', part, holder, TTL_MS));
  }

  /** So much is left of a lease: to the millisecond where only the clock of the tests decides. */
  left(ms: number): number {
    return this.isServers ? expect.closeTo(ms, -4) : ms;
  }

  /** Of a run that nobody knows. */
  get firstToken(): number {
    return this.isServers ? expect.any(Number) : 1;
  }

  /** The least time that can be told apart. */
  get grain(): number {
    return this.isServers ? 5000 : 1;
  }
}

/** A fresh bench for every test. */
export function useScene(makeBench: () => Promise<Bench>, isServers: boolean): Scene {
  const scene = new Scene(isServers);
  beforeEach(async () => scene.begin(await makeBench()));
  afterEach(() => scene.bench[Symbol.asyncDispose]());
  return scene;
}

export function leaseOf(result: AcquireResult | undefined): Lease {
  if (result === undefined) throw new Error('there is no lease to be had');
  if (!result.acquired) throw new Error(`the lease is held by ${result.holder.workerId}`);
  return result.lease;
}

/** Times of writes are kept in milliseconds. */
export async function nextMillisecond(): Promise<void> {
  const now = Date.now();
  while (Date.now() <= now) await new Promise(setImmediate);
}

export function finished(ageMs: number): Body {
  return { status: 'finished', finished_at: new Date(Date.now() - ageMs).toISOString() };
}
