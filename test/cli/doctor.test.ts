/** `oxiflow doctor` on projects that are well and projects that are not: what it finds, what it says to do, and that it only looks. */
import { chmodSync, chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ridesProject, startBlocked } from './blocked.ts';
import { GOOD_PROJECT, orders } from './cases/case.ts';
import { folder, NOBODY, oxiflow, put, shell } from './program.ts';

interface Check {
  name: string;
  verdict: string;
  text: string;
  remedy?: string;
}

async function examine(cwd: string, args: string[] = [], options: { uid?: number; env?: Record<string, string> } = {}) {
  const { code, stdout, stderr } = await oxiflow(['doctor', '--json', ...args], { cwd, ...options });
  expect(stderr).toBe('');
  const document: { ok: boolean; checks: Check[] } = JSON.parse(stdout);
  expect(code).toBe(document.ok ? 0 : 1);
  const by = (name: string): Check | undefined => document.checks.find((check) => check.name === name);
  return { code, by, checks: document.checks };
}

/** Every file and folder, those of the state too. */
function everything(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' }).sort();
}

describe('a project that is well', () => {
  test.concurrent('has nothing wrong with it, before and after its first run, and nothing is left in it', async () => {
    const cwd = folder(GOOD_PROJECT);
    const before = everything(cwd);
    const first = await examine(cwd);
    expect(first.checks.filter(({ verdict }) => verdict === 'wrong')).toEqual([]);
    expect(everything(cwd)).toEqual(before);
    await oxiflow(['run', 'orders', '-q'], { cwd });
    const after = everything(cwd);
    const { by, code } = await examine(cwd);
    expect(code).toBe(0);
    expect(by('state')?.text).toMatch(/^sqlite in .*state\.db: whole, 1 run, 1 ended attempt$/);
    expect(by('runs')?.text).toBe('1 finished, 0 at work, 0 to look at');
    expect(by('pipelines')?.text).toMatch(/^1 of 1 are right/);
    expect(everything(cwd).filter((name) => !name.includes('state.db-'))).toEqual(
      after.filter((name) => !name.includes('state.db-')),
    );
  });
  test.concurrent('is told to people in a line for each thing', async () => {
    const { code, stdout } = await oxiflow(['doctor'], { cwd: folder(GOOD_PROJECT) });
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.at(-1)).toMatch(/^0 wrong, \d+ to look at, \d+ fine$/);
    for (const line of lines.slice(0, -1)) expect(line).toMatch(/^(ok {5}|warning|wrong {2}) {2}\S.* {2}\S/);
  });
});

test.concurrent('a folder that is no project is said to be none, and the machine is looked at all the same', async () => {
  const { code, by } = await examine(folder({}));
  expect(code).toBe(0);
  expect(by('project')).toMatchObject({ verdict: 'warning', text: expect.stringContaining('none here') });
  expect(by('node')).toMatchObject({ verdict: 'ok' });
  expect(by('state')).toBeUndefined();
});

describe('a project that is not well', () => {
  test.concurrent('has mistakes in its own file', async () => {
    const { code, by } = await examine(folder({ ...GOOD_PROJECT, 'oxiflow.yaml': 'projekt: {}\n' }));
    expect(code).toBe(1);
    expect(by('project')).toMatchObject({ verdict: 'wrong', text: expect.stringContaining('oxiflow.yaml:1:1') });
  });
  test.concurrent('has a pipeline with mistakes, one without its variable, and one without its input', async () => {
    const cwd = folder({
      ...GOOD_PROJECT,
      'pipelines/bad.yaml': orders('where', 'wher'),
      'pipelines/unset.yaml': orders('input/orders.ndjson', '"${INPUT_FOLDER}/orders.ndjson"'),
      'pipelines/away.yaml': orders('input/orders.ndjson', 'input/rides.ndjson'),
    });
    const { code, by } = await examine(cwd);
    expect(code).toBe(1);
    expect(by('pipeline bad')).toMatchObject({ verdict: 'wrong', text: expect.stringContaining('bad.yaml:8:7') });
    expect(by('variables')).toMatchObject({ verdict: 'warning', text: 'not set: INPUT_FOLDER (unset)' });
    expect(by('pipeline away')).toMatchObject({ verdict: 'warning', text: expect.stringContaining('no such file') });
    const set = await examine(cwd, [], { env: { INPUT_FOLDER: 'input' } });
    expect(set.by('variables')?.verdict).toBe('ok');
  });
  // Only root can become a user without rights.
  test.runIf(process.getuid?.() === 0)('has folders that its user may not write to', async () => {
    const cwd = folder(GOOD_PROJECT);
    for (const name of ['output', '.oxiflow']) mkdirSync(join(cwd, name), { mode: 0o555 });
    chownSync(cwd, NOBODY, NOBODY);
    const { code, by } = await examine(cwd, [], { uid: NOBODY });
    expect(code).toBe(1);
    expect(by('folder')?.verdict).toBe('ok');
    for (const name of ['output', 'state folder'])
      expect(by(name)).toMatchObject({ verdict: 'wrong', remedy: expect.stringContaining('chown or chmod') });
    chmodSync(join(cwd, '.oxiflow'), 0o755);
  });
  test.concurrent('has damaged state, and is told how to repair it', async () => {
    const cwd = folder(GOOD_PROJECT);
    await oxiflow(['run', 'orders', '-q'], { cwd });
    for (const suffix of ['-wal', '-shm']) put(cwd, { [`.oxiflow/state.db${suffix}`]: '' });
    writeFileSync(join(cwd, '.oxiflow/state.db'), 'not a database at all, but long enough to look at. '.repeat(100));
    const { code, by } = await examine(cwd);
    expect(code).toBe(1);
    expect(by('state')).toMatchObject({ verdict: 'wrong', text: expect.stringContaining('oxiflow state repair') });
  });
  test.concurrent('asks for a backend that there is not, and names others that it does not use', async () => {
    const redis = 'state_manager:\n  redis: { connection_url: "redis://shop:canary-doctor@redis.internal" }\n';
    const named = folder({ ...GOOD_PROJECT, 'oxiflow.yaml': redis });
    const { by, checks } = await examine(named);
    expect(by('connections')).toMatchObject({ verdict: 'warning', text: expect.stringContaining('not used: redis') });
    expect(by('secrets')).toMatchObject({ verdict: 'warning', text: expect.stringContaining('oxiflow.yaml:2:28') });
    expect(JSON.stringify(checks)).not.toContain('canary-doctor');
    const chosen = await examine(named, ['--state-backend', 'http']);
    expect(chosen.code).toBe(1);
    expect(chosen.by('state')?.text).toContain('"http" is not part of this oxiflow');
  });
  test.concurrent('is started with its standard output closed', async () => {
    const { stderr } = await shell('oxiflow doctor --json >&- ; echo "code $?" >&2', { cwd: folder(GOOD_PROJECT) });
    expect(stderr).toContain('code 1');
  });
});

describe('runs', () => {
  test.concurrent('one that failed is told with the command that goes on', async () => {
    const cwd = folder({ ...GOOD_PROJECT, 'input/orders.ndjson': '{"order":1}\n' });
    await oxiflow(['run', 'orders', '-q', '--run-key', 'monday'], { cwd });
    const { code, by } = await examine(cwd);
    expect(code).toBe(0);
    expect(by('run monday')).toMatchObject({
      verdict: 'warning',
      text: expect.stringMatching(/^unfinished: failed \(RECORD_INVALID\) /),
      remedy: 'oxiflow run orders --run-key monday goes on, --fresh starts over',
    });
  });
  test.concurrent.each(['sqlite', 'file'])(
    'in %s, one at work is well, one that was killed is not',
    async (backend) => {
      const { root } = ridesProject();
      const on = ['--state-backend', backend];
      const run = startBlocked(root, on);
      await run.working();
      const live = await examine(root, on);
      expect(live.by('runs')?.text).toBe('0 finished, 1 at work, 0 to look at');
      run.kill('SIGKILL');
      await run.read();
      const { code, by } = await examine(root, on);
      expect(code).toBe(0);
      expect(by('run rides')).toMatchObject({
        verdict: 'warning',
        text: expect.stringMatching(/^its worker is gone, it saved last .* ago; its stale lease is taken at once$/),
        remedy: 'oxiflow run rides goes on, --fresh starts over',
      });
    },
  );
});
