import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { openFileStore } from '../../runner/state/file.ts';
import { type Bench, describeStore } from '../contract/store-suite.ts';
import { damageFile, makeNewerFile } from './file-bench.ts';
import type { Told, WorkerTask } from './nfs-worker.ts';
import { makeOlderFolder } from './older-stores.ts';

/** The server's clock is that of this machine here; what lies there is made older, which looks the same. */
async function elapse(location: string, ms: number): Promise<void> {
  const names = await readdir(location, { recursive: true }).catch(() => []);
  for (const name of names) {
    const { mtimeMs } = await stat(join(location, name));
    await utimes(join(location, name), (mtimeMs - ms) / 1000, (mtimeMs - ms) / 1000);
  }
}

describeStore(
  'nfs',
  async (): Promise<Bench> => {
    const location = await mkdtemp(join(tmpdir(), 'oxiflow-nfs-'));
    return {
      location,
      open: (options) => openFileStore(location, { ...options, shared: true }),
      makeOlder: () => makeOlderFolder(location),
      damage: async (runKey, part, damage) => {
        await damageFile(location, runKey, part, damage);
        return { restorable: true };
      },
      makeNewer: (runKey, part) => makeNewerFile(location, runKey, part),
      elapse: (ms) => elapse(location, ms),
      [Symbol.asyncDispose]: () => rm(location, { recursive: true }),
    };
  },
  { clock: 'server' },
);

const WORKER = new URL('./nfs-worker.ts', import.meta.url).pathname;

/** A process that is a host of its own; `seen` grows with what it tells. */
function startHost(task: WorkerTask, seen: Told[]) {
  const child = spawn(process.execPath, [WORKER, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout);
  const ended = once(child, 'close');
  lines.on('line', (line) => seen.push(JSON.parse(line) as Told));
  const told = async (): Promise<void> => void (await once(lines, 'line'));
  return { child, told, ended };
}

test('hosts share a folder: one is killed, one sleeps beyond its lease, and no commit is lost or made twice', {
  timeout: 60_000,
}, async () => {
  const location = await mkdtemp(join(tmpdir(), 'oxiflow-nfs-'));
  const seen: Told[] = [];
  const groups = ['group-0', 'group-1', 'group-2', 'group-3', 'group-4', 'group-5'] as const;
  const task = { location, groups: [...groups], commits: 8, ttlMs: 1500 };
  const start = (name: string) => startHost({ ...task, name }, seen);
  const [killed, stopped] = [start('killed'), start('stopped')];
  const running = new Set([killed, stopped]);
  try {
    await Promise.all([killed.told(), stopped.told()]);
    stopped.child.kill('SIGSTOP');
    killed.child.kill('SIGKILL');
    await killed.ended;
    running.delete(killed);
    const others = ['harbour', 'depot'].map(start);
    for (const one of others) running.add(one);
    for (const { ended } of others) expect(await ended).toEqual([0, null]);
    stopped.child.kill('SIGCONT');
    expect(await stopped.ended).toEqual([0, null]);
    // What the sleeper had begun was finished by others: the one commit that it still tried was refused, or never tried.
    expect(seen.filter((one) => one.kind === 'lost').every(({ name }) => name === 'stopped')).toBe(true);
    const store = openFileStore(location, { shared: true });
    for (const group of groups) {
      const told = seen.filter((one) => one.group === group && one.kind === 'committed');
      const log = ((await store.read('rides', group))?.body.log ?? []) as string[];
      expect(log).toHaveLength(task.commits);
      // Of the killed host a commit may be in the store that it did not live to tell.
      for (const { name, seq } of told) expect(log[seq]).toBe(`${name}:${seq}`);
      const untold = log.filter((entry) => !told.some(({ name, seq }) => entry === `${name}:${seq}`));
      expect(untold.every((entry) => entry.startsWith('killed:'))).toBe(true);
    }
  } finally {
    for (const { child } of running) child.kill('SIGKILL');
    await rm(location, { recursive: true });
  }
});
