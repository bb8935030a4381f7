/** Several real workers on one run: who does what, what comes of it, and what each of them tells. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { oxiflow, start } from '../cli/program.ts';
import { eventProblems } from '../cli/schemas.ts';
import { until } from '../servers/redis.ts';

const RECORDS = 6000;
const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A project that reads `in.ndjson`, keeps every third record, and writes `out/kept.ndjson`. */
function project(sink = '{ path: out/kept.ndjson }', slow = false): string {
  const folder = mkdtempSync(join(tmpdir(), 'oxiflow-crew-'));
  folders.push(folder);
  mkdirSync(join(folder, 'pipelines'));
  writeFileSync(
    join(folder, 'oxiflow.yaml'),
    'project: { name: shop }\nstate_manager: { heartbeat_interval: 200ms, sqlite: { lock_timeout: 3s } }\n',
  );
  // A program that answers record by record makes a split last.
  const step = slow
    ? '  - name: exec\n    config: { command: [sh, -c, "while read -r l; do sleep 0.02; echo \\"$l\\"; done"] }\n'
    : '';
  writeFileSync(
    join(folder, 'pipelines/orders.yaml'),
    `pipeline:
  - name: read_file
    config: { path: in.ndjson }
  - name: parse_json
  - name: filter
    config: { where: "id % 3 == 0" }
${step}  - name: write_file
    config: ${sink}
`,
  );
  writeFileSync(
    join(folder, 'in.ndjson'),
    Array.from({ length: RECORDS }, (_, id) => `{"id":${id},"name":"order ${id}"}\n`).join(''),
  );
  return folder;
}

function outputs(folder: string): string[] {
  return readdirSync(join(folder, 'out')).sort();
}

/** Ids in all parts, in the order of the parts. */
function idsOf(folder: string): number[] {
  const texts = outputs(folder).map((name) => readFileSync(join(folder, 'out', name), 'utf8'));
  return texts
    .join('')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { id: number }).id);
}

const KEPT = Array.from({ length: RECORDS / 3 }, (_, i) => 3 * i);

interface Summary {
  status: string;
  run_id: string;
  attempt: number;
  counters: { total: { added: number; out: number }; attempt: { added: number } };
  outputs: { path: string; rows: number }[];
}

const summaryOf = (stdout: string): Summary => JSON.parse(stdout) as Summary;

describe('--workers N', () => {
  test('does in parts what one worker does, and sums it up', async () => {
    const folder = project();
    const ended = await oxiflow(['run', 'orders', '--workers', '3', '--splits', '8', '--json'], { cwd: folder });
    expect(ended.code, ended.stderr).toBe(0);
    expect(outputs(folder)).toEqual(Array.from({ length: 8 }, (_, k) => `kept-0000${k}-of-00008.ndjson`));
    expect(idsOf(folder)).toEqual(KEPT);
    const { counters, outputs: made } = summaryOf(ended.stdout);
    expect(counters.total).toMatchObject({ added: RECORDS, out: KEPT.length });
    expect(counters.attempt.added).toBeLessThanOrEqual(RECORDS);
    expect(made.reduce((sum, { rows }) => sum + rows, 0)).toBe(KEPT.length);
  });

  test('with merge, the one file is that of one worker, byte for byte', async () => {
    const folder = project('{ path: out/kept.ndjson, merge: true }');
    expect((await oxiflow(['run', 'orders', '--workers', '2', '--splits', '5'], { cwd: folder })).code).toBe(0);
    expect(outputs(folder)).toEqual(['kept.ndjson']);
    const shared = readFileSync(join(folder, 'out/kept.ndjson'));
    expect((await oxiflow(['run', 'orders'], { cwd: folder })).code).toBe(0);
    expect(readFileSync(join(folder, 'out/kept.ndjson')).equals(shared)).toBe(true);
  });

  test('a second time it is a new run, with --invocation the same one', async () => {
    const folder = project();
    const run = async (...more: string[]): Promise<Summary> => {
      const ended = await oxiflow(['run', 'orders', '--workers', '2', '--splits', '2', '--json', ...more], {
        cwd: folder,
      });
      expect(ended.code, ended.stderr).toBe(0);
      return summaryOf(ended.stdout);
    };
    const first = await run();
    const second = await run('--invocation', 'monday');
    const third = await run('--invocation', 'monday');
    expect(second.run_id).not.toBe(first.run_id);
    expect(third.run_id).toBe(second.run_id);
    expect(third.attempt).toBeGreaterThan(second.attempt);
  });
});

describe('--join', () => {
  test('workers that join do each split once; one that comes late has nothing to do', async () => {
    const folder = project();
    const join = (): ReturnType<typeof oxiflow> =>
      oxiflow(['run', 'orders', '--join', '--splits', '6', '--invocation', 'a', '--json'], { cwd: folder });
    const ended = await Promise.all([join(), join(), join()]);
    for (const { code, stderr } of ended) expect(code, stderr).toBe(0);
    expect(idsOf(folder)).toEqual(KEPT);
    const summaries = ended.map(({ stdout }) => summaryOf(stdout));
    expect(new Set(summaries.map(({ run_id }) => run_id)).size).toBe(1);
    expect(new Set(summaries.map(({ attempt }) => attempt)).size).toBe(3);
    for (const { counters } of summaries) expect(counters.total.added).toBe(RECORDS);
    const late = await join();
    expect(late.code).toBe(0);
    expect(late.stderr).toContain('nothing to do');
    expect(summaryOf(late.stdout).run_id).toBe(summaries[0]?.run_id);
  });

  test('each worker tells its own story, in events of one run', async () => {
    const folder = project();
    const join_ = (n: number): ReturnType<typeof oxiflow> =>
      oxiflow(['run', 'orders', '--join', '--splits', '6', '--invocation', 'a', '--events', `events-${n}`], {
        // An empty one is none.
        env: { OXIFLOW_WORKER_ID: '' },
        cwd: folder,
      });
    const codes = (await Promise.all([join_(0), join_(1)])).map(({ code }) => code);
    expect(codes).toEqual([0, 0]);
    const stories = [0, 1].map((n) =>
      readFileSync(join(folder, `events-${n}`), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    );
    for (const story of stories) {
      expect(story.flatMap(eventProblems)).toEqual([]);
      expect(story.map(({ seq }) => seq)).toEqual(story.map((_, i) => i + 1));
      expect(story[0]?.type).toBe('run.started');
      expect(story.filter(({ type }) => type === 'run.started')).toHaveLength(1);
      expect(story.at(-1)?.type).toBe('run.finished');
    }
    const [one, other] = stories.map(([first]) => first);
    expect(one?.run_id).toBe(other?.run_id);
    expect(one?.attempt).not.toBe(other?.attempt);
    expect(one?.worker_id).not.toBe(other?.worker_id);
    for (const story of stories) expect(story[0]?.worker_id).toMatch(/^[^-]/);
  });

  test('while it works, a worker is listed with what it does; afterwards it is gone', async () => {
    const folder = project(undefined, true);
    const { child, ended } = start(
      ['run', 'orders', '--join', '--splits', '4', '--worker-id', 'night', '--drain-timeout', '500ms'],
      {
        cwd: folder,
      },
    );
    const listed = async (): Promise<{ workers: Record<string, unknown>[] }> =>
      JSON.parse((await oxiflow(['worker', 'list', '--pipeline', 'orders', '--json'], { cwd: folder })).stdout);
    const working = await until('the worker is at work', async () => {
      const { workers } = await listed();
      return workers.find(({ state }) => state === 'working');
    });
    expect(working).toMatchObject({ run_key: 'orders', pipeline: 'orders', pid: child.pid, capacity: 1, alive: true });
    expect(working.worker_id).toMatch(/^night-/);
    child.kill('SIGTERM');
    expect((await ended).code).toBe(143);
    expect((await listed()).workers).toEqual([]);
  });
});

describe('a run of an earlier day', () => {
  test('is not joined without a name for the request: the second night must not pass for done', async () => {
    const folder = project();
    const run = (...args: string[]): ReturnType<typeof oxiflow> => oxiflow(['run', 'orders', ...args], { cwd: folder });
    expect((await run('--join', '--splits', '2', '--invocation', 'monday')).code).toBe(0);
    const tuesday = await run('--join', '--splits', '2');
    expect(tuesday.code).toBe(2);
    expect(tuesday.stderr).toContain('name the request with --invocation ID, the same for all workers');
    expect((await run('--join', '--splits', '2', '--invocation', 'tuesday')).code).toBe(0);
    const { stdout } = await oxiflow(['history', '--json'], { cwd: folder });
    expect((JSON.parse(stdout) as { runs: unknown[] }).runs).toHaveLength(2);
  });

  test('leaves no parts of another cut beside the new ones, and of those that are not its own the next one warns', async () => {
    const folder = project();
    const run = async (...args: string[]): Promise<string> => {
      const ended = await oxiflow(['run', 'orders', ...args], { cwd: folder });
      expect(ended.code, ended.stderr).toBe(0);
      return ended.stderr;
    };
    await run();
    expect(outputs(folder)).toEqual(['kept.ndjson']);
    await run('--workers', '2', '--splits', '4');
    expect(outputs(folder)).toEqual([0, 1, 2, 3].map((k) => `kept-0000${k}-of-00004.ndjson`));
    // Somebody has gone on with it since: it is theirs now.
    writeFileSync(join(folder, 'out/kept-00001-of-00004.ndjson'), '{"id":"mine"}\n');
    writeFileSync(join(folder, 'out/other-00001-of-00004.ndjson'), '{"id":"other"}\n');
    const said = await run('--workers', '2', '--splits', '3');
    expect(said).toContain('out/kept-00001-of-00004.ndjson: parts of another cut');
    expect(outputs(folder)).toEqual(
      [
        ...[0, 1, 2].map((k) => `kept-0000${k}-of-00003.ndjson`),
        'kept-00001-of-00004.ndjson',
        'other-00001-of-00004.ndjson',
      ].sort(),
    );
    await run();
    expect(outputs(folder)).toEqual(['kept-00001-of-00004.ndjson', 'kept.ndjson', 'other-00001-of-00004.ndjson']);
  });
});

describe('what is told', () => {
  test('of a finished run: its checkpoints, all of its records in the history, and how it differs from one worker', async () => {
    const folder = project();
    const say = async (...args: string[]): Promise<{ stdout: string; stderr: string }> => {
      const ended = await oxiflow(args, { cwd: folder });
      expect(ended.code, ended.stderr).toBe(0);
      return ended;
    };
    writeFileSync(
      join(folder, 'pipelines/orders.yaml'),
      `max_errors: 5\n${readFileSync(join(folder, 'pipelines/orders.yaml'), 'utf8')}`,
    );
    const ways = ['run', 'orders', '--workers', '3', '--splits', '4'];
    expect((await say(...ways, '--dry-run')).stderr).toContain('"max_errors" counts in each part by itself');
    expect((await say(...ways)).stderr).toContain('"max_errors" counts in each part by itself');
    const state = JSON.parse((await say('state', 'show', 'orders', '--json')).stdout);
    expect(state.groups.map(({ checkpoint }: { checkpoint: number }) => checkpoint > 0)).toEqual(Array(4).fill(true));
    expect(state).toMatchObject({ records_processed: RECORDS, step_states: { filter: { in: RECORDS } } });
    const { runs } = JSON.parse((await say('history', 'orders', '--json')).stdout);
    expect(runs).toHaveLength(1);
    expect(runs[0]).toMatchObject({ records_in: RECORDS, records_out: KEPT.length, status: 'succeeded' });
    expect(runs[0].bytes_in).toBe(readFileSync(join(folder, 'in.ndjson')).length);
    expect(runs[0].duration_ms).toBe(Date.parse(state.finished_at) - Date.parse(state.started_at));
  });

  test('of outputs: with merge, a shard that is done before the others tells of none', async () => {
    const folder = project('{ path: out/kept.ndjson, merge: true }');
    const shard = async (i: number): Promise<Summary> => {
      const args = ['run', 'orders', '--shard', `${i}/2`, '--same-host', '--invocation', 'a', '--json'];
      const ended = await oxiflow(args, { cwd: folder });
      expect(ended.code, ended.stderr).toBe(0);
      return summaryOf(ended.stdout);
    };
    expect((await shard(1)).outputs).toEqual([]);
    expect((await shard(0)).outputs.map(({ path }) => path)).toEqual([join(folder, 'out/kept.ndjson')]);
  });

  test('who joins with another number of splits hears that it is ignored', async () => {
    const folder = project(undefined, true);
    const run = (...args: string[]): ReturnType<typeof start> =>
      start(['run', 'orders', '--join', '--invocation', 'a', '--drain-timeout', '500ms', ...args], { cwd: folder });
    const first = run('--splits', '4');
    await until('the run is there', async () => {
      const { code } = await oxiflow(['status', '--run-key', 'orders'], { cwd: folder });
      return code === 0 ? true : undefined;
    });
    first.child.kill('SIGTERM');
    await first.ended;
    const second = run('--splits', '9');
    let said = '';
    second.child.stderr?.on('data', (text: Buffer) => {
      said += text;
    });
    await until('it has joined', async () => said.includes('--splits 9 has no effect') || undefined);
    expect(said).toContain('cut into 4 when it began');
    second.child.kill('SIGTERM');
    await second.ended;
  });
});

describe('--shard I/N', () => {
  test('each shard does its part of one run, in whatever order, alone', async () => {
    const folder = project();
    const shard = (i: number): ReturnType<typeof oxiflow> =>
      oxiflow(['run', 'orders', '--shard', `${i}/3`, '--same-host', '--invocation', 'a', '--json'], { cwd: folder });
    const ids = new Set<string>();
    for (const i of [2, 0, 1]) {
      const ended = await shard(i);
      expect(ended.code, ended.stderr).toBe(0);
      const { run_id, outputs: made } = summaryOf(ended.stdout);
      ids.add(run_id);
      expect(made.map(({ path }) => path)).toContain(join(folder, `out/kept-0000${i}-of-00003.ndjson`));
    }
    expect(ids.size).toBe(1);
    expect(outputs(folder)).toHaveLength(3);
    expect(idsOf(folder)).toEqual(KEPT);
    const again = await shard(1);
    expect(again.code).toBe(0);
    expect(again.stderr).toContain('nothing to do');
  });

  test('another number of shards, or workers that join, are refused while the run is unfinished', async () => {
    const folder = project();
    const run = (...args: string[]): ReturnType<typeof oxiflow> =>
      oxiflow(['run', 'orders', '--invocation', 'a', ...args], { cwd: folder });
    expect((await run('--shard', '0/3', '--same-host')).code).toBe(0);
    const other = await run('--shard', '0/4', '--same-host');
    expect(other.code).toBe(2);
    expect(other.stderr).toContain('cut for 3 shards');
    expect((await run('--join')).code).toBe(2);
    const alone = await run();
    expect(alone.code).toBe(2);
    expect(alone.stderr).toContain('shared by several workers');
    expect(outputs(folder)).toEqual(['kept-00000-of-00003.ndjson']);
  });

  test('a finished run is not begun again by a shard that does not say whether it is meant', async () => {
    const folder = project();
    for (const i of [0, 1])
      expect((await oxiflow(['run', 'orders', '--shard', `${i}/2`, '--same-host'], { cwd: folder })).code).toBe(0);
    const ended = await oxiflow(['run', 'orders', '--shard', '0/2', '--same-host'], { cwd: folder });
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('--invocation');
  });

  test('there may be more shards than records', async () => {
    const folder = project();
    writeFileSync(join(folder, 'in.ndjson'), '{"id":0}\n{"id":3}\n');
    for (const i of [0, 1, 2, 3])
      expect((await oxiflow(['run', 'orders', '--shard', `${i}/4`, '--same-host'], { cwd: folder })).code).toBe(0);
    expect(outputs(folder)).toHaveLength(4);
    expect(idsOf(folder)).toEqual([0, 3]);
  });
});

describe('what can not be is refused before anything starts', () => {
  test.each([
    [['--join', '--workers', '2'], 'exclude each other'],
    [['--join', '--shard', '0/2'], 'exclude each other'],
    [['--shard', '2/2'], 'I from 0 to N - 1'],
    [['--shard', '1'], 'I from 0 to N - 1'],
    [['--workers', '0'], 'whole number'],
    [['--splits', '4'], '--workers N or --join'],
    [['--shard', '0/2', '--splits', '4'], 'leave --splits out'],
    [['--join', '--limit', '5'], '--limit'],
    [['--join', '--fresh'], '--invocation'],
    [['--join', '--same-host'], '--same-host needs --shard'],
    [['--shard', '0/2'], ".oxiflow/state.db is this host's alone"],
    [['--shard', '0/2', '--state-backend', 'file'], ".oxiflow/state is this host's alone"],
    [['--shard', '0/2', '--dry-run'], 'or add --same-host'],
  ])('%j', async (args, sentence) => {
    const folder = project();
    const ended = await oxiflow(['run', 'orders', ...args], { cwd: folder });
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain(sentence);
    expect(readdirSync(folder).sort()).toEqual(['in.ndjson', 'oxiflow.yaml', 'pipelines']);
  });

  test('a pipeline whose records come only once', async () => {
    const folder = project();
    const pipeline = join(folder, 'pipelines/orders.yaml');
    const text = readFileSync(pipeline, 'utf8').replace(/- name: read_file\n.*\n/, '- name: read_stdin\n');
    writeFileSync(pipeline, text);
    const ended = await oxiflow(['run', 'orders', '--join'], { cwd: folder, input: '{"id":3}\n' });
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('gives its input once');
    expect(readdirSync(folder)).not.toContain('out');
  });

  test('an unfinished run of one worker is not joined', async () => {
    const folder = project(undefined, true);
    const { child, ended } = start(['run', 'orders', '--drain-timeout', '500ms'], { cwd: folder });
    await until('the run is there', async () => {
      const { code } = await oxiflow(['status', '--run-key', 'orders'], { cwd: folder });
      return code === 0 ? true : undefined;
    });
    child.kill('SIGTERM');
    await ended;
    const joined = await oxiflow(['run', 'orders', '--join'], { cwd: folder });
    expect(joined.code).toBe(2);
    expect(joined.stderr).toContain('begun by one worker');
  });
});
