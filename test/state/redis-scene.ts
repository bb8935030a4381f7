/** One real server for a file of tests, which keeps what it has acknowledged, and what they do with it again and again. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { thisHolder } from '../../runner/state/host.ts';
import type { RedisSettings } from '../../runner/state/redis/connection.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import type { AcquireResult, Holder, Lease, StateStore, StoreOptions, WriteResult } from '../../runner/state/store.ts';
import { RedisServer } from '../servers/redis.ts';
import { settingsFor } from './redis-open.ts';

export const TTL_MS = 30_000;

export class RedisScene {
  /** A project of its own for each test. */
  project = '';
  readonly stores: StateStore[] = [];
  #server: RedisServer | undefined;

  constructor() {
    beforeAll(async () => {
      // Every answer is on disk before it is given: what was acknowledged is there after a crash.
      this.#server = await RedisServer.start({
        args: ['--appendonly', 'yes', '--appendfsync', 'always', '--enable-debug-command', 'local'],
      });
    }, 120_000);
    afterAll(() => this.server[Symbol.asyncDispose]());
    beforeEach(async () => {
      this.project = await mkdtemp(join(tmpdir(), 'oxiflow-redis-project-'));
    });
    afterEach(async () => {
      for (const store of this.stores.splice(0)) await store.close();
      await this.server.cli('flushall');
      await rm(this.project, { recursive: true, force: true });
    });
  }

  get server(): RedisServer {
    if (this.#server === undefined) throw new Error('the server does not run');
    return this.#server;
  }

  /** With notes in the project. */
  open(url = this.server.url, more: Partial<RedisSettings> = {}, options: StoreOptions = {}): StateStore {
    const settings = settingsFor(url, { timeoutMs: 1000, projectRoot: this.project, ...more });
    const store = openRedisStore(settings, { ...options, notes: true });
    this.stores.push(store);
    return store;
  }

  async take(store: StateStore, holder = here()): Promise<Lease> {
    return leaseOf(await store.acquire('rides', 'split-0', holder, TTL_MS));
  }
}

export function here(workerId = 'rides-1'): Holder {
  return thisHolder(workerId);
}

export function leaseOf(result: AcquireResult): Lease {
  if (!result.acquired) throw new Error(`the lease is held by ${result.holder.workerId}`);
  return result.lease;
}

export const run = { status: 'running' };

export function put(store: StateStore, lease: Lease, expected: number, ride: number): Promise<WriteResult> {
  return store.write('rides', 'split-0', { expected, token: lease.token, body: { ride }, grade: 'soft' });
}
