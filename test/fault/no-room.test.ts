/** Disks without room and readers that take nothing: the run says so in a sentence or waits, holds no more for it, and goes on. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { folder, jsonLines, oxiflow, pipelineOf, plainEnvironment, put, shell, start } from '../cli/program.ts';

const RIDES = 60_000;
const line = (ride: number): string =>
  `{"ride":${ride},"km":${ride % 3 === 0 ? '"far"' : 7},"note":"${'x'.repeat(60)}"}\n`;
const TEXT = Array.from({ length: RIDES }, (_, ride) => line(ride)).join('');
const bad = TEXT.split('\n').filter((record) => record.includes('"far"'));
const good = TEXT.split('\n').filter((record) => record !== '' && !record.includes('"far"'));

const canMount = ((): boolean => {
  const probe = folder({});
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', probe]).status !== 0) return false;
  return spawnSync('umount', [probe]).status === 0;
})();

// Only root may mount.
describe.runIf(canMount)('a disk that is full', () => {
  let disk = '';
  beforeAll(() => {
    disk = folder({});
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]);
  });
  afterAll(() => spawnSync('umount', [disk]));
  const resize = (size: string): void => {
    expect(spawnSync('mount', ['-o', `remount,size=${size}`, disk]).status).toBe(0);
  };

  test.each([
    ['its output', { out: 'DISK' }, /step "write_file": .*rides\.ndjson: no space left on the disk/],
    ['its dead letters', { letters: 'DISK' }, /letters\.ndjson: no space left on the disk/],
  ])(
    'under %s: exit 1 with the file; with room again, the next attempt makes it whole',
    async (name, where, sentence) => {
      resize('1m');
      const { out = 'out', letters = 'out' } = { out: undefined, letters: undefined, ...where };
      const place = (text: string): string => (text === 'DISK' ? join(disk, name.replaceAll(' ', '-')) : text);
      const cwd = folder({
        'oxiflow.yaml': 'project:\n  name: city\n',
        'rides.ndjson': TEXT,
        'pipelines/rides.yaml': pipelineOf(
          [
            ['read_file', { path: 'rides.ndjson' }],
            ['parse_json'],
            ['filter', { where: 'km > 0' }, { on_error: 'dead_letter' }],
            ['write_file', { path: join(place(out), 'rides.ndjson') }],
          ],
          { dead_letter: { path: join(place(letters), 'letters.ndjson'), max_records: RIDES } },
        ),
      });
      const full = await oxiflow(['run', 'rides'], { cwd });
      expect(full.code, full.stderr).toBe(1);
      expect(full.stderr).toMatch(sentence);
      resize('32m');
      const again = await oxiflow(['run', 'rides'], { cwd });
      expect(again.code, again.stderr).toBe(0);
      const at = (folderOf: string, file: string): string => readFileSync(join(cwd, folderOf, file), 'utf8');
      const read = (folderOf: string, file: string): string =>
        folderOf === 'DISK' ? readFileSync(join(place(folderOf), file), 'utf8') : at(folderOf, file);
      expect(read(out, 'rides.ndjson') === good.map((record) => `${record}\n`).join('')).toBe(true);
      expect(jsonLines(read(letters, 'letters.ndjson')).map(({ record }) => record)).toEqual(bad);
      spawnSync('rm', ['-rf', place('DISK')]);
    },
  );

  test.each(['sqlite', 'file'])(
    'under the state in %s: no stack but a sentence, and with room again it succeeds',
    async (backend) => {
      resize('32m');
      const cwd = join(disk, backend);
      mkdirSync(cwd);
      put(cwd, {
        'oxiflow.yaml': JSON.stringify({ project: { name: 'city' }, state_manager: { backend } }),
        'pipelines/rides.yaml': pipelineOf([
          ['read_file', { path: join(folder({ 'rides.ndjson': TEXT }), 'rides.ndjson') }],
          ['parse_json'],
          ['write_file', { path: join(folder({}), 'rides.ndjson') }],
        ]),
      });
      // Nothing is left for anything new.
      spawnSync('sh', ['-c', 'head -c 40000000 /dev/zero > filler 2>/dev/null'], { cwd: disk });
      const full = await oxiflow(['run', 'rides'], { cwd });
      expect([1, 69], full.stderr).toContain(full.code);
      expect(full.stderr).toMatch(/no space left|is full|ENOSPC/);
      expect(full.stderr).not.toMatch(/\n {4}at /);
      spawnSync('rm', ['filler'], { cwd: disk });
      const again = await oxiflow(['run', 'rides'], { cwd });
      expect(again.code, again.stderr).toBe(0);
      spawnSync('rm', ['-rf', cwd]);
    },
  );
});

const STREAM = pipelineOf([['read_stdin'], ['parse_json', { framing: 'lines' }], ['write_stdout']]);
const streaming = (): string => folder({ 'oxiflow.yaml': 'project:\n  name: city\n', 'pipelines/rides.yaml': STREAM });

test('a reader that takes one line and goes (| head -1): exit 1, one sentence, no stack', async () => {
  const cwd = folder({
    'oxiflow.yaml': 'project:\n  name: city\n',
    'rides.ndjson': TEXT,
    'pipelines/rides.yaml': pipelineOf([['read_file', { path: 'rides.ndjson' }], ['parse_json'], ['write_stdout']]),
  });
  const { stdout, stderr } = await shell('oxiflow run rides | head -1; echo "codes ${PIPESTATUS[*]}"', { cwd });
  expect(stdout).toBe(`${line(0)}codes 1 0\n`);
  expect(stderr).toContain('standard output: closed by its reader');
  expect(stderr).not.toMatch(/\n {4}at /);
});

/** Resident memory in MB. */
function memoryOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

test.each([
  ['stalls', 0],
  ['is slow', 20],
])(
  'a sink that %s stops the reading in front of it, memory stays flat, and then everything comes',
  async (_what, first) => {
    const cwd = streaming();
    const { child, ended } = start(['run', 'rides'], { cwd, env: plainEnvironment(), input: null, ownStdout: true });
    const { stdin, pid = 0 } = child;
    const stdout = child.stdout as Readable;
    const count = 400_000;
    let written = 0;
    const writing = (async () => {
      for (let ride = 0; ride < count; ride += 1000) {
        const text = Array.from({ length: 1000 }, (_, i) => line(ride + i)).join('');
        if (stdin?.write(text) === false) await once(stdin, 'drain');
        written += 1000;
      }
      stdin?.end();
    })();
    let bytes = 0;
    for (let i = 0; i < first; i += 1) {
      while (stdout.read() === null) await once(stdout, 'readable');
      await delay(5);
    }
    // It stands still when it has taken nothing more for a while.
    for (let still = 0, before = -1; still < 10; ) {
      await delay(50);
      still = written === before ? still + 1 : 0;
      before = written;
    }
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThan(count);
    expect(memoryOf(pid)).toBeGreaterThan(20);
    expect(memoryOf(pid)).toBeLessThan(200);
    let feeds = 0;
    stdout.on('data', (part: Buffer) => {
      bytes += part.length;
      for (const byte of part) if (byte === 0x0a) feeds += 1;
    });
    await writing;
    const { code, stderr } = await ended;
    expect(code, stderr).toBe(0);
    if (first === 0) expect(feeds).toBe(count);
    expect(bytes).toBeGreaterThan(0);
  },
);
