/**
 * A worker on a host of its own, as far as anybody can tell, that shares a folder with others: claims groups, commits to each in
 * turn, and tells every commit that was acknowledged as a line.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { openFileStore } from '../../runner/state/file.ts';
import { thisHolder } from '../../runner/state/host.ts';
import type { Lease, Part } from '../../runner/state/store.ts';

export interface WorkerTask {
  location: string;
  name: string;
  groups: Part[];
  commits: number;
  ttlMs: number;
}

export interface Told {
  name: string;
  group: Part;
  /** `lost`: the store refused the commit, another worker has the group. */
  kind: 'committed' | 'lost';
  /** Number of the commit in its group. */
  seq: number;
}

const task = JSON.parse(process.argv[2] ?? '') as WorkerTask;
const holder = { ...thisHolder(task.name), host: task.name, bootId: `boot of ${task.name}` };
const store = openFileStore(task.location, { shared: true });
const tell = (told: Omit<Told, 'name'>): void => {
  process.stdout.write(`${JSON.stringify({ name: task.name, ...told })}\n`);
};

async function work(lease: Lease): Promise<void> {
  const group = lease.part;
  for (;;) {
    const found = await store.read('rides', group);
    const log = (found?.body.log ?? []) as string[];
    if (log.length >= task.commits) break;
    await delay(20 + Math.random() * 40);
    const body = { log: [...log, `${task.name}:${log.length}`] };
    const { token } = lease;
    const done = await store.write('rides', group, { expected: found?.version ?? 0, token, body, grade: 'soft' });
    tell({ group, kind: done.written ? 'committed' : 'lost', seq: log.length });
    if (!done.written) return;
  }
  await store.release(lease);
}

const open = new Set(task.groups);
while (open.size > 0) {
  for (const group of open) {
    const log = ((await store.read('rides', group))?.body.log ?? []) as string[];
    if (log.length >= task.commits) open.delete(group);
  }
  const claim = await store.claim('rides', [...open], holder, task.ttlMs);
  if (claim === undefined) await delay(50);
  else await work(claim.lease);
}
