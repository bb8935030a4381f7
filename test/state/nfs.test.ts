import { mkdtemp, readdir, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFileStore } from '../../runner/state/file.ts';
import { type Bench, describeStore } from '../contract/store-suite.ts';
import { damageFile, makeNewerFile } from './file-bench.ts';
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
