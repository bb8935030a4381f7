import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { openSqliteStore } from '../../runner/state/sqlite.ts';
import type { Part, StateStore } from '../../runner/state/store.ts';
import { type Bench, type Damage, describeStore } from '../contract/store-suite.ts';
import { makeOlderDatabase } from './older-stores.ts';

async function damageDatabase(path: string, runKey: string, part: Part, damage: Damage): Promise<boolean> {
  const bytes = await readFile(path);
  switch (damage) {
    case 'empty':
      await truncate(path, 0);
      return false;
    case 'truncated':
      await truncate(path, (await stat(path)).size / 2);
      return false;
    case 'nul bytes':
      await writeFile(path, bytes.fill(0));
      return false;
    case 'bit flip': {
      const at = bytes.lastIndexOf('second-ride');
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      await writeFile(path, bytes);
      return true;
    }
    case 'wrong shape':
    case 'duplicate keys': {
      using database = new DatabaseSync(path);
      database
        .prepare(
          `UPDATE documents SET body = ? WHERE run_key = ? AND part = ? AND version = (SELECT max(version) FROM documents)`,
        )
        .run(damage === 'wrong shape' ? '[]' : '{"ride":1,"ride":2}', runKey, part);
      return true;
    }
  }
}

describeStore('sqlite', async (): Promise<Bench> => {
  const folder = await mkdtemp(join(tmpdir(), 'oxiflow-sqlite-'));
  const location = join(folder, 'state.db');
  const stores: StateStore[] = [];
  const closeAll = async (): Promise<void> => {
    for (const store of stores.splice(0)) await store.close();
  };
  return {
    location,
    makeOlder: async () => makeOlderDatabase(location),
    open: (options) => {
      const store = openSqliteStore(location, options);
      stores.push(store);
      return store;
    },
    damage: async (runKey, part, damage) => {
      // The last one to close writes the log back into the file.
      await closeAll();
      return { restorable: await damageDatabase(location, runKey, part, damage) };
    },
    makeNewer: async () => {
      await closeAll();
      using database = new DatabaseSync(location);
      database.exec('PRAGMA user_version = 3');
    },
    [Symbol.asyncDispose]: async () => {
      await closeAll();
      await rm(folder, { recursive: true });
    },
  };
});

test('a damaged database is told with the command that repairs it, which a shell takes as it stands', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'oxiflow-sqlite-'));
  try {
    const path = join(folder, 'state.db');
    await writeFile(path, Buffer.alloc(4096, 7));
    await using store = openSqliteStore(path);
    const holder = { workerId: 'rider', host: 'depot', pid: 1 };
    for (const asked of [store.read("mon day's", 'run'), store.acquire("mon day's", 'run', holder as never, 1000)])
      await expect(asked).rejects.toThrow("Run: oxiflow state repair --run-key 'mon day'\\''s'");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
