import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFileStore } from '../../runner/state/file.ts';
import { type Bench, describeStore } from '../contract/store-suite.ts';
import { damageFile, makeNewerFile } from './file-bench.ts';
import { makeOlderFolder } from './older-stores.ts';

describeStore('file', async (): Promise<Bench> => {
  const location = await mkdtemp(join(tmpdir(), 'oxiflow-file-'));
  return {
    location,
    open: (options) => openFileStore(location, options),
    makeOlder: () => makeOlderFolder(location),
    damage: async (runKey, part, damage) => {
      await damageFile(location, runKey, part, damage);
      return { restorable: true };
    },
    makeNewer: (runKey, part) => makeNewerFile(location, runKey, part),
    [Symbol.asyncDispose]: () => rm(location, { recursive: true }),
  };
});
