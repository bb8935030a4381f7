/** Registers a worker, says that it lives, and takes its registration away when it ends. */

import type { Registration } from '../state/registration.ts';
import type { Holder, Json, Lease, StateStore } from '../state/store.ts';
import { WORKER_PREFIX, workerPart } from '../state/worker-part.ts';

/** A worker that only reports more records has news for people, which can wait. */
const FIGURES_MS = 2000;

export class Registrar {
  readonly #store: StateStore;
  readonly #runKey: string;
  readonly #holder: Holder;
  readonly #ttlMs: number;
  #latest: Registration | undefined;
  #written = '';
  #news = '';
  #writtenAt = Number.NEGATIVE_INFINITY;
  #lease: Lease | undefined;
  #version = 0;

  constructor(store: StateStore, runKey: string, holder: Holder, ttlMs: number) {
    this.#store = store;
    this.#runKey = runKey;
    this.#holder = holder;
    this.#ttlMs = ttlMs;
  }

  about(registration: Registration): void {
    this.#latest = registration;
  }

  /** Something of what people see has changed; figures alone every two seconds. */
  get hasNews(): boolean {
    if (this.#latest === undefined) return false;
    return newsOf(this.#latest) !== this.#news || performance.now() - this.#writtenAt >= FIGURES_MS;
  }

  /** Says that the worker lives, and what it does where that is new. */
  async beat(): Promise<void> {
    if (this.#latest === undefined) return;
    const part = workerPart(this.#holder.workerId);
    if (this.#lease !== undefined && !(await this.#store.renew(this.#lease))) this.#lease = undefined;
    if (this.#lease === undefined) {
      const got = await this.#store.acquire(this.#runKey, part, this.#holder, this.#ttlMs);
      if (!got.acquired) return;
      this.#lease = got.lease;
      this.#version = (await this.#store.read(this.#runKey, part))?.version ?? 0;
      this.#written = '';
      await dropDead(this.#store, this.#runKey, this.#holder, this.#ttlMs);
    }
    const body = JSON.stringify({ ...this.#latest, updated_at: '' });
    const news = newsOf(this.#latest);
    this.#writtenAt = performance.now();
    if (body === this.#written) return;
    const result = await this.#store.write(this.#runKey, part, {
      expected: this.#version,
      token: this.#lease.token,
      body: { ...this.#latest, updated_at: new Date().toISOString() } as unknown as { [key: string]: Json },
      grade: 'soft',
    });
    this.#version = result.version;
    if (!result.written) return;
    this.#written = body;
    this.#news = news;
  }

  async leave(): Promise<void> {
    if (this.#lease !== undefined) await this.#store.removePart(this.#lease);
  }
}

/** Registrations of workers that died are nobody's any more. */
export async function dropDead(store: StateStore, runKey: string, holder: Holder, ttlMs: number): Promise<void> {
  for (const { part, lease } of await store.parts(runKey, WORKER_PREFIX)) {
    if (lease !== undefined && !lease.over) continue;
    const got = await store.acquire(runKey, part, holder, ttlMs);
    if (got.acquired) await store.removePart(got.lease);
  }
}

function newsOf({ state, splits, done }: Registration): string {
  return JSON.stringify([state, splits, done]);
}
