/** A second process or thread on a store: takes a lease and waits to be killed, or writes against others. */
import { setTimeout as delay } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { openFileStore } from '../../runner/state/file.ts';
import { thisHolder } from '../../runner/state/host.ts';
import { openSqliteStore } from '../../runner/state/sqlite.ts';
import type { StateStore } from '../../runner/state/store.ts';
import { openRedisAt } from '../state/redis-open.ts';
import type { Operation } from './linearizable.ts';
import type { ChildTask } from './store-suite/child-task.ts';

function openStore(task: ChildTask): StateStore {
  if (task.backend.startsWith('redis')) return openRedisAt(task.location, task.backend.endsWith('cluster'));
  if (task.backend === 'sqlite') return openSqliteStore(task.location);
  return openFileStore(task.location, { shared: task.backend === 'nfs' });
}

/** The same for all threads and processes of this boot. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Writes until so many writes were acknowledged; returns everything that it did and saw. */
async function countUp(
  store: StateStore,
  runKey: string,
  { writer, times }: { writer: number; times: number },
): Promise<Operation[]> {
  const seen: Operation[] = [];
  for (let done = 0; done < times; ) {
    const asked = now();
    const found = await store.read(runKey, 'run');
    const { value = '', log = [] } = (found?.body ?? {}) as { value?: string; log?: string[] };
    const version = found?.version ?? 0;
    seen.push({ by: writer, invoked: asked, responded: now(), kind: 'read', version, value });
    await delay(Math.random() * 5);
    const mine = `${writer}:${done}`;
    const body = { value: mine, log: [...log, mine] };
    const invoked = now();
    const answer = await store.write(runKey, 'run', { expected: version, token: 1, body, grade: 'soft' });
    const moment = { by: writer, invoked, responded: now(), expected: version, version: answer.version };
    if (answer.written) {
      seen.push({ ...moment, kind: 'written', value: mine });
      done++;
    } else seen.push({ ...moment, kind: 'refused' });
    await delay(Math.random() * 5);
  }
  return seen;
}

/** Registers, works on what it can claim, and goes; nobody who sweeps meanwhile may take anything from it. */
async function toil(
  store: StateStore,
  runKey: string,
  { worker, rounds }: { worker: number; rounds: number },
): Promise<string[]> {
  const complaints: string[] = [];
  const holder = { ...thisHolder(`toiler-${worker}`), host: `host-${worker}`, bootId: `boot-${worker}` };
  const part = `worker-${String(worker).padStart(12, '0')}` as const;
  for (let round = 0; round < rounds; round++) {
    const me = await store.acquire(runKey, part, holder, 60_000);
    if (!me.acquired) return [...complaints, `round ${round}: its own place is held by ${me.holder.workerId}`];
    const token = me.lease.token;
    const before = await store.read(runKey, part);
    const body = { worker, round };
    const first = await store.write(runKey, part, { expected: before?.version ?? 0, token, body, grade: 'soft' });
    if (!first.written) complaints.push(`round ${round}: its registration was refused: ${first.reason}`);
    const group = await store.claim(runKey, ['group-0', 'group-1', 'group-2'], holder, 60_000);
    await delay(Math.random() * 5);
    for (const lease of group === undefined ? [me.lease] : [me.lease, group.lease]) {
      if (!(await store.renew(lease))) complaints.push(`round ${round}: ${lease.part} was taken from the living`);
    }
    const found = await store.read(runKey, part);
    if (found?.body.round !== round) complaints.push(`round ${round}: its registration is gone`);
    if (group !== undefined) await store.release(group.lease);
    await store.removePart(me.lease).catch((error: Error) => complaints.push(`round ${round}: ${error.message}`));
  }
  return complaints;
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
  if (task.toil !== undefined) parentPort.postMessage(await toil(store, task.runKey, task.toil));
}
