import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFileStore } from '../../runner/state/file.ts';
import { folderName } from '../../runner/state/payload.ts';
import { FORMAT, seal, unseal } from '../../runner/state/seal.ts';
import type { Part } from '../../runner/state/store.ts';
import { type Bench, type Damage, describeStore } from '../contract/store-suite.ts';
import { makeOlderFolder } from './older-stores.ts';

async function newest(location: string, runKey: string, part: Part): Promise<string> {
  const folder = join(location, 'runs', folderName(runKey));
  const numbers = (await readdir(folder)).flatMap((name) => {
    const [its, number, kind] = name.split('.');
    return its === part && kind === 'json' ? [Number(number)] : [];
  });
  return join(folder, `${part}.${Math.max(...numbers)}.json`);
}

async function damageFile(path: string, damage: Damage): Promise<void> {
  const bytes = await readFile(path);
  const text = bytes.toString();
  const duplicate = text.replace('"version":', '"version":7,"version":');
  switch (damage) {
    case 'empty':
      return truncate(path, 0);
    case 'truncated':
      return truncate(path, bytes.length - 3);
    case 'nul bytes':
      return writeFile(path, bytes.fill(0));
    case 'bit flip':
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 20) ^ 1, bytes.length - 20);
      return writeFile(path, bytes);
    case 'wrong shape':
      return writeFile(path, seal({ rides: [] }));
    case 'duplicate keys':
      return writeFile(path, duplicate);
  }
}

describeStore('file', async (): Promise<Bench> => {
  const location = await mkdtemp(join(tmpdir(), 'oxiflow-file-'));
  return {
    location,
    open: (options) => openFileStore(location, options),
    makeOlder: () => makeOlderFolder(location),
    damage: async (runKey, part, damage) => {
      await damageFile(await newest(location, runKey, part), damage);
      return { restorable: true };
    },
    makeNewer: async (runKey, part) => {
      const path = await newest(location, runKey, part);
      const found = unseal(await readFile(path, 'utf8'));
      await writeFile(path, seal(found.kind === 'good' ? found.payload : {}, FORMAT + 1));
    },
    [Symbol.asyncDispose]: () => rm(location, { recursive: true }),
  };
});
