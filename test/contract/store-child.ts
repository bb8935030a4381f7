/** A second process or thread on a store: takes a lease and waits to be killed, or counts up against others. */
import { parentPort, workerData } from 'node:worker_threads';
import { openFileStore } from '../../runner/state/file.ts';
import { thisHolder } from '../../runner/state/host.ts';
import { openSqliteStore } from '../../runner/state/sqlite.ts';
import type { StateStore } from '../../runner/state/store.ts';
import { openRedisAt } from '../state/redis-bench.ts';

export interface ChildTask {
  backend: string;
  location: string;
  runKey: string;
  /** Absent: hold the lease. */
  count?: { writer: number; times: number };
}

/** A write that the store acknowledged. */
export interface Acknowledged {
  version: number;
  value: number;
}

function openStore(task: ChildTask): StateStore {
  if (task.backend.startsWith('redis')) return openRedisAt(task.location, task.backend.endsWith('cluster'));
  return task.backend === 'file' ? openFileStore(task.location) : openSqliteStore(task.location);
}

async function countUp(
  store: StateStore,
  runKey: string,
  count: { writer: number; times: number },
): Promise<Acknowledged[]> {
  const acknowledged: Acknowledged[] = [];
  while (acknowledged.length < count.times) {
    const found = await store.read(runKey, 'run');
    const { value = 0, log = [] } = (found?.body ?? {}) as { value?: number; log?: string[] };
    const body = { value: value + 1, log: [...log, `${count.writer}:${acknowledged.length}`] };
    const done = await store.write(runKey, 'run', { expected: found?.version ?? 0, token: 1, body, grade: 'soft' });
    if (done.written) acknowledged.push({ version: done.version, value: value + 1 });
  }
  return acknowledged;
}

if (parentPort === null) {
  const task = JSON.parse(process.argv[2] ?? '') as ChildTask;
  const result = await openStore(task).acquire(task.runKey, 'split-0', thisHolder('rides-1'), 3_600_000);
  process.stdout.write(`${JSON.stringify(result)}\n`);
  process.stdin.resume();
} else {
  const task = workerData as ChildTask;
  await using store = openStore(task);
  if (task.count !== undefined) parentPort.postMessage(await countUp(store, task.runKey, task.count));
}
