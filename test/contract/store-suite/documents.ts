import { describe, expect, test } from 'vitest';
import type { Body, Scene } from './scene.ts';

export function describeDocuments(scene: Scene): void {
  describe('documents', () => {
    test('a document that nobody wrote is not there', async () => {
      expect(await scene.store.read('rides', 'run')).toBeUndefined();
      expect(await scene.store.list()).toEqual([]);
    });

    test.each(['soft', 'hard'] as const)('a %s write is read back unchanged by another store', async (grade) => {
      const body = {
        stop: 'Zürich HB',
        at: [1, 2.5, null, true],
        __proto__x: {},
        deep: { '': 'leer', z: 'ß😀\u0000' },
      };
      const done = await scene.store.write('rides', 'run', { expected: 0, token: 1, body, grade });
      expect(done).toEqual({ written: true, version: expect.any(Number) });
      const found = await scene.open().read('rides', 'run');
      expect(found?.body).toEqual(body);
      expect(found?.version).toBe(done.version);
      expect(found?.token).toBe(1);
      expect(Date.parse(found?.writtenAt ?? '')).not.toBeNaN();
    });

    test('a key named __proto__ in a body stays a key', async () => {
      const body = JSON.parse('{"__proto__": {"polluted": true}}') as Body;
      await scene.put(body, 0);
      const found = (await scene.open().read('rides', 'run'))?.body ?? {};
      expect(JSON.stringify(found)).toBe('{"__proto__":{"polluted":true}}');
      expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    });

    test('the parts of a run are separate documents', async () => {
      await scene.put({ stop: 'run' }, 0);
      await scene.put({ stop: 'first' }, 0, 1, 'split-0');
      await scene.put({ stop: 'eleventh' }, 0, 1, 'split-10');
      expect((await scene.store.read('rides', 'split-0'))?.body).toEqual({ stop: 'first' });
      expect((await scene.store.read('rides', 'split-10'))?.body).toEqual({ stop: 'eleventh' });
      expect(await scene.store.read('rides', 'split-1')).toBeUndefined();
    });

    test('versions grow, and the last of a hundred writes is what is read', async () => {
      let version = 0;
      for (let ride = 1; ride <= 100; ride++) {
        const done = await scene.put({ ride }, version);
        expect(done.written && done.version > version).toBe(true);
        version = done.version;
      }
      expect((await scene.open().read('rides', 'run'))?.body).toEqual({ ride: 100 });
    });

    test('a write that names another version than the stored one is refused and changes nothing', async () => {
      const first = await scene.put({ ride: 1 }, 0);
      const second = await scene.put({ ride: 2 }, first.version);
      const stored = { version: second.version, token: 1 };
      expect(await scene.put({ ride: 9 }, first.version)).toEqual({ written: false, reason: 'conflict', ...stored });
      expect(await scene.put({ ride: 9 }, 0)).toEqual({ written: false, reason: 'conflict', ...stored });
      expect(await scene.put({ ride: 9 }, second.version + 1)).toEqual({
        written: false,
        reason: 'conflict',
        ...stored,
      });
      expect((await scene.store.read('rides', 'run'))?.body).toEqual({ ride: 2 });
    });

    test('a document that is not there can not be replaced', async () => {
      expect(await scene.put({ ride: 9 }, 3)).toEqual({ written: false, reason: 'conflict', version: 0, token: 0 });
      expect(await scene.store.read('rides', 'run')).toBeUndefined();
    });

    test('an empty body is refused, whatever is stored', async () => {
      const { version } = await scene.put({ ride: 1 }, 0);
      await expect(async () => scene.put({}, version)).rejects.toThrow('empty');
      expect((await scene.store.read('rides', 'run'))?.body).toEqual({ ride: 1 });
    });
  });
  describe('fencing', () => {
    test('a late write of an earlier holder is refused, even where it names the right version', async () => {
      const old = await scene.take();
      const written = await scene.put({ ride: 1 }, 0, old.token, 'split-0');
      await scene.store.release(old);
      const next = await scene.take(scene.here('rides-2'));
      expect(next.token).toBeGreaterThan(old.token);
      const version = (await scene.store.read('rides', 'split-0'))?.version ?? 0;
      for (const expected of [written.version, version]) {
        const late = await scene.put({ ride: 9 }, expected, old.token, 'split-0');
        expect(late).toEqual({ written: false, reason: 'fenced', version, token: next.token });
      }
      expect((await scene.store.read('rides', 'split-0'))?.body).toEqual({ ride: 1 });
    });

    test('the run refuses a token below the one that it was last written with', async () => {
      const { version } = await scene.put({ ride: 1 }, 0, 7);
      expect(await scene.put({ ride: 9 }, version, 6)).toMatchObject({ written: false, reason: 'fenced', token: 7 });
      expect(await scene.put({ ride: 2 }, version, 7)).toMatchObject({ written: true });
    });

    test('a new token is above those of all documents of the run', async () => {
      await scene.put({ ride: 1 }, 0, 41);
      expect((await scene.take()).token).toBeGreaterThan(41);
    });

    test('tokens go on growing after the run was removed, so that a removed run is fenced too', async () => {
      const old = await scene.take();
      const written = await scene.put({ ride: 1 }, 0, old.token, 'split-0');
      await scene.store.remove(old);
      await scene.store.release(old);
      expect(await scene.store.read('rides', 'split-0')).toBeUndefined();
      const next = await scene.take();
      expect(next.token).toBeGreaterThan(old.token);
      expect(await scene.put({ ride: 9 }, written.version, old.token, 'split-0')).toMatchObject({ reason: 'fenced' });
      expect(await scene.put({ ride: 1 }, 0, next.token, 'split-0')).toMatchObject({ written: true });
    });
  });
}
