/** What the doctor makes of what it finds, without a machine that is ill. */
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkDisk, checkFolder, disksOf, probeFolder } from '../../runner/doctor/folders.ts';
import { checkClock, checkMemory, checkNode, checkStreams, type StreamKind } from '../../runner/doctor/machine.ts';
import { checkPipelines, checkVariables, noteErrors, unknownPipeline } from '../../runner/doctor/pipelines.ts';
import { OxiError } from '../../runner/engine/errors.ts';

const HOUR = 3_600_000;
const GB = 1e9;

test.each([
  ['24.21.0', 'ok'],
  ['22.18.0', 'ok'],
  ['26.0.0', 'warning'],
])('Node %s is %s beside the one that is pinned', (running, verdict) => {
  expect(checkNode(running, '24.21.0')).toMatchObject({ verdict, text: expect.stringContaining('24.21.0') });
});

test.each<[StreamKind, StreamKind, string]>([
  ['pipe', 'terminal', 'ok'],
  ['null', 'file', 'ok'],
  ['pipe', 'null', 'warning'],
  ['closed', 'terminal', 'wrong'],
  ['terminal', 'closed', 'wrong'],
])('stdout %s and stderr %s are %s', (stdout, stderr, verdict) => {
  const kinds: StreamKind[] = ['null', stdout, stderr];
  expect(checkStreams((fd) => kinds[fd] ?? 'null').verdict).toBe(verdict);
});

describe('the clock', () => {
  const now = Date.parse('2026-03-01T12:00:00Z');
  test.each([
    ['goes right', { built: now - 100 * HOUR, disk: now + 20, saved: now - HOUR }, 'ok'],
    ['is before the program was made', { built: now + 48 * HOUR }, 'wrong'],
    ['differs from that of the disk', { built: now - HOUR, disk: now - HOUR }, 'warning'],
    ['was set back since the last run', { built: now - HOUR, saved: now + 2 * HOUR }, 'warning'],
  ])('that %s', (_what, times, verdict) => {
    expect(checkClock(now, times).verdict).toBe(verdict);
  });
});

describe('memory', () => {
  const memory = { limit: undefined, total: 16 * GB, heap: 4 * GB, processors: 4 };
  test('of a machine is enough for four threads', () => {
    expect(checkMemory({ most: 4, pipeline: 'rides' }, memory)).toEqual({
      name: 'memory',
      verdict: 'ok',
      text: '16.0 GB on the machine, heap up to 4.00 GB, 4 processors',
    });
  });
  test('of a small container is not enough for many threads, and the remedy says so', () => {
    const check = checkMemory({ most: 8, pipeline: 'rides' }, { ...memory, limit: 0.256 * GB, heap: 0.1 * GB });
    expect(check).toMatchObject({ verdict: 'warning', remedy: 'give it fewer threads, or the container more memory' });
    expect(check.text).toContain('"rides" with 8 threads needs about 580 MB');
  });
  test('that the heap may outgrow is told with the option that bounds it', () => {
    const check = checkMemory(undefined, { ...memory, limit: 0.5 * GB });
    expect(check).toMatchObject({ verdict: 'warning', remedy: 'set NODE_OPTIONS=--max-old-space-size=286' });
  });
  test('is no reason for more threads than processors', () => {
    expect(checkMemory({ most: 6, pipeline: 'rides' }, memory)).toMatchObject({
      verdict: 'warning',
      remedy: 'more than 4 gain nothing here',
    });
  });
});

describe('folders', () => {
  let root = '';
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'oxiflow-folders-'));
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  test('a probe says when it wrote, and leaves nothing', async () => {
    const before = Date.now();
    const probe = await probeFolder(root);
    expect(probe).toMatchObject({ folder: root });
    expect('at' in probe && Math.abs(probe.at - before) < 10_000).toBe(true);
    expect(readdirSync(root)).toEqual([]);
  });
  test('a folder that is not there is looked at where it will be made', async () => {
    const probe = await probeFolder(join(root, 'output/dead_letters'));
    expect(probe).toMatchObject({ folder: root });
    expect(checkFolder('output', join(root, 'output'), probe)).toMatchObject({
      verdict: 'ok',
      text: `${root}/output, made when it is needed`,
    });
    expect(readdirSync(root)).toEqual([]);
  });
  test('a file in the place of a folder is wrong', async () => {
    writeFileSync(join(root, 'taken'), '');
    const probe = await probeFolder(join(root, 'taken'));
    expect(checkFolder('output', join(root, 'taken'), probe)).toMatchObject({
      verdict: 'wrong',
      text: expect.stringContaining('taken is a file'),
      remedy: 'move it away, or name another folder',
    });
    await rm(join(root, 'taken'), { force: true });
  });
  test.runIf(process.getuid?.() !== 0)('a folder that may not be written is wrong', async () => {
    mkdirSync(join(root, 'locked'), { mode: 0o500 });
    const probe = await probeFolder(join(root, 'locked'));
    expect(checkFolder('output', join(root, 'locked'), probe)).toMatchObject({ verdict: 'wrong' });
    chmodSync(join(root, 'locked'), 0o700);
  });
  test('folders on one disk have one line', async () => {
    mkdirSync(join(root, 'a'));
    mkdirSync(join(root, 'b'));
    const disks = await disksOf([join(root, 'a'), join(root, 'b')]);
    expect(disks).toHaveLength(1);
    expect(disks[0]?.size).toBeGreaterThan(0);
  });
  test.each([
    ['much room', 500 * GB, 1000 * GB, 1e6, 'ok'],
    ['little of a large one', 0.5 * GB, 1000 * GB, 1e6, 'warning'],
    ['most of a small one', 0.05 * GB, 0.06 * GB, 1e6, 'ok'],
    ['a last megabyte', 1e6, 1000 * GB, 1e6, 'wrong'],
    ['room and hardly a file left', 500 * GB, 1000 * GB, 500, 'warning'],
    ['room and no file left', 500 * GB, 1000 * GB, 0, 'wrong'],
  ])('a disk with %s', (_what, free, size, inodes, verdict) => {
    const check = checkDisk({ folder: '/data', free, size, inodes: { free: inodes, size: 1e7 } });
    expect(check.verdict).toBe(verdict);
    expect(check.remedy === undefined).toBe(verdict === 'ok');
  });
  test('a file system without a number of files is judged by its bytes', () => {
    const check = checkDisk({ folder: '/data', free: 500 * GB, size: 1000 * GB, inodes: { free: 0, size: 0 } });
    expect(check).toEqual({ name: 'disk', verdict: 'ok', text: '500 GB of 1.00 TB free (50 %), at /data' });
  });
});

describe('pipelines', () => {
  const error = (message: string): OxiError => new OxiError('CONFIG_INVALID', message);

  test('a variable that is not set is no mistake of the file, and a parameter is none at all', () => {
    const rides = unknownPipeline('rides');
    noteErrors(rides, error('rides.yaml:4:13: field "path": ${INPUT} is not set; set the variable INPUT'));
    noteErrors(rides, error('rides.yaml:9:3: the parameter "day" has no default; give it with --param day=...'));
    expect(rides).toMatchObject({ errors: [], unset: ['INPUT'], needs: ['day'] });
    expect(checkPipelines([rides], '/city/pipelines')).toEqual([
      { name: 'pipelines', verdict: 'ok', text: '1 of 1 are right, in /city/pipelines' },
    ]);
    expect(checkVariables([rides])).toMatchObject({ verdict: 'warning', text: 'not set: INPUT (rides)' });
  });
  test('what nobody expects is not taken for a mistake of the file', () => {
    expect(() => noteErrors(unknownPipeline('rides'), new TypeError('a bug'))).toThrow('a bug');
  });
  test('of many that are wrong, ten have a line of their own', () => {
    const all = Array.from({ length: 25 }, (_, i) => ({
      ...unknownPipeline(`rides${i}`),
      errors: ['x.yaml:1:1: bad'],
    }));
    const checks = checkPipelines(all, '/city/pipelines');
    expect(checks).toHaveLength(12);
    expect(checks.at(-1)?.text).toBe('15 more have errors');
  });
});
