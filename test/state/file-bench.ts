/** Damage to the files of the backends `file` and `nfs`. */
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { folderName } from '../../runner/state/payload.ts';
import { FORMAT, seal, unseal } from '../../runner/state/seal.ts';
import type { Part } from '../../runner/state/store.ts';
import type { Damage } from '../contract/store-suite.ts';

async function newest(location: string, runKey: string, part: Part): Promise<string> {
  const folder = join(location, 'runs', folderName(runKey));
  const numbers = (await readdir(folder)).flatMap((name) => {
    const [its, number, kind] = name.split('.');
    return its === part && kind === 'json' ? [Number(number)] : [];
  });
  return join(folder, `${part}.${Math.max(...numbers)}.json`);
}

export async function damageFile(location: string, runKey: string, part: Part, damage: Damage): Promise<void> {
  const path = await newest(location, runKey, part);
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

export async function makeNewerFile(location: string, runKey: string, part: Part): Promise<void> {
  const path = await newest(location, runKey, part);
  const found = unseal(await readFile(path, 'utf8'));
  await writeFile(path, seal(found.kind === 'good' ? found.payload : {}, FORMAT + 1));
}
