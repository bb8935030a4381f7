/** The place where the state is: full or read-only when a run comes, or while it works; and the parts of a shared run damaged. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SEED } from './random.ts';
import { BACKENDS, type Backend, type Ended } from './runner.ts';
import { Day, Shop } from './shop.ts';

const day = new Day(SEED + 11, 4_000_000);
afterAll(() => day.remove());

function mount(...args: string[]): void {
  const { status, stderr } = spawnSync('mount', args, { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
}

const canMount = ((): boolean => {
  const probe = mkdtempSync(join(tmpdir(), 'oxiflow-mount-'));
  const ok = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', probe]).status === 0;
  if (ok) spawnSync('umount', [probe]);
  rmSync(probe, { recursive: true });
  return ok;
})();

/** One sentence for people, and nothing of the program's inside. */
function expectSentence({ stderr }: Ended, sentence: RegExp): void {
  expect(stderr).toMatch(sentence);
  expect(stderr).not.toMatch(/\n {4}at /);
}

// Only root may mount.
describe.runIf(canMount).each(BACKENDS)('a disk of its own for the state in %s', (backend) => {
  let disk = '';
  beforeEach(() => {
    disk = mkdtempSync(join(tmpdir(), 'oxiflow-disk-'));
    mount('-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', disk);
  });
  afterEach(() => {
    spawnSync('umount', [disk]);
    rmSync(disk, { recursive: true });
  });
  const shopOnDisk = (): Shop =>
    new Shop(day, {
      backend,
      softMs: 0,
      state: { file: { base_path: join(disk, 'state') }, sqlite: { path: join(disk, 'state.db') } },
    });
  const fill = (): void => {
    spawnSync('sh', ['-c', 'head -c 40000000 /dev/zero > filler'], { cwd: disk });
  };
  const makeRoom = (): void => rmSync(join(disk, 'filler'));

  test('it is full before the first run: exit 1 and a sentence; with room it succeeds', async () => {
    const shop = shopOnDisk();
    fill();
    const full = await shop.attempt().ended;
    expect(full.code, full.stderr).toBe(1);
    expectSentence(full, /no space left on the disk/);
    makeRoom();
    await shop.expectDone(await shop.attempt().ended, 'room');
    shop.remove();
  });

  test('it fills up while a run works: the run ends with a sentence, and goes on when there is room again', async () => {
    const shop = shopOnDisk();
    const attempt = shop.attempt([], { env: { OXIFLOW_STOP_AT: 'committed:3' } });
    await attempt.untilFrozen();
    fill();
    attempt.kill('SIGCONT');
    const full = await attempt.ended;
    expect(full.code, full.stderr).toBe(1);
    expectSentence(full, /no space left on the disk/);
    expect(shop.outputs()).toEqual(shop.staged());
    makeRoom();
    const resumed = await shop.attempt().ended;
    expect(resumed.resumedFrom?.records, resumed.stderr).toBeGreaterThan(0);
    await shop.expectDone(resumed, 'room again');
    shop.remove();
  });

  test('it is read-only when a run is to go on: exit 126, nothing changed; writable again, the run goes on', async () => {
    const shop = shopOnDisk();
    const dead = await shop.attempt([], { env: { OXIFLOW_CRASH_AT: 'committed:2' } }).ended;
    expect(dead.signal, dead.stderr).toBe('SIGKILL');
    mount('-o', 'remount,ro', disk);
    const before = shop.outputs();
    const refused = await shop.attempt().ended;
    expect(refused.code, refused.stderr).toBe(126);
    expectSentence(refused, backend === 'file' ? /state/ : /state\.db/);
    expect(shop.outputs()).toEqual(before);
    mount('-o', 'remount,rw', disk);
    const resumed = await shop.attempt().ended;
    expect(resumed.resumedFrom?.records, resumed.stderr).toBeGreaterThan(0);
    await shop.expectDone(resumed, 'writable again');
    shop.remove();
  });

  // A disk with a file that is open for writing, as a database is, can't be made read-only.
  test.runIf(backend === 'file')(
    'it becomes read-only while a run works: exit 126; later the run goes on',
    async () => {
      const shop = shopOnDisk();
      const attempt = shop.attempt([], { env: { OXIFLOW_STOP_AT: 'committed:3' } });
      await attempt.untilFrozen();
      mount('-o', 'remount,ro', disk);
      attempt.kill('SIGCONT');
      const refused = await attempt.ended;
      expect(refused.code, refused.stderr).toBe(126);
      expectSentence(refused, /state/);
      mount('-o', 'remount,rw', disk);
      const resumed = await shop.attempt().ended;
      expect(resumed.resumedFrom?.records, resumed.stderr).toBeGreaterThan(0);
      await shop.expectDone(resumed, 'writable again');
      shop.remove();
    },
  );
});

const MERGED = [{ name: 'write_file', id: 'priced', config: { path: 'out/priced.ndjson', merge: true } }];
const JOIN = ['--join', '--splits', '4', '--invocation', 'nightly'];

/** The newest file of a part, by the number of its version. */
function newestFile(root: string, part: string): string {
  const runs = join(root, '.oxiflow/state/runs');
  const versions = readdirSync(runs, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
    const number = new RegExp(`/${part}\\.(\\d+)\\.json$`).exec(name)?.[1];
    return number === undefined ? [] : [{ name, number: Number(number) }];
  });
  const [newest] = versions.sort((a, b) => b.number - a.number);
  if (newest === undefined) throw new Error(`there is no ${part}`);
  return join(runs, newest.name);
}

/** Damages the newest document of a part as its bytes lie there; in a database those of its row. */
function damage(shop: Shop, backend: Backend, part: string, how: (bytes: Buffer) => Buffer): void {
  if (backend === 'file') {
    const path = newestFile(shop.root, part);
    writeFileSync(path, how(readFileSync(path)));
    return;
  }
  using database = new DatabaseSync(join(shop.root, '.oxiflow/state.db'));
  const newest = 'part = ? AND version = (SELECT max(version) FROM documents WHERE part = ?)';
  const body = database.prepare(`SELECT body FROM documents WHERE ${newest}`).get(part, part)?.body;
  if (typeof body !== 'string') throw new Error(`there is no ${part}`);
  database
    .prepare(`UPDATE documents SET body = ? WHERE ${newest}`)
    .run(how(Buffer.from(body)).toString('latin1'), part, part);
}

const DAMAGES: [string, (bytes: Buffer) => Buffer][] = [
  ['empty', () => Buffer.alloc(0)],
  ['cut off', (bytes) => bytes.subarray(0, bytes.length - 20)],
  ['all NUL', (bytes) => Buffer.alloc(bytes.length)],
  [
    'a bit flipped',
    (bytes) => {
      const at = bytes.length - 10;
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at);
      return flipped;
    },
  ],
];

describe.each(BACKENDS)('the parts of a shared run, state in %s', (backend) => {
  const parts = ['group-0', 'split-0'] as const;
  test.each(parts.flatMap((part) => DAMAGES.map(([name, how]) => ({ part, name, how }))))(
    '$part is $name: nobody works on, exit 74; repaired, the run is finished as if nothing had been',
    async ({ part, how }) => {
      const shop = new Shop(day, { backend, softMs: 0, sinks: MERGED });
      const dead = await shop.attempt(JOIN, { env: { OXIFLOW_CRASH_AT: 'committed:2' } }).ended;
      expect(dead.signal, dead.stderr).toBe('SIGKILL');
      damage(shop, backend, part, how);
      const before = shop.outputs();
      for (let times = 0; times < 2; times++) {
        const refused = await shop.attempt(JOIN).ended;
        expect(refused.code, refused.stderr).toBe(74);
        expectSentence(refused, /state repair/);
        expect(shop.outputs()).toEqual(before);
      }
      const repaired = await shop.verb('state', 'repair', '--run-key', 'shop');
      expect(repaired.code, repaired.stderr).toBe(0);
      const ended = await shop.attempt(JOIN).ended;
      expect(ended.code, ended.stderr).toBe(0);
      shop.expectOutputs('repaired');
      shop.remove();
    },
  );
});
