import { mkdtemp, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { command as cancel } from '../../runner/cli/cancel.ts';
import { command as state } from '../../runner/cli/state.ts';
import { command as status } from '../../runner/cli/status.ts';
import { command as worker } from '../../runner/cli/worker.ts';
import { openFileStore } from '../../runner/state/file.ts';
import { folderName } from '../../runner/state/payload.ts';
import type { Json, StateStore } from '../../runner/state/store.ts';

let root: string;
let store: StateStore;
let out: string;
let err: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'oxiflow-cli-'));
  store = openFileStore(join(root, '.oxiflow/state'));
  out = '';
  err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text;
    return true;
  });
});
afterEach(async () => {
  process.exitCode = undefined;
  vi.restoreAllMocks();
  await rm(root, { recursive: true });
});

async function say(verb: Command, ...words: string[]): Promise<void> {
  out = '';
  err = '';
  const sub = verb.commands.length > 0 ? [words.shift() ?? ''] : [];
  await verb.parseAsync([...sub, '--project', root, '--state-backend', 'file', ...words], { from: 'user' });
}

async function saveRun(runKey: string, fields: { [key: string]: Json } = {}): Promise<void> {
  const body = {
    run_key: runKey,
    run_id: 'r-1',
    pipeline: 'quakes',
    attempt: 2,
    status: 'running',
    plan: {
      steps: [
        { id: 'read', hash: 'a' },
        { id: 'big', hash: 'b' },
        { id: 'write', hash: 'c' },
      ],
      parameters_hash: 'd',
    },
    stream: { framing: 'document', selected: true },
    splits: [{ index: 0, name: 'input/quakes.json', size: 4096 }],
    started_at: '2026-03-01T10:00:00.000Z',
    worker_id: 'rides-1',
    ...fields,
  };
  await store.write(runKey, 'run', { expected: 0, token: 1, body, grade: 'soft' });
}

const counters = {
  in: 0,
  added: 0,
  out: 0,
  filtered: 0,
  dropped: 0,
  dead_lettered: 0,
  failed: 0,
  collected: 0,
  passed_on_error: 0,
  bytes_in: 0,
  bytes_out: 0,
};

async function saveCheckpoint(runKey: string): Promise<void> {
  const checkpoint = (n: number, grade: string) => ({
    n,
    grade,
    boot_id: 'b',
    host: 'h',
    at: '2026-03-01T10:00:00.000Z',
    position: { split: 0, offset: 1000 + n, ordinal: 90, framer: null, fingerprint: 'f', finished: '' },
    snapshots: {},
    marks: {},
    encoders: {},
    counters: {
      read: { ...counters, in: 90, out: 90 },
      big: { ...counters, in: 90, out: 40, filtered: 45, dropped: 2, dead_lettered: 2, failed: 1 },
      write: counters,
    },
    records: 90,
    bytes: 1000 + n,
    elapsed_ms: 7,
  });
  const body = { checkpoint: { hard: checkpoint(4, 'hard'), soft: checkpoint(6, 'soft') } };
  await store.write(runKey, 'split-0', { expected: 0, token: 1, body, grade: 'soft' });
}

describe('one damaged run', () => {
  async function damage(runKey: string): Promise<void> {
    const folder = join(root, '.oxiflow/state/runs', folderName(runKey));
    for (const name of await readdir(folder)) if (name.startsWith('run.')) await truncate(join(folder, name), 9);
  }

  test('keeps no other run out of an export, a backup and the list of workers: it is named, and the exit code is 74', async () => {
    for (const key of ['quakes', 'rides', 'trips']) await saveRun(key);
    await damage('rides');
    for (const words of [
      ['export', '--output', join(root, 'some.json')],
      ['backup', '--output', join(root, 'all.json')],
    ]) {
      process.exitCode = undefined;
      await say(state(), ...words);
      expect(process.exitCode).toBe(74);
      expect(err).toMatch(/^run "rides" is damaged and left out: the saved state in .* can't be used/);
    }
    expect(await readFile(join(root, 'all.json'), 'utf8')).toMatch(/"run_key":"quakes".*"run_key":"trips"/s);
    process.exitCode = undefined;
    await say(worker(), 'list', '--json');
    expect(process.exitCode).toBe(74);
    expect(JSON.parse(out)).toMatchObject({ workers: [] });
    expect(err).toContain('run "rides" is damaged');
    process.exitCode = undefined;
    await expect(say(state(), 'export', '--run-key', 'rides')).rejects.toMatchObject({ exitCode: 74 });
    await say(state(), 'repair', '--run-key', 'rides');
    expect(out).toContain('set aside');
  });
});

test('repair of a run that is not there, and import of a folder, are refused in one sentence', async () => {
  await saveRun('quakes');
  await expect(say(state(), 'repair', '--run-key', 'nope')).rejects.toMatchObject({
    exitCode: 2,
    message: expect.stringContaining('no run "nope"'),
  });
  await say(state(), 'repair', '--run-key', 'quakes');
  expect(err).toContain('nothing of run "quakes" is damaged');
  await expect(say(state(), 'import', root)).rejects.toMatchObject({
    exitCode: 2,
    message: expect.stringContaining('is a folder'),
  });
});

describe('oxiflow state show', () => {
  test('prints the PipelineState of the specification, from the newest checkpoint', async () => {
    await saveRun('quakes');
    await saveCheckpoint('quakes');
    await say(state(), 'show', '--run-key', 'quakes', '--json');
    const run = await store.read('quakes', 'run');
    expect(JSON.parse(out)).toMatchObject({
      pipeline_id: 'quakes',
      run_id: 'r-1',
      last_processed_id: 'input/quakes.json@1006',
      batch_number: 6,
      records_processed: 90,
      records_failed: 5,
      data_size_processed: 1006,
      current_step: 'big',
      step_states: { read: { out: 90 }, big: { filtered: 45 }, write: { in: 0 } },
      worker_id: 'rides-1',
      last_heartbeat: expect.stringMatching(/^20..-/),
      version: run?.version,
      status: 'running',
      attempt: 2,
    });
  });

  test('finds the newest run of a pipeline and says that there are others', async () => {
    await saveRun('quakes-7f', { run_id: 'r-7' });
    await saveRun('rides', { pipeline: 'rides' });
    await say(state(), 'show', 'quakes');
    expect(out).toMatch(/^run key +quakes-7f$/m);
    expect(err).toBe('');
    await saveRun('quakes-8a');
    await say(state(), 'show', 'quakes');
    expect(err).toContain('2 saved runs');
  });

  test('of a run without a checkpoint says so', async () => {
    await saveRun('quakes');
    await say(state(), 'show', 'quakes');
    expect(out).toMatch(/^checkpoint +none$/m);
    expect(out).toMatch(/^step write +nothing yet$/m);
  });

  test('of a run that is not there names those that are, and exits with 2', async () => {
    await saveRun('rides');
    const failing = say(state(), 'show', '--run-key', 'quakes');
    await expect(failing).rejects.toMatchObject({ code: 'COMMAND_INVALID', exitCode: 2 });
    await expect(failing).rejects.toThrow('"rides"');
    await expect(say(state(), 'show')).rejects.toMatchObject({ exitCode: 2 });
  });

  test('of a document of the wrong form exits with 74', async () => {
    await store.write('quakes', 'run', { expected: 0, token: 1, body: { pipeline: 'quakes' }, grade: 'soft' });
    await expect(say(state(), 'show', 'quakes')).rejects.toMatchObject({ exitCode: 74 });
  });

  test("control characters of a run's text do not reach the terminal", async () => {
    await saveRun('quakes', { worker_id: 'a\u001b[2Jb' });
    await say(state(), 'show', 'quakes');
    expect(out).toContain('a\\u001b[2Jb');
  });
});

describe('oxiflow state list', () => {
  test('lists runs with their status, only the unfinished with --active', async () => {
    await saveRun('done', { status: 'finished' });
    await saveRun('at work');
    await say(state(), 'list', '--json');
    const all = JSON.parse(out) as { backend: string; location: string; runs: { run_key: string; status: string }[] };
    expect(all).toMatchObject({ backend: 'file', location: join(root, '.oxiflow/state') });
    expect(all.runs.map((run) => `${run.run_key}: ${run.status}`).sort()).toEqual([
      'at work: running',
      'done: finished',
    ]);
    await say(state(), 'list', '--active');
    expect(out).toContain('at work');
    expect(out).not.toContain('done');
  });

  test('an empty store is said on stderr and makes nothing', async () => {
    await say(state(), 'list');
    expect(out).toBe('');
    expect(err).toContain('no runs');
    expect(await readdir(root)).toEqual([]);
  });
});

test('oxiflow state repair says what it set aside and what it brought back', async () => {
  await saveRun('quakes');
  const first = await store.read('quakes', 'run');
  await store.write('quakes', 'run', { expected: 1, token: 1, body: { ...first?.body, attempt: 3 }, grade: 'soft' });
  await truncate(join(store.location, 'runs', folderName('quakes'), 'run.2.json'), 10);
  await expect(say(state(), 'show', 'quakes')).rejects.toMatchObject({ exitCode: 74 });
  await say(state(), 'list');
  expect(out).toMatch(/quakes +corrupt/);
  await say(state(), 'repair', '--run-key', 'quakes');
  expect(out).toMatch(/^set aside +.*run\.2\.json\.corrupt-/m);
  expect(out).toMatch(/^restored +run, now version \d+$/m);
  await say(state(), 'show', '--run-key', 'quakes', '--json');
  expect(JSON.parse(out)).toMatchObject({ attempt: 2 });
  await say(state(), 'repair', '--run-key', 'quakes', '--json');
  expect(JSON.parse(out)).toEqual({ run_key: 'quakes', quarantined: [], restored: [] });
});

describe('oxiflow cancel and status', () => {
  test('a running run is asked to end, and its status says that it was', async () => {
    await saveRun('quakes');
    await saveCheckpoint('quakes');
    await say(cancel(), '--run-key', 'quakes', '--json');
    expect(JSON.parse(out)).toEqual({ run_key: 'quakes', status: 'running', requested: true });
    expect(await store.requests('quakes')).toEqual([
      { kind: 'cancel', at: expect.any(String), from: expect.stringMatching(/./) },
    ]);
    await say(status(), '--run-key', 'quakes', '--json');
    expect(JSON.parse(out)).toMatchObject({ status: 'running', cancel_requested: true, checkpoint: 6, records: 90 });
    await say(status(), '--run-key', 'quakes');
    expect(out).toMatch(/^cancel requested +true$/m);
  });

  test.each(['finished', 'failed', 'interrupted'])(
    'a %s run is not asked, or its next attempt would end',
    async (how) => {
      await saveRun('quakes', { status: how });
      await say(cancel(), '--run-key', 'quakes');
      expect(err).toContain('nothing to cancel');
      expect(await store.requests('quakes')).toEqual([]);
    },
  );

  test('a run that is not there is an error of the command line', async () => {
    for (const verb of [cancel(), status()]) {
      await expect(say(verb, '--run-key', 'quakes')).rejects.toMatchObject({ exitCode: 2 });
    }
  });
});
