/** `oxiflow run`: what goes in, which option wins, what comes out on which stream. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { GOOD_OUTPUT, GOOD_PROJECT, write } from './cases/case.ts';
import { folder, jsonLines, NODE, oxiflow, PROGRAM, pipelineOf, shell, snapshot } from './program.ts';

function day(name: string, ...orders: number[]): Record<string, string> {
  return { [`input/${name}`]: orders.map((order) => `{"order":${order}}\n`).join('') };
}

/** What a run of all files that `path` names has read, in order. */
async function ordersOf(path: string | string[], files: Record<string, string>): Promise<number[]> {
  const root = folder({
    'oxiflow.yaml': 'project: { name: shop }\n',
    'pipelines/orders.yaml': pipelineOf([['read_file', { path }], ['parse_json'], write]),
    ...files,
  });
  const { code, stderr } = await oxiflow(['run', 'orders', '-q'], { cwd: root });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return jsonLines(readFileSync(join(root, 'output/large.ndjson'), 'utf8')).map(({ order }) => Number(order));
}

describe('what is read', () => {
  const week = { ...day('mon.ndjson', 1, 2), ...day('tue.ndjson', 3), ...day('wed.ndjson', 4), ...day('note.txt', 9) };

  test.concurrent('files of a pattern come in the order of their names', async () => {
    expect(await ordersOf('input/*.ndjson', week)).toEqual([1, 2, 3, 4]);
  });
  test.concurrent('files of a list come in the order of the list', async () => {
    expect(await ordersOf(['input/wed.ndjson', 'input/mon.ndjson'], week)).toEqual([4, 1, 2]);
  });
  test.concurrent('a file whose name is a pattern is that file', async () => {
    expect(await ordersOf('input/[a].ndjson', { ...day('[a].ndjson', 5), ...day('a.ndjson', 6) })).toEqual([5]);
  });
  test.concurrent('a file without a line feed at its end does not join the next one', async () => {
    const files = { 'input/a.ndjson': '{"order":1}', 'input/b.ndjson': '{"order":2}' };
    expect(await ordersOf('input/*.ndjson', files)).toEqual([1, 2]);
  });
  test.concurrent('a pipeline is found by a path from the working folder, its project above it', async () => {
    const root = folder({ ...prefixed('shop', GOOD_PROJECT) });
    const { code } = await oxiflow(['run', 'shop/pipelines/orders.yaml', '-q'], { cwd: root });
    expect(code).toBe(0);
    expect(snapshot(root)['shop/output/large.ndjson']).toBe(GOOD_OUTPUT);
  });
  test.concurrent('a pipeline is found by its name from a folder below the project', async () => {
    const root = folder(GOOD_PROJECT);
    const { code } = await oxiflow(['run', 'orders', '-q'], { cwd: join(root, 'input') });
    expect(code).toBe(0);
    expect(snapshot(root)['output/large.ndjson']).toBe(GOOD_OUTPUT);
  });
  test.concurrent('--project names the project from anywhere', async () => {
    const root = folder({ ...prefixed('shop', GOOD_PROJECT), 'pipelines/orders.yaml': 'of another project' });
    const { code } = await oxiflow(['run', 'orders', '-q', '--project', 'shop'], { cwd: root });
    expect(code).toBe(0);
    expect(snapshot(root)['shop/output/large.ndjson']).toBe(GOOD_OUTPUT);
  });
});

function prefixed(name: string, files: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(files).map(([path, text]) => [`${name}/${path}`, text]));
}

describe('which value wins', () => {
  const layers: [string, string[], Record<string, string>][] = [
    ['project', [], {}],
    ['pipeline', [], {}],
    ['env-file', ['--env-file', 'who.env'], {}],
    ['environment', [], { WHO: 'environment' }],
    ['param', ['--param', 'WHO=param'], {}],
    ['set', ['--set', 'write_file.path=output/set.ndjson'], {}],
  ];

  test.concurrent.each(layers.map(([name], count) => [name, count] as const))(
    '%s is stronger than all that come before it',
    async (name, strongest) => {
      const given = layers.slice(0, strongest + 1);
      const has = (layer: string): boolean => given.some(([other]) => other === layer);
      const root = folder({
        ...GOOD_PROJECT,
        'oxiflow.yaml': 'environment:\n  WHO: project\n',
        'who.env': 'WHO=env-file\n',
        'pipelines/orders.yaml': pipelineOf(
          [
            ['read_file', { path: 'input/orders.ndjson' }],
            ['parse_json'],
            ['write_file', { path: 'output/${WHO}.ndjson' }],
          ],
          {
            ...(has('pipeline') ? { environment: { WHO: 'pipeline' } } : {}),
            ...(has('param') ? { parameters: { WHO: { type: 'string', default: 'nobody' } } } : {}),
          },
        ),
      });
      const args = given.flatMap(([, options]) => options);
      const env = Object.assign({}, ...given.map(([, , variables]) => variables)) as Record<string, string>;
      const { code, stderr } = await oxiflow(['run', 'orders', '-q', ...args], { cwd: root, env });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(Object.keys(snapshot(root)).filter((path) => path.startsWith('output/'))).toEqual([
        `output/${name}.ndjson`,
      ]);
    },
  );

  test.concurrent('parameters have the types that the pipeline declares', async () => {
    const set = {
      day: 'params.day',
      least: 'params.least + 1',
      strict: 'params.strict ? "yes" : "no"',
      rate: 'params.rate / 2',
    };
    const root = folder({
      ...GOOD_PROJECT,
      'pipelines/orders.yaml': pipelineOf(
        [
          ['read_file', { path: 'input/orders.ndjson' }],
          ['parse_json'],
          ['filter', { where: 'order == 1' }],
          ['map', { set, select: Object.keys(set) }],
          write,
        ],
        {
          parameters: {
            day: { type: 'date', default: '2026-01-01' },
            least: { type: 'int', default: 1 },
            strict: { type: 'bool', default: false },
            rate: { type: 'float', default: 1 },
          },
        },
      ),
    });
    const params = ['day=2026-03-01', 'least=41', 'strict=true', 'rate=2.5'].flatMap((text) => ['--param', text]);
    expect((await oxiflow(['run', 'orders', '-q', ...params], { cwd: root })).code).toBe(0);
    expect(snapshot(root)['output/large.ndjson']).toBe('{"day":"2026-03-01","least":42,"strict":"yes","rate":1.25}\n');
  });

  test.concurrent('--set takes lists and maps as JSON, and text as it stands', async () => {
    const root = folder({ ...GOOD_PROJECT, ...day('mon.ndjson', 7), ...day('tue.ndjson', 8) });
    const sets = ['read_file.path=["input/tue.ndjson","input/mon.ndjson"]', 'filter.where=order > 0 && true == true'];
    const args = sets.flatMap((text) => ['--set', text]);
    expect((await oxiflow(['run', 'orders', '-q', ...args], { cwd: root })).code).toBe(0);
    expect(snapshot(root)['output/large.ndjson']).toBe('{"order":8}\n{"order":7}\n');
  });
});

test('the file of the program is a command, and no option of its is taken for one of Node', async () => {
  const root = folder({ ...GOOD_PROJECT, 'shop.env': 'A="1\n' });
  const env = { PATH: `${dirname(NODE)}:${process.env.PATH}` };
  const { code, stderr } = await shell(`'${PROGRAM}' run orders --env-file shop.env`, { cwd: root, env });
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: 'shop.env:1: has a quote that is not closed, or text behind it\n',
  });
  expect((await shell(`'${PROGRAM}' run orders --env-file none.env`, { cwd: root, env })).code).toBe(2);
});

describe('how much is done', () => {
  test.concurrent('--limit reads no more records than that', async () => {
    const root = folder(GOOD_PROJECT);
    const { stdout } = await oxiflow(['run', 'orders', '-q', '--json', '--limit', '1'], { cwd: root });
    expect(jsonLines(stdout)[0]).toMatchObject({ status: 'succeeded', counters: { total: { added: 1, out: 1 } } });
    expect(snapshot(root)['output/large.ndjson']).toBe('{"order":1,"total":12.5}\n');
  });
  test.concurrent('--dry-run prints the plan and writes nothing at all', async () => {
    const root = folder(GOOD_PROJECT);
    const before = snapshot(root);
    const { code, stdout, stderr } = await oxiflow(['run', 'orders', '--dry-run'], { cwd: root });
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toContain('source  read_file: input/orders.ndjson, 70 B');
    expect(stderr).toContain('sink    write_file');
    expect(snapshot(root)).toEqual(before);
    expect(existsSync(join(root, '.oxiflow'))).toBe(false);
  });
  test.concurrent('--dry-run fails where a run would be refused', async () => {
    const root = folder({ ...GOOD_PROJECT, 'output/large.ndjson/notes.txt': 'a folder' });
    const { code, stderr } = await oxiflow(['run', 'orders', '--dry-run'], { cwd: root });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'step "write_file": output/large.ndjson is a folder; name a file\n',
    });
  });
  test.concurrent('--dry-run --json prints the plan as one document', async () => {
    const root = folder(GOOD_PROJECT);
    const { stdout, stderr } = await oxiflow(['run', 'orders', '--dry-run', '--json'], { cwd: root });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({ name: 'orders', inputs: [{ name: 'input/orders.ndjson', size: 70 }] });
  });
  test.concurrent('--threads changes nothing about the output', async () => {
    const records = Array.from({ length: 60_000 }, (_, order) => `{"order":${order},"total":${order % 40}}\n`);
    const files = { ...GOOD_PROJECT, 'input/orders.ndjson': records.join('') };
    const [one = '', four = ''] = await Promise.all(
      ['1', '4'].map(async (threads) => {
        const root = folder(files);
        expect((await oxiflow(['run', 'orders', '-q', '--threads', threads], { cwd: root })).code).toBe(0);
        return snapshot(root)['output/large.ndjson'];
      }),
    );
    expect(one).toBe(records.filter((_, order) => order % 40 > 10).join(''));
    expect(four === one).toBe(true);
  });
  test.concurrent('a run that has finished under an invocation is not repeated for it', async () => {
    const root = folder(GOOD_PROJECT);
    const args = ['run', 'orders', '-q', '--json', '--invocation', 'monday'];
    const first = JSON.parse((await oxiflow(args, { cwd: root })).stdout);
    const second = await oxiflow(args, { cwd: root });
    expect(second.code).toBe(0);
    expect(JSON.parse(second.stdout)).toEqual({ ...first, attempt: 2 });
    const third = JSON.parse((await oxiflow([...args.slice(0, -1), 'tuesday'], { cwd: root })).stdout);
    expect(third.run_id).not.toBe(first.run_id);
  });
});

describe('what is told', () => {
  test.concurrent('without a terminal a short run is a few plain lines at its end', async () => {
    const root = folder(GOOD_PROJECT);
    const { stdout, stderr } = await oxiflow(['run', 'orders'], { cwd: root });
    expect(stdout).toBe('');
    const lines = stderr.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^orders: done, 3 read, 2 written, [\d.]+ s$/);
    expect(lines[1]).toMatch(/^ {2}oxi +in +out +filtered +records\/s +time( +waits for)?$/);
    expect(lines.slice(2, 6).map((line) => line.trim().split(/\s+/).slice(0, 3).join(' '))).toEqual([
      'read_file 3 3',
      'parse_json 3 3',
      'filter 3 2',
      'write_file 2 2',
    ]);
    expect(lines[6]).toBe(`${root}/output/large.ndjson: 2 records, 48 B`);
    expect(lines.length).toBe(7);
    expect([...stderr].filter((sign) => sign < ' ' && sign !== '\n')).toEqual([]);
  });
  test.concurrent('-q says nothing of a run that succeeds', async () => {
    const { code, stdout, stderr } = await oxiflow(['run', 'orders', '-q'], { cwd: folder(GOOD_PROJECT) });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '', stderr: '' });
  });
  test.concurrent('-v tells of settings without effect', async () => {
    const files = { ...GOOD_PROJECT, 'oxiflow.yaml': 'analytics:\n  enabled: true\n' };
    const quiet = await oxiflow(['run', 'orders'], { cwd: folder(files) });
    const verbose = await oxiflow(['run', 'orders', '-v'], { cwd: folder(files) });
    expect(quiet.stderr).not.toContain('analytics');
    expect(verbose.stderr).toContain('oxiflow.yaml:1: "analytics" is read but has no effect yet');
  });
  test.concurrent('--log-format json writes nothing but JSON lines to stderr, errors too', async () => {
    const root = folder({ ...GOOD_PROJECT, 'input/orders.ndjson': '{"order":1}\n' });
    const { code, stderr } = await oxiflow(['run', 'orders', '-v', '--log-format', 'json'], { cwd: root });
    expect(code).toBe(3);
    const lines = jsonLines(stderr);
    expect(lines.at(-1)).toMatchObject({
      level: 'error',
      message: expect.stringContaining('the field "total" is not in'),
    });
    for (const line of lines) expect(line).toMatchObject({ ts: expect.any(String), message: expect.any(String) });
  });
  test.concurrent('--log-format json holds for what is wrong before anything starts', async () => {
    const root = folder({ ...GOOD_PROJECT, 'input/orders.ndjson': '' });
    const args = ['run', 'orders', '--log-format', 'json', '--set', 'read_file.path=input/rides.ndjson'];
    const { code, stderr } = await oxiflow(args, { cwd: root });
    expect(code).toBe(1);
    expect(jsonLines(stderr)).toMatchObject([
      {
        level: 'error',
        code: 'INPUT_MISSING',
        message: `step "read_file": input/rides.ndjson: no such file (looked in ${root}); correct "path", or put the file there`,
      },
    ]);
  });
  test.concurrent('--json is one document on stdout, --summary the same in a file', async () => {
    const root = folder(GOOD_PROJECT);
    const args = ['run', 'orders', '--json', '--summary', 'summary.json', '--run-key', 'orders-monday'];
    const { stdout } = await oxiflow(args, { cwd: root });
    const document = JSON.parse(stdout);
    expect(stdout.endsWith('}\n') && stdout.split('\n').length === 2).toBe(true);
    expect(readFileSync(join(root, 'summary.json'), 'utf8')).toBe(stdout);
    expect(document).toMatchObject({
      pipeline: 'orders',
      run_key: 'orders-monday',
      run_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      attempt: 1,
      status: 'succeeded',
      exit_code: 0,
      checkpoint: 1,
      counters: {
        total: { added: 3, out: 2, filtered: 1, dropped: 0, failed: 0, in_flight: 0 },
        steps: [{ step: 'read_file' }, { step: 'parse_json' }, { step: 'filter' }, { step: 'write_file' }],
      },
      durations: { attempt_ms: expect.any(Number), total_ms: expect.any(Number) },
      outputs: [{ step: 'write_file', path: `${root}/output/large.ndjson`, rows: 2, bytes: 48 }],
    });
  });
  test.concurrent('--json and --summary tell of a failed run too, with its exit code', async () => {
    const root = folder({ ...GOOD_PROJECT, 'input/orders.ndjson': '{"order":1}\n' });
    const { code, stdout } = await oxiflow(['run', 'orders', '-q', '--json', '--summary', 's.json'], { cwd: root });
    expect(code).toBe(3);
    const error = { code: 'RECORD_INVALID', message: expect.stringContaining('"total" is not in this record') };
    expect(JSON.parse(stdout)).toMatchObject({ status: 'failed', exit_code: 3, error });
    expect(readFileSync(join(root, 's.json'), 'utf8')).toBe(stdout);
  });
});

describe('between two pipes', () => {
  const files = {
    'oxiflow.yaml': 'project: { name: shop }\n',
    'pipelines/large.yaml': pipelineOf([
      ['read_stdin'],
      ['parse_json'],
      ['filter', { where: 'total > 10' }],
      ['write_stdout'],
    ]),
    'orders.ndjson': GOOD_PROJECT['input/orders.ndjson'] ?? '',
  };

  test.concurrent('records come in on stdin and leave on stdout, and nothing else does', async () => {
    const { code, stdout } = await shell('cat orders.ndjson | oxiflow run large | cat', { cwd: folder(files) });
    expect({ code, stdout }).toEqual({ code: 0, stdout: GOOD_OUTPUT });
  });
  test.concurrent('an empty stdin is an empty stream', async () => {
    const { code, stdout } = await shell('oxiflow run large -q < /dev/null', { cwd: folder(files) });
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  });
  test.concurrent('a batch that only time ends is through before the next record is written', async () => {
    const batched = pipelineOf([
      ['read_stdin'],
      ['parse_json'],
      ['batch', { strategy: 'time', flush_interval_ms: 50, emit: 'array' }],
      ['write_stdout'],
    ]);
    const root = folder({ ...files, 'pipelines/large.yaml': batched });
    // Two records, and no more until the batch of both has come out at the other end.
    const producer = `{ printf '{"n":1}\\n{"n":2}\\n'; read -r < gate; printf '{"n":3}\\n'; }`;
    const consumer = `{ read -r first; echo "got $first"; echo open > gate; cat; }`;
    const { code, stdout } = await shell(`mkfifo gate; ${producer} | oxiflow run large -q | ${consumer}`, {
      cwd: root,
    });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'got [{"n":1},{"n":2}]\n[{"n":3}]\n' });
  });
  test.runIf(process.platform === 'linux')(
    'one that is closed from the start is said before anything starts',
    async () => {
      const root = folder({
        ...files,
        'pipelines/file.yaml': pipelineOf([
          ['read_file', { path: 'orders.ndjson' }],
          ['write_file', { path: 'out' }],
        ]),
      });
      for (const [line, who] of [
        ['oxiflow run large -q < orders.ndjson >&-', 'step "write_stdout"'],
        ['oxiflow run file -q --json >&-', '--json'],
        ['oxiflow run file -q --json --dry-run >&-', '--json'],
      ] as const) {
        const { code, stderr } = await shell(line, { cwd: root });
        expect(stderr).toBe(
          `standard output is closed and ${who} wants it: send it to a file or a program, or throw it away with > /dev/null\n`,
        );
        expect(code).toBe(2);
      }
      expect(existsSync(join(root, 'out'))).toBe(false);
      for (const line of ['oxiflow run file -q >&-', 'oxiflow run large -q < orders.ndjson > /dev/null'])
        expect(await shell(line, { cwd: root })).toMatchObject({ code: 0, stderr: '' });
    },
  );
  test.concurrent('a record is through before the next one is written', async () => {
    const root = folder(files);
    const producer = `{ head -1 orders.ndjson; read -r < gate; tail -n +2 orders.ndjson; }`;
    const consumer = `{ read -r first; echo "got $first"; echo open > gate; cat; }`;
    const { code, stdout } = await shell(`mkfifo gate; ${producer} | oxiflow run large -q | ${consumer}`, {
      cwd: root,
    });
    expect({ code, stdout }).toEqual({ code: 0, stdout: `got ${GOOD_OUTPUT}` });
  });
  test.concurrent('a reader that goes away ends the run with one sentence', async () => {
    const many = Array.from({ length: 200_000 }, (_, order) => `{"order":${order},"total":40}\n`).join('');
    const root = folder({ ...files, 'orders.ndjson': many });
    const line = 'cat orders.ndjson | oxiflow run large -q | head -1; echo "${PIPESTATUS[1]}"';
    const { stdout, stderr } = await shell(line, { cwd: root });
    expect(stdout).toBe('{"order":0,"total":40}\n1\n');
    expect(stderr).toMatch(/^\S+Z error: standard output: closed by its reader\n$/);
  });
  test.concurrent('a stdout that is full is said to be', async () => {
    const line = 'oxiflow run large -q < orders.ndjson > /dev/full';
    const { code, stderr } = await shell(line, { cwd: folder(files) });
    expect(code).toBe(1);
    expect(stderr).toMatch(/error: standard output: no space left on the disk/);
  });
  test.concurrent('a stderr that nobody reads changes nothing', async () => {
    const root = folder(files);
    const { code, stdout } = await shell('oxiflow run large -v < orders.ndjson 2> >(exec 0<&-; true)', { cwd: root });
    expect({ code, stdout }).toEqual({ code: 0, stdout: GOOD_OUTPUT });
  });
});
