/** A process with some of the simulated workers of `state-beats.ts`. Each has a store of its own, as a worker's keeper has. */
import { setTimeout as sleep } from 'node:timers/promises';
import { thisHolder } from '../../runner/state/host.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import type { Registration } from '../../runner/state/registration.ts';
import type { Lease, StateStore } from '../../runner/state/store.ts';
import { Registrar } from '../../runner/workers/registrar.ts';
import { settingsFor } from '../state/redis-open.ts';
import { type BeatsMessage, type BeatsStart, RUN_KEY } from './state-beats.ts';

const start: BeatsStart = JSON.parse(process.argv[2] ?? '');
const { ttlMs, renewMs, pollMs } = start;
const tell = (message: BeatsMessage): void => void process.send?.(message);
const closing = new AbortController();
process.on('message', () => closing.abort());
process.on('disconnect', () => process.exit(1));

const renewalMs: number[] = [];
let lost = 0;
let longestGapMs = 0;

class Simulated {
  readonly #store: StateStore = openRedisStore(settingsFor(start.url));
  readonly #number: number;
  #registrar!: Registrar;
  #lease!: Lease;
  #wake = new AbortController();
  /** Before the last renewal, or the acquisition. */
  #renewedAt = 0;
  #records = 0;

  constructor(number: number) {
    this.#number = number;
  }

  async join(): Promise<void> {
    const workerId = `worker-${this.#number}`;
    const holder = thisHolder(workerId);
    this.#registrar = new Registrar(this.#store, RUN_KEY, holder, ttlMs);
    this.#tell(workerId);
    await this.#registrar.beat();
    this.#renewedAt = performance.now();
    const taken = await this.#store.acquire(RUN_KEY, `split-${this.#number}`, holder, ttlMs);
    if (!taken.acquired) throw new Error('somebody else has the split');
    this.#lease = taken.lease;
    await this.#store.subscribe?.(RUN_KEY, () => this.#wake.abort());
  }

  async work(): Promise<void> {
    let due = performance.now() + renewMs * Math.random();
    let nextBeat = due;
    while (!closing.signal.aborted) {
      this.#wake = new AbortController();
      if (performance.now() >= due) {
        await this.#renew();
        due = performance.now() + renewMs;
      }
      this.#tell(this.#lease.holder.workerId);
      if (this.#registrar.hasNews || performance.now() >= nextBeat) {
        await this.#registrar.beat();
        nextBeat = performance.now() + renewMs;
      }
      await this.#store.requests(RUN_KEY);
      const signal = AbortSignal.any([closing.signal, this.#wake.signal]);
      await sleep(pollMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #renew(): Promise<void> {
    const began = performance.now();
    const held = await this.#store.renew(this.#lease);
    const ended = performance.now();
    if (!held) lost += 1;
    renewalMs.push(ended - began);
    longestGapMs = Math.max(longestGapMs, ended - this.#renewedAt);
    this.#renewedAt = began;
  }

  /** It works on, so that there is news of it. */
  #tell(worker_id: string): void {
    this.#records += 1000;
    const registration: Registration = {
      worker_id,
      run_key: RUN_KEY,
      run_id: 'b780d5b9-09e5-4ce8-a5c7-20f34680aa26',
      pipeline: 'rides',
      host: 'depot',
      pid: process.pid,
      version: '0',
      capacity: 1,
      state: 'working',
      started_at: '2026-11-30T04:52:06.077Z',
      splits: [this.#number],
      done: 0,
      records: this.#records,
      bytes: 400 * this.#records,
      updated_at: '',
    };
    this.#registrar.about(registration);
  }
}

const workers = Array.from({ length: start.count }, (_, i) => new Simulated(start.first + i));
const working: Promise<void>[] = [];
// They come one after the other, as on machines that start, and work from then on.
for (const worker of workers) {
  await worker.join();
  working.push(worker.work());
}
tell({ kind: 'ready' });
await Promise.all(working);
tell({ kind: 'ended', renewalMs, lost, longestGapMs });
