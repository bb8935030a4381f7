import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { OxiError } from '../../runner/engine/errors.ts';
import { runInMemory } from '../contract/golden-flow.ts';
import { folder, jsonLines, oxiflow, pipelineOf, snapshot, start } from './program.ts';

type Steps = Parameters<typeof pipelineOf>[0];

const ORDERS = [
  '{"order":0,"tags":[0],"total":"0"}',
  '{"order":1,"tags":[1],"total":"1"}',
  '{"order":2,"tags":[2],"total":"?","note":1}',
  '{"order":3,"tags":[3],"total":"3"}',
];

function shop(steps: Steps, rest: object = {}, files: Record<string, string> = {}): string {
  return folder({
    'oxiflow.yaml': 'project: {name: shop}\n',
    'input/orders.ndjson': ORDERS.map((order) => `${order}\n`).join(''),
    'pipelines/day.yaml': pipelineOf(steps, rest),
    ...files,
  });
}

const run = (cwd: string, ...more: string[]) => oxiflow(['run', 'day', ...more], { cwd });
const READ: Steps = [['read_file', { path: 'input/orders.ndjson' }], ['parse_json']];
const WRITE: Steps = [['write_file', { path: 'out/orders.ndjson' }]];

describe('retry_attempts', () => {
  test('a file that comes between two attempts is read', async () => {
    const patient = { retry_attempts: 1000, retry_delay_seconds: 0.02 };
    const cwd = shop([['read_file', { path: 'input/late.ndjson' }, patient], ['parse_json'], ...WRITE]);
    const { child, ended } = start(['run', 'day', '--json'], { cwd });
    child.stderr?.on('data', (said: Buffer) => {
      if (said.includes('trying again') && !existsSync(join(cwd, 'input/late.ndjson')))
        copyFileSync(join(cwd, 'input/orders.ndjson'), join(cwd, 'input/late.ndjson'));
    });
    const { code, stderr, stdout } = await ended;
    expect(stderr).toMatch(
      /step "read_file": input\/late\.ndjson: no such file .*: trying again in \d+ ms \(attempt 1 of 1000\)/,
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout).counters.total).toMatchObject({ added: 4, out: 4 });
  });

  test('a file that does not come ends the run when they are used up', async () => {
    const cwd = shop([
      ['read_file', { path: 'no/such.ndjson' }, { retry_attempts: 2, retry_delay_seconds: 0.01 }],
      ['parse_json'],
      ...WRITE,
    ]);
    const { code, stderr } = await run(cwd);
    expect(code).toBe(1);
    expect(stderr.match(/trying again/g)).toHaveLength(2);
  });

  test('a program that fails is started again, and no record is lost or doubled', async () => {
    const script = 'if [ -e ok ]; then exec cat; else touch ok; read line; echo "$line"; exit 9; fi';
    const cwd = shop([
      ...READ,
      ['exec', { command: ['bash', '-c', script] }, { retry_attempts: 3, retry_delay_seconds: 0.01 }],
      ...WRITE,
    ]);
    const { code, stderr } = await run(cwd);
    expect(stderr).toContain('ended with code 9');
    expect(code).toBe(0);
    expect(snapshot(cwd)['out/orders.ndjson']).toBe(`${ORDERS.join('\n')}\n`);
  });
});

describe('timeout_seconds', () => {
  test('ends a program that answers nothing, and says what it waited for', async () => {
    const cwd = shop([...READ, ['exec', { command: ['sleep', '60'] }, { timeout_seconds: 0.2 }], ...WRITE]);
    const { code, stderr } = await run(cwd);
    expect(code).toBe(1);
    expect(stderr).toContain(
      'step "exec" took longer than 200 ms (timeout_seconds): "sleep" has answered 0 of 4 lines',
    );
  });

  test('ends a write that nobody takes', async () => {
    const orders = `{"order":"${'x'.repeat(1000)}"}\n`.repeat(4000);
    const cwd = shop([...READ, ['write_stdout', {}, { timeout_seconds: 0.5 }]], {}, { 'input/orders.ndjson': orders });
    const { ended } = start(['run', 'day'], { cwd, ownStdout: true });
    const { code, stderr } = await ended;
    expect(code).toBe(1);
    expect(stderr).toContain('step "write_stdout" took longer than 500 ms (timeout_seconds)');
  });
});

describe('continue_on_error', () => {
  const on = { continue_on_error: true };

  test('what a step fails at leaves it as it came in, whatever stands around it', async () => {
    const change = { set: { twice: 'order * 2' }, cast: { total: 'int' }, rename: { order: 'nr' }, drop: ['tags'] };
    const cwd = shop([
      ...READ,
      ['map', { set: { before: 'order + 1' } }, { id: 'before' }],
      ['map', change, { id: 'change', ...on }],
      ['filter', { where: 'nr % 2 == 1' }, on],
      ['validate', { fields: { total: 'int' } }, on],
      ['flatten', {}, on],
      ['map', { set: { after: 'true' } }, { id: 'after' }],
      ...WRITE,
    ]);
    const { code, stdout } = await run(cwd, '--json');
    expect(code).toBe(0);
    expect(snapshot(cwd)['out/orders.ndjson']?.split('\n')).toEqual([
      '{"nr":1,"total":1,"before":2,"twice":2,"after":true}',
      '{"order":2,"tags":"2","total":"?","note":1,"before":3,"after":true}',
      '{"nr":3,"total":3,"before":4,"twice":6,"after":true}',
      '',
    ]);
    const steps: { step: string; counters: Record<string, number> }[] = JSON.parse(stdout).counters.steps;
    expect(steps.map(({ step, counters }) => [step, counters.passed_on_error])).toEqual([
      ['read_file', 0],
      ['parse_json', 0],
      ['before', 0],
      ['change', 1],
      ['filter', 1],
      ['validate', 1],
      ['flatten', 0],
      ['after', 0],
      ['write_file', 0],
    ]);
  });

  /** Sixty rides as an array, to a disk that is away at these writes. */
  const toDisk = (away: (text: string, write: number) => boolean) => {
    let writes = 0;
    return runInMemory({
      name: 'rides.ndjson',
      output: 'rides.json',
      bytes: Buffer.from(Array.from({ length: 60 }, (_, ride) => `{"ride":${ride}}\n`).join('')),
      piece: 120,
      steps: [{ oxi: 'parse_json' }, { oxi: 'format_json', config: { framing: 'array' } }],
      last: on,
      writing: async (_sink, text) => {
        if (away(text, writes++)) throw new OxiError('IO_FAILED', 'the disk was away');
      },
    });
  };

  test('on a sink: what it could not write is counted as failed, and what it did write is a whole array', async () => {
    const { bytes, counters, errors } = await toDisk((text, write) => write % 2 === 0 && text.includes('ride'));
    const written = (JSON.parse(bytes.toString()) as { ride: number }[]).map(({ ride }) => ride);
    expect(written.length).toBeGreaterThan(0);
    expect(written.length).toBeLessThan(60);
    expect(written).toEqual([...new Set(written)].sort((a, b) => a - b));
    expect(counters.get('out_3')).toMatchObject({ in: 60, out: written.length, failed: 60 - written.length });
    expect(errors[0]).toMatch(/^the disk was away: \d+ records are not written \("continue_on_error"\)$/);
  });

  test('on a sink: an array whose end could not be written is none, and the run fails', async () => {
    await expect(toDisk((text) => !text.includes('ride'))).rejects.toThrow('the disk was away');
  });

  test('a record that is too large for a step passes it by', async () => {
    const large = JSON.stringify({ order: 1, image: 'x'.repeat(1 << 21) });
    const cwd = shop(
      [
        ...READ,
        ['map', { set: { twice: 'order * 2' } }, { ...on, max_memory_mb: 1 }],
        ['map', { set: { image: 'size(image)' } }],
        ...WRITE,
      ],
      {},
      { 'input/orders.ndjson': `{"order":0,"image":""}\n${large}\n{"order":2,"image":"a"}\n` },
    );
    expect((await run(cwd)).code).toBe(0);
    expect(jsonLines(snapshot(cwd)['out/orders.ndjson'] ?? '')).toEqual([
      { order: 0, image: 0, twice: 0 },
      { order: 1, image: 1 << 21 },
      { order: 2, image: 1, twice: 4 },
    ]);
  });

  test('excludes on_error', async () => {
    const { code, stderr } = await run(
      shop([...READ, ['filter', { where: 'true' }, { ...on, on_error: 'drop' }], ...WRITE]),
    );
    expect(code).toBe(2);
    expect(stderr).toContain('on_error and continue_on_error exclude each other');
  });
});

describe('max_errors', () => {
  test.each([
    [0, 3, '1 record was bad and "max_errors" allows 0'],
    ['1%', 3, '1 of 4 records was bad and "max_errors" allows 1 %'],
    [1, 0, 'day: done'],
    ['25%', 0, 'day: done'],
  ])('%s of one bad record in four: exit %i', async (max_errors, exit, says) => {
    const cwd = shop([...READ, ['map', { cast: { total: 'int' } }, { on_error: 'drop' }], ...WRITE], { max_errors });
    const { code, stderr } = await run(cwd);
    expect(stderr).toContain(says);
    expect(code).toBe(exit);
    expect(snapshot(cwd)['out/orders.ndjson'] === undefined).toBe(exit !== 0);
  });
});

describe('condition', () => {
  test.each([
    ['env.DAY == "monday"', true],
    ['env.DAY == "friday"', false],
    ['params.limit > 2', true],
    ['params.limit > 3', false],
    ['steps.read_file.size > 100', true],
    ['steps["read_file"].size > 1000', false],
  ])('%s: %s', async (condition, holds) => {
    const cwd = shop([...READ, ['limit', { records: 1 }, { condition }], ...WRITE], {
      environment: { DAY: 'monday' },
      parameters: { limit: { type: 'int', default: 3 } },
    });
    const { code, stderr } = await run(cwd);
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    expect(jsonLines(snapshot(cwd)['out/orders.ndjson'] ?? '')).toHaveLength(holds ? 1 : 4);
  });
});

test('the folder that the shell stands in is no secret, though it is called PWD', async () => {
  const cwd = shop([['read_file', { path: 'no/such.ndjson' }], ['parse_json'], ...WRITE]);
  const { stderr } = await oxiflow(['run', 'day'], { cwd, env: { PWD: cwd } });
  expect(stderr).toContain(cwd);
});

describe('what a step may use', () => {
  test('a record that is larger than the sink takes is refused there, and the others are written', async () => {
    const large = JSON.stringify({ order: 9, note: 'x'.repeat(3 << 20) });
    const cwd = shop(
      [
        ...READ,
        ['write_file', { path: 'out/orders.ndjson' }, { on_error: 'dead_letter', limits: { max_memory_mb: 2 } }],
      ],
      { dead_letter: { path: 'out/bad.ndjson' } },
      { 'input/orders.ndjson': `${ORDERS[0]}\n${large}\n${ORDERS[3]}\n` },
    );
    expect((await run(cwd)).code).toBe(0);
    expect(snapshot(cwd)['out/orders.ndjson']).toBe(`${ORDERS[0]}\n${ORDERS[3]}\n`);
    expect(jsonLines(snapshot(cwd)['out/bad.ndjson'] ?? '')).toMatchObject([{ step: 'write_file', code: 'TOO_LARGE' }]);
  });

  test('units of work at the same time are no more than it says', async () => {
    const cwd = shop([
      ...READ,
      ['map', { set: { a: 'order' }, threads: 4 }, { limits: { concurrent_operations: 1 } }],
      ...WRITE,
    ]);
    const { stdout } = await oxiflow(['pipeline', 'info', 'day', '--json'], { cwd });
    expect(JSON.parse(stdout).stages).toContainEqual(expect.objectContaining({ kind: 'stage', threads: 1 }));
  });
});

test('records go on as they came where a program fails for good and may', async () => {
  const cwd = shop([...READ, ['exec', { command: ['sh', '-c', 'exit 3'] }, { continue_on_error: true }], ...WRITE]);
  const { code, stdout } = await run(cwd, '--json');
  expect(code).toBe(0);
  expect(snapshot(cwd)['out/orders.ndjson']).toBe(`${ORDERS.join('\n')}\n`);
  const steps = JSON.parse(stdout).counters.steps as { step: string; counters: object }[];
  expect(steps.find(({ step }) => step === 'exec')?.counters).toMatchObject({ in: 4, out: 4, passed_on_error: 4 });
});

describe('CSV that is appended to a file', () => {
  const appending = (columns: unknown): Steps => [
    ...READ,
    ['format_csv', { columns }],
    ['write_file', { path: 'out/orders.csv', append: true }],
  ];

  test('has one header, that of the file', async () => {
    const cwd = shop(appending(['order', 'total']));
    for (let i = 0; i < 2; i++) expect((await run(cwd)).code).toBe(0);
    const rows = ['0,0', '1,1', '2,?', '3,3'];
    expect(snapshot(cwd)['out/orders.csv']).toBe(`${['order,total', ...rows, ...rows].join('\n')}\n`);
  });

  test('needs its columns named, so that they are in the order of the file', async () => {
    const cwd = shop(appending('auto'), {}, { 'out/orders.csv': 'order,tags,total\n' });
    const { code, stderr } = await run(cwd);
    expect(code).toBe(2);
    expect(stderr).toContain('name them ("columns: [...]")');
    expect(snapshot(cwd)['out/orders.csv']).toBe('order,tags,total\n');
  });
});

test.runIf(existsSync('/proc/self'))('a folder that can not be made ends the run, and does not hold it', async () => {
  // A folder there takes no others, whoever asks: only where the system has it.
  const cwd = shop([...READ, ['write_file', { path: '/proc/no/such/orders.ndjson' }]]);
  const { code, stderr } = await run(cwd);
  expect(code).not.toBe(0);
  expect(stderr).toContain('/proc/no/such/orders.ndjson');
});

test.runIf(existsSync('/proc/self')).each([
  ['sqlite', { path: '/proc/no/such/state.db' }],
  ['file', { base_path: '/proc/no/such/state' }],
])('a folder of state that can not be made ends the run, and does not hold it: %s', async (backend, section) => {
  const project = { project: { name: 'shop' }, state_manager: { backend, [backend]: section } };
  const cwd = shop([...READ, ...WRITE], {}, { 'oxiflow.yaml': JSON.stringify(project) });
  const { code, stderr } = await run(cwd);
  expect(code, stderr).toBe(69);
  expect(stderr).toContain('/proc/no/such');
});

test.runIf(existsSync('/proc/self'))('a folder of metrics that can not be made costs the metrics alone', async () => {
  const project = { project: { name: 'shop' }, monitoring: { metrics_file: '/proc/no/such/metrics.json' } };
  const cwd = shop([...READ, ...WRITE], {}, { 'oxiflow.yaml': JSON.stringify(project) });
  const { code, stderr } = await run(cwd);
  expect(code, stderr).toBe(0);
  expect(stderr).toContain("monitoring.metrics_file /proc/no/such/metrics.json: can't be written (ENOENT)");
});

test('a query whose memory is the least there is works on small records', async () => {
  const cwd = shop([...READ, ['json', { query: '.order' }, { max_memory_mb: 1 }], ...WRITE]);
  const { code, stderr } = await run(cwd);
  expect(code, stderr).toBe(0);
  expect(snapshot(cwd)['out/orders.ndjson']?.trimEnd().split('\n')).toHaveLength(ORDERS.length);
});

test('a query that uses up its memory is a record error, and nothing else is said on stderr', async () => {
  const cwd = shop([
    ...READ,
    ['json', { query: 'if .order == 2 then [range(30000000)] | length else . end' }, { on_error: 'drop' }],
    ['write_file', { path: 'out/orders.ndjson' }],
  ]);
  const { code, stderr } = await run(cwd);
  expect(code, stderr).toBe(0);
  expect(stderr).not.toContain('Aborted');
  expect(stderr).toContain('jq says: out of memory, or of stack, over this record');
  expect(snapshot(cwd)['out/orders.ndjson']).not.toContain('"order":2');
});

describe('max_memory_mb of a source is that of the longest record that it may hold', () => {
  const LONG = 1.5 * 1024 * 1024;
  const rides = { lines: `{"ride":1}\n{"ride":2,"note":"${'x'.repeat(LONG)}"}\n{"ride":3}\n`, name: 'rides.ndjson' };
  const rows = { lines: `ride,note\n1,\n2,${'x'.repeat(LONG)}\n3,\n`, name: 'rides.csv' };
  const list = { lines: `[{"ride":1},{"ride":2,"note":"${'x'.repeat(LONG)}"},{"ride":3}]`, name: 'rides.json' };

  const read = async (input: typeof rides, parser: string, threads: string, mb: number, fields: object) => {
    const cwd = shop(
      [
        ['read_file', { path: input.name }, { max_memory_mb: mb }],
        [parser, { max_record_mb: 4 }, fields],
        ['map', { select: ['ride'] }],
        ['write_file', { path: 'out/rides.ndjson' }],
      ],
      {},
      { [input.name]: input.lines },
    );
    const { code, stderr } = await run(cwd, '--threads', threads);
    return { code, stderr, out: snapshot(cwd)['out/rides.ndjson']?.replaceAll('"', '') };
  };

  test.each([
    ['lines', rides, 'parse_json', '1'],
    ['lines', rides, 'parse_json', '2'],
    ['rows', rows, 'parse_csv', '1'],
    ['rows', rows, 'parse_csv', '2'],
  ])('%s: a longer one is a record error, and the others are read', async (_what, input, parser, threads) => {
    const tight = await read(input, parser, threads, 1, { on_error: 'drop' });
    expect(tight.code, tight.stderr).toBe(0);
    expect(tight.out).toBe('{ride:1}\n{ride:3}\n');
    expect(tight.stderr).toContain(' is longer than 1048576 bytes');
    const wide = await read(input, parser, threads, 2, {});
    expect(wide.code, wide.stderr).toBe(0);
    expect(wide.out).toBe('{ride:1}\n{ride:2}\n{ride:3}\n');
  });

  test('of an array: a longer one breaks it', async () => {
    const { code, stderr } = await read(list, 'parse_json', '1', 1, { on_error: 'drop' });
    expect(code, stderr).toBe(3);
    expect(stderr).toContain('a record is larger than 1048576 bytes');
  });

  test('that of the parser means the same', async () => {
    const { code, stderr, out } = await read(rides, 'parse_json', '2', 4, { on_error: 'drop', max_memory_mb: 1 });
    expect(code, stderr).toBe(0);
    expect(out).toBe('{ride:1}\n{ride:3}\n');
    expect(stderr).toContain('a line is longer than 1048576 bytes');
  });
});

describe('names of fields that look like whole numbers', () => {
  const steps = (set: string): string => `
pipeline:
  - { name: read_file, config: { path: input/orders.ndjson } }
  - name: parse_json
  - { name: map, config: { select: [order] } }
  - { name: map, id: years, config: { set: ${set} } }
  - { name: map, config: { rename: { "2025": "9", order: "8" }, cast: { "2024": string, "8": string } } }
  - { name: validate, config: { fields: { "2024": any, "10": any, b: any } } }
  - { name: limit, config: { records: 1 } }
  - { name: write_file, config: { path: out/orders.ndjson } }
`;
  const project = (set: string) => shop([...READ, ...WRITE], {}, { 'pipelines/day.yaml': steps(set) });

  test('come out in the order in which they are written', async () => {
    const cwd = project('{ b: order, "2025": 1, "10": 2, "2024": 3, "01": 4 }');
    const { code, stderr } = await run(cwd);
    expect(code, stderr).toBe(0);
    expect(snapshot(cwd)['out/orders.ndjson']).toBe('{"8":0,"b":0,"9":1,"10":2,"2024":"3","01":4}\n');
  });
});

describe('what has no effect', () => {
  const idle: Steps = [
    ...READ,
    ['filter', { where: 'true' }, { timeout_seconds: 5 }],
    ['batch', { strategy: 'size', batch_size: 2, flush_interval_ms: 100, parallel_batches: 3 }],
    [
      'tee',
      {
        steps: [
          { name: 'batch', id: 'inner', config: { strategy: 'time', batch_size: 7 } },
          { name: 'write_file', id: 'copy', config: { path: 'out/copy.ndjson' } },
        ],
      },
    ],
    ...WRITE,
  ];
  const told = [
    'step "filter": "timeout_seconds" has no effect: "filter" waits for nothing outside',
    'step "batch": "flush_interval_ms" has no effect: the strategy "size" knows no time',
    'step "batch": "parallel_batches" has no effect: batches wait for nobody without "threads: 2"',
    'step "inner": "batch_size" has no effect: the strategy "time" knows no size; "max_batch_size" bounds every batch',
  ].map((text) => `pipelines/day.yaml:1: ${text}`);

  test('is said with -v and by pipeline test, and the run goes on', async () => {
    const cwd = shop(idle);
    const quiet = await run(cwd);
    expect(quiet.code).toBe(0);
    expect(quiet.stderr).not.toContain('no effect');
    const { code, stderr } = await run(cwd, '-v', '--fresh');
    expect(code).toBe(0);
    for (const text of told) expect(stderr).toContain(text);
    const checked = await oxiflow(['pipeline', 'test', 'day'], { cwd });
    expect(checked).toMatchObject({ code: 0, stderr: told.map((text) => `${text}\n`).join('') });
    const json = await oxiflow(['pipeline', 'test', 'day', '--json'], { cwd });
    expect(JSON.parse(json.stdout).pipelines).toMatchObject([{ pipeline: 'day', errors: [], notices: told }]);
  });

  test('is not said of what nobody has set, nor of what has one', async () => {
    const cwd = shop([
      ...READ,
      ['exec', { command: ['cat'] }, { timeout_seconds: 60 }],
      ['batch', { strategy: 'any', batch_size: 2, flush_interval_ms: 100, parallel_batches: 2, threads: 2 }],
      ['write_file', { path: 'out/orders.ndjson' }, { timeout_seconds: 60 }],
    ]);
    expect(await oxiflow(['pipeline', 'test', 'day'], { cwd })).toMatchObject({ code: 0, stderr: '' });
  });
});

test('more than two threads of a batch are refused: one takes in, the other hands on', async () => {
  const { code, stderr } = await run(shop([...READ, ['batch', { threads: 5 }], ...WRITE]));
  expect(stderr).toMatch(
    /^pipelines\/day\.yaml:1:\d+: "threads" of "batch" is 5 and may be 2 at most: one takes records in, the other hands batches on$/m,
  );
  expect(code).toBe(2);
});

test('--set reaches a step that stands in a tee', async () => {
  const cwd = shop([
    ...READ,
    [
      'tee',
      {
        steps: [
          { name: 'filter', id: 'few', config: { where: 'order > 100' } },
          { name: 'write_file', id: 'copy', config: { path: 'out/copy.ndjson' } },
        ],
      },
    ],
    ...WRITE,
  ]);
  const { code } = await run(cwd, '--set', 'few.where=order == 3', '--set', 'copy.path=out/three.ndjson');
  expect(code).toBe(0);
  const made = snapshot(cwd);
  expect(made['out/three.ndjson']).toBe(`${ORDERS[3]}\n`);
  expect(Object.keys(made).filter((name) => name.startsWith('out/'))).toEqual([
    'out/orders.ndjson',
    'out/three.ndjson',
  ]);
});

test('a program that hangs on one record costs that record: the others go on, and the letter says why', async () => {
  const program = `while read -r line; do case "$line" in *'?'*) sleep 999 ;; esac; printf '%s\\n' "$line"; done`;
  const step = { on_error: 'dead_letter', limits: { max_processing_time_ms: 1500 } };
  const cwd = shop([...READ, ['exec', { command: ['sh', '-c', program] }, step], ...WRITE], {
    dead_letter: { path: 'out/bad.ndjson' },
  });
  const { code, stderr } = await run(cwd);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const made = snapshot(cwd);
  expect(made['out/orders.ndjson']).toBe([ORDERS[0], ORDERS[1], ORDERS[3], ''].join('\n'));
  expect(jsonLines(made['out/bad.ndjson'] ?? '')).toMatchObject([{ step: 'exec', code: 'TIMEOUT', record: ORDERS[2] }]);
});

test('an empty run has no bottleneck', async () => {
  const cwd = shop([...READ, ...WRITE], {}, { 'input/orders.ndjson': '' });
  const { code, stdout, stderr } = await run(cwd, '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).not.toHaveProperty('bottleneck');
  expect(stderr).not.toContain('bottleneck');
});
