/** Whoever puts parts together may be killed, or overtaken, at any instant: what one worker writes is there in the end, once. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { RunSummary } from '../../runner/engine/report.ts';
import { Scene } from './scene.ts';

const CHILD = new URL('./merge-child.ts', import.meta.url).pathname;
const LINES = Array.from({ length: 90 }, (_, i) => `{"order":${i},"tea":"Sencha"}\n`).join('');

const pipeline = (output: string, more = '', formatter = ''): string => `
  - name: read_file
    config: { path: in/orders.ndjson }
  - name: parse_json
${formatter}  - name: write_file
    config: { path: ${output}, merge: true${more} }
`;

async function parted(steps: string): Promise<{ scene: Scene; parts: RunSummary[] }> {
  const scene = new Scene(steps, { 'in/orders.ndjson': LINES });
  return { scene, parts: await scene.shared(await scene.cut({ groups: 3, exactly: true, minBytes: 1 })) };
}

function mergeApart(scene: Scene, parts: readonly RunSummary[], token: number, env: Record<string, string> = {}) {
  const groups = JSON.stringify(parts.map(({ outputs }) => ({ outputs })));
  return spawnSync(process.execPath, [CHILD, scene.folder, String(token), groups], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
}

/** Waits until a process has stopped itself. */
async function frozen(pid: number): Promise<void> {
  await expect.poll(() => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0], { timeout: 20_000 }).toBe('T');
}

const CASES: [string, string, string, string][] = [
  ['a plain file', 'out/orders.ndjson', '', ''],
  ['with a backup', 'out/orders.ndjson', ', backup: true', ''],
  ['appended', 'out/orders.ndjson', ', append: true', ''],
  ['packed and laid out', 'out/orders.json.gz', '', '  - { name: format_json, config: { framing: array } }\n'],
];

describe('killed while it puts parts together', () => {
  test.each(CASES)(
    '%s: at every place, and the next one ends it',
    async (_, output, more, formatter) => {
      const before = 'of yesterday\n';
      let expected: Buffer | undefined;
      let places = 0;
      for (let at = 1; ; at++) {
        const { scene, parts } = await parted(pipeline(output, more, formatter));
        using _scene = scene;
        scene.write({ [output]: before });
        const killed = mergeApart(scene, parts, 1, { OXIFLOW_CRASH_AT: String(at) });
        const now = scene.read(output);
        // Killed or not: the old one, or the new one, or with "append" a beginning of what is appended.
        if (killed.signal === 'SIGKILL' && expected !== undefined) {
          const isOld = now.equals(Buffer.from(before));
          expect(isOld || now.equals(expected) || more.includes('append')).toBe(true);
        } else if (killed.signal === null) {
          expect(killed.stderr).toBe('');
          expect(killed.status).toBe(0);
          expect(now.equals(expected ?? Buffer.alloc(0))).toBe(true);
          break;
        }
        places++;
        for (const token of [2, 3]) {
          expect(await scene.merge(parts, token)).toMatchObject([{ step: 'write_file', rows: 90 }]);
          expected ??= scene.read(output);
          expect({ at, same: scene.read(output).equals(expected) }).toEqual({ at, same: true });
        }
        const names = ['orders', ...(more.includes('backup') ? ['orders'] : [])];
        expect(scene.list('out').length).toBe(names.length);
        if (more.includes('backup')) expect(scene.read(`${output}.bak`).toString()).toBe(before);
      }
      expect(places).toBeGreaterThan(4);
      if (formatter === '') expect(expected?.toString()).toBe(more.includes('append') ? `${before}${LINES}` : LINES);
    },
    180_000,
  );

  test('woken while its successor is at it, it leaves that the parts', async () => {
    const { scene, parts } = await parted(pipeline('out/orders.ndjson'));
    using _scene = scene;
    const groups = JSON.stringify(parts.map(({ outputs }) => ({ outputs })));
    const asleep = async (token: number): Promise<() => Promise<number | null>> => {
      const child = spawn(process.execPath, [CHILD, scene.folder, String(token), groups], {
        env: { ...process.env, OXIFLOW_STOP_AT: 'merging:2' },
        stdio: 'ignore',
      });
      const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
      await frozen(child.pid ?? 0);
      return () => {
        process.kill(child.pid ?? 0, 'SIGCONT');
        return ended;
      };
    };
    const wakeSleeper = await asleep(1);
    // It takes over what the first was writing.
    const wakeSuccessor = await asleep(2);
    expect(await wakeSleeper()).toBe(1);
    expect(await wakeSuccessor()).toBe(0);
    expect(scene.read('out/orders.ndjson').toString()).toBe(LINES);
    expect(scene.list('out')).toEqual(['orders.ndjson']);
  }, 60_000);

  test('frozen and overtaken, it changes nothing any more', async () => {
    for (const place of ['merging:2', 'noted', 'parted', 'publish']) {
      const { scene, parts } = await parted(pipeline('out/orders.ndjson'));
      using _scene = scene;
      const groups = JSON.stringify(parts.map(({ outputs }) => ({ outputs })));
      const slow = spawn(process.execPath, [CHILD, scene.folder, '1', groups], {
        env: { ...process.env, OXIFLOW_STOP_AT: place },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let said = '';
      slow.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
      const ended = new Promise<number | null>((resolve) => slow.on('exit', resolve));
      await frozen(slow.pid ?? 0);
      expect(mergeApart(scene, parts, 2).status).toBe(0);
      scene.write({ 'out/orders.ndjson': 'of tomorrow\n' });
      process.kill(slow.pid ?? 0, 'SIGCONT');
      // Where it had published, it has nothing left to do; whoever keeps leases would have found out.
      expect(await ended, said).toBe(place === 'parted' ? 0 : 1);
      if (place !== 'parted') expect(said).toMatch(/is gone|no such file/);
      expect(scene.read('out/orders.ndjson').toString()).toBe('of tomorrow\n');
      expect(scene.list('out')).toEqual(['orders.ndjson']);
    }
  }, 60_000);
});

test('a part that is gone, or another one, is told: nothing is put together without it', async () => {
  const { scene, parts } = await parted(pipeline('out/orders.ndjson'));
  using _scene = scene;
  const [, second = ''] = scene.list('out');
  const whole = scene.read(`out/${second}`);
  scene.write({ [`out/${second}`]: whole.subarray(1) });
  await expect(scene.merge(parts)).rejects.toThrow(/part 1 of 3 .* has \d+ bytes, and \d+ were written/);
  rmSync(join(scene.folder, 'out', second));
  await expect(scene.merge(parts)).rejects.toThrow(/part 1 of 3 .* is gone; start over with --fresh/);
  scene.write({ [`out/${second}`]: whole });
  await scene.merge(parts);
  expect(scene.read('out/orders.ndjson').toString()).toBe(LINES);
});

test('what an earlier run that was cut otherwise has left goes', async () => {
  const { scene } = await parted(pipeline('out/orders.ndjson'));
  using _scene = scene;
  const parts = await scene.shared(await scene.cut({ groups: 2, exactly: true, minBytes: 1 }));
  expect(scene.list('out').length).toBe(5);
  await scene.merge(parts);
  expect(scene.list('out')).toEqual(['orders.ndjson']);
});
