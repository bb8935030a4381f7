/** Many simulated workers on one Redis: each registers, holds a split and renews both, as the thread that keeps leases does. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import { WORKER_PREFIX } from '../../runner/state/worker-part.ts';
import { RedisServer } from '../servers/redis.ts';
import { settingsFor } from '../state/redis-open.ts';

export const RUN_KEY = 'crew';

/** What a process of simulated workers is told. */
export interface BeatsStart {
  url: string;
  first: number;
  count: number;
  ttlMs: number;
  renewMs: number;
  pollMs: number;
}

export type BeatsMessage =
  | { kind: 'ready' }
  /** `lost`: renewals that were refused. `longestGapMs`: from before a renewal to behind the next one of the same lease. */
  | { kind: 'ended'; renewalMs: number[]; lost: number; longestGapMs: number };

export interface Beats {
  workers: number;
  ttlMs: number;
  renewMs: number;
  durationMs: number;
  renewals: number;
  p50Ms: number;
  p99Ms: number;
  mostMs: number;
  lost: number;
  longestGapMs: number;
  looks: number;
  /** Leases that were over, by the server's clock, or not there, at any look. */
  missed: number;
  /** The least that was left of any lease at any look. */
  leastRemainingMs: number;
  connections: number;
}

const LOOK_MS = 250;
/** A worker's store: one connection for what it does, one that listens. */
export const CONNECTIONS_EACH = 2;

export interface BeatsOptions {
  workers: number;
  processes: number;
  durationMs: number;
  ttlMs: number;
}

export async function measureBeats({ workers, processes, durationMs, ttlMs }: BeatsOptions): Promise<Beats> {
  await using server = await RedisServer.start();
  await using store = openRedisStore(settingsFor(server.url));
  const renewMs = ttlMs / 3;
  const children: ChildProcess[] = [];
  try {
    const each = Math.ceil(workers / processes);
    for (let first = 0; first < workers; first += each) {
      const count = Math.min(each, workers - first);
      const start: BeatsStart = { url: server.url, first, count, ttlMs, renewMs, pollMs: Math.min(1000, ttlMs / 6) };
      children.push(fork(new URL('./state-beats-process.ts', import.meta.url), [JSON.stringify(start)]));
    }
    await Promise.all(children.map((child) => told(child, 'ready')));
    let looks = 0;
    let missed = 0;
    let leastRemainingMs = ttlMs;
    let connections = 0;
    const end = performance.now() + durationMs;
    while (performance.now() < end) {
      for (const prefix of [WORKER_PREFIX, 'split-']) {
        const leases = (await store.parts(RUN_KEY, prefix)).flatMap(({ lease }) =>
          lease === undefined ? [] : [lease],
        );
        missed += workers - leases.filter(({ over }) => !over).length;
        leastRemainingMs = Math.min(leastRemainingMs, ...leases.map(({ remainingMs }) => remainingMs));
      }
      const clients = /^connected_clients:(\d+)/m.exec(await server.cli('info', 'clients'))?.[1];
      connections = Math.max(connections, Number(clients));
      looks += 1;
      await sleep(LOOK_MS);
    }
    const results = await Promise.all(
      children.map((child) => {
        const ended = told(child, 'ended');
        child.send('end');
        return ended;
      }),
    );
    const times = results.flatMap(({ renewalMs }) => renewalMs).toSorted((a, b) => a - b);
    const at = (share: number): number => times[Math.floor(share * (times.length - 1))] ?? Number.NaN;
    return {
      workers,
      ttlMs,
      renewMs,
      durationMs,
      renewals: times.length,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      mostMs: at(1),
      lost: results.reduce((sum, { lost }) => sum + lost, 0),
      longestGapMs: Math.max(...results.map(({ longestGapMs }) => longestGapMs)),
      looks,
      missed,
      leastRemainingMs,
      connections,
    };
  } finally {
    await Promise.all(
      children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
      }),
    );
  }
}

async function told<K extends BeatsMessage['kind']>(
  child: ChildProcess,
  kind: K,
): Promise<Extract<BeatsMessage, { kind: K }>> {
  const ended = new AbortController();
  try {
    const { signal } = ended;
    const [message] = await Promise.race([
      once(child, 'message', { signal }),
      once(child, 'exit', { signal }).then(([code]) => {
        throw new Error(`the simulated workers ended with ${code}`);
      }),
    ]);
    if (message.kind !== kind) throw new Error(`${message.kind} in place of ${kind}`);
    return message;
  } finally {
    ended.abort();
  }
}
