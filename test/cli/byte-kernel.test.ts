/** Where the byte kernel can't run, everything goes the way of values, and `info` says so; only who insists on it is refused. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { folder, oxiflow, PROGRAM, pipelineOf } from './program.ts';

const CODE = join(dirname(PROGRAM), 'kernel.wasm');
const code = readFileSync(CODE);

const PIPELINE = pipelineOf([
  ['read_file', { path: 'rides.ndjson' }],
  ['parse_json', {}],
  ['filter', { where: 'km > 10' }],
  ['map', { set: { miles: 'round(km / 1.609, 2)' } }],
  ['write_file', { path: 'long.ndjson' }],
] as never);
const RIDES = Array.from({ length: 20_000 }, (_, i) => `{"km":${i % 40},"city":"Faro"}\n`).join('');

const project = (): string => folder({ 'oxiflow.yaml': '', 'pipelines/rides.yaml': PIPELINE, 'rides.ndjson': RIDES });

afterEach(() => writeFileSync(CODE, code));

/** A module without anything. */
const EMPTY_MODULE = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);

const lacks: [what: string, lose: () => void, nodeOptions: string[], why: string][] = [
  ['its code is missing', () => renameSync(CODE, `${CODE}.away`), [], "its code can't be read"],
  ['its code is damaged', () => writeFileSync(CODE, code.subarray(0, 1000)), [], "its code can't be compiled"],
  ['its code is of another build', () => writeFileSync(CODE, EMPTY_MODULE), [], 'its code is of another build'],
  ['Node runs without WebAssembly', () => undefined, ['--jitless'], 'this Node has no WebAssembly'],
];

describe.each(lacks)('when %s', (_what, lose, nodeOptions, why) => {
  test('a run goes the way of values', async () => {
    const cwd = project();
    const usual = await oxiflow(['run', 'rides'], { cwd });
    expect(usual.code, usual.stderr).toBe(0);
    const expected = readFileSync(join(cwd, 'long.ndjson'));
    lose();
    const other = project();
    const { code: exit, stderr } = await oxiflow(['run', 'rides'], { cwd: other, nodeOptions });
    expect(exit, stderr).toBe(0);
    expect(readFileSync(join(other, 'long.ndjson')).equals(expected)).toBe(true);
  });

  test('info says why, and OXIFLOW_TIER=bytes is refused in one sentence', async () => {
    lose();
    const cwd = project();
    const info = await oxiflow(['pipeline', 'info', 'rides', '--explain'], { cwd, nodeOptions });
    expect(info.stdout.replaceAll(/\s+/g, ' ')).toContain(`map: values: the byte kernel can't run here: ${why}`);
    const forced = await oxiflow(['run', 'rides'], { cwd, nodeOptions, env: { OXIFLOW_TIER: 'bytes' } });
    expect(forced.code).toBe(2);
    expect(forced.stderr).toContain(`OXIFLOW_TIER is "bytes", and the byte kernel can't run here: ${why}`);
  });
});

test('without memory for it a run goes the way of values, and OXIFLOW_TIER=bytes is refused', async () => {
  const cwd = project();
  // As many pages as the kernel begins with: it can't grow.
  const nodeOptions = ['--wasm-max-mem-pages=16'];
  const { code: exit, stderr } = await oxiflow(['run', 'rides'], { cwd, nodeOptions });
  expect(exit, stderr).toBe(0);
  expect(readFileSync(join(cwd, 'long.ndjson'), 'utf8').split('\n')).toHaveLength(14_501);
  const forced = await oxiflow(['run', 'rides', '--fresh'], { cwd, nodeOptions, env: { OXIFLOW_TIER: 'bytes' } });
  expect(forced.code).toBe(2);
  expect(forced.stderr).toContain("the byte kernel can't run here: there is no memory for it");
});

describe('info', () => {
  const explained = async (files: Record<string, string>, env: Record<string, string> = {}): Promise<string> => {
    const { stdout } = await oxiflow(['pipeline', 'info', 'rides', '--explain'], {
      cwd: folder({ 'oxiflow.yaml': '', ...files }),
      env,
    });
    return stdout.replaceAll(/\s+/g, ' ');
  };
  const withParser = (config: object): string => PIPELINE.replace('"config":{}', `"config":${JSON.stringify(config)}`);

  test('claims the kernel where lines come in, and where records come cut', async () => {
    const lines = { 'pipelines/rides.yaml': PIPELINE, 'rides.ndjson': RIDES };
    expect(await explained(lines)).toMatch(/filter: bytes (?!:)/);
    expect(await explained(lines, { OXIFLOW_TIER: 'values' })).toContain('filter: values: OXIFLOW_TIER says so');
    const array = {
      'pipelines/rides.yaml': PIPELINE.replaceAll('rides.ndjson', 'rides.json'),
      'rides.json': '[{"km":1}]',
    };
    const ofArray = await explained(array);
    expect(ofArray).toContain('parse_json: bytes: the input is one array, which one thread cuts into records');
    expect(ofArray).toMatch(/filter: bytes (?!:)/);
    expect(await explained(array, { OXIFLOW_TIER: 'values' })).toContain('filter: values: OXIFLOW_TIER says so');
    const missing = { 'pipelines/rides.yaml': PIPELINE };
    expect(await explained(missing)).toMatch(/filter: bytes (?!:)/);
  });

  test('tells of batches, limits and samples what they run on, and why', async () => {
    const withSteps = (
      steps: [string, object][],
      to = 'long.ndjson',
      from = 'rides.ndjson',
    ): Record<string, string> => ({
      'rides.ndjson': RIDES,
      'pipelines/rides.yaml': pipelineOf([
        from === '-' ? ['read_stdin', {}] : ['read_file', { path: from }],
        ['parse_json', { framing: 'lines' }],
        ...steps,
        ...(to === '-' ? [['write_stdout', {}]] : [['write_file', { path: to }]]),
      ] as never),
    });
    const arrays: [string, object] = ['batch', { emit: 'array', batch_size: 10 }];
    const rows: [steps: [string, object][], to: string, told: RegExp][] = [
      [[arrays], 'long.ndjson', /threads 1: those of the stage before it write its arrays .*batch: bytes (?!:)/],
      [[['filter', { where: 'km > 1' }], arrays, ['format_json', {}]], 'long.ndjson', /batch: bytes (?!:)/],
      [[['batch', {}]], 'long.ndjson', /batch: values: what it makes are no arrays/],
      [[['batch', { emit: 'array', strategy: 'any' }]], 'long.ndjson', /batch: values: a time may end its batches/],
      [[arrays, ['map', { set: { n: '1' } }]], 'long.ndjson', /batch: values: "map" works on what it makes/],
      [[arrays], '-', /batch: values: "write_stdout" writes to no plain file/],
      [[arrays], 'long.ndjson.gz', /batch: values: "write_file" writes to no plain file/],
      [
        [arrays, ['format_json', { framing: 'array' }]],
        'long.json',
        /batch: values: what "write_file" writes are no lines/,
      ],
      [[['sample', { rate: 0.5 }]], 'long.ndjson', /sample: bytes (?!:)/],
      [
        [
          ['filter', { where: 'km > 1' }],
          ['limit', { records: 3 }],
        ],
        'long.ndjson',
        /limit: bytes/,
      ],
      [
        [
          ['dedupe', { key: ['km'], within: 10 }],
          ['limit', { records: 3 }],
        ],
        'long.ndjson',
        /limit: values: what comes before it/,
      ],
    ];
    for (const [steps, to, told] of rows) expect(`${await explained(withSteps(steps, to))} `).toMatch(told);
    for (const from of ['-', 'rides.ndjson.gz'])
      expect(await explained(withSteps([arrays], 'long.ndjson', from))).toMatch(
        /batch: values: "read_\w+" reads nothing that/,
      );
    expect(await explained(withSteps([arrays]), { OXIFLOW_TIER: 'values' })).toContain(
      'batch: values: OXIFLOW_TIER says so',
    );
  });

  test('tells which steps have a script, and why', async () => {
    const files = {
      'pipelines/rides.yaml': PIPELINE.replace('km > 10', 'matches(city, \\"^F\\")'),
      'rides.ndjson': RIDES,
    };
    const text = await explained(files);
    expect(text).toContain('filter: spans: the kernel has no matches()');
    expect(text).toMatch(/map: bytes (?!:)/);
  });

  test.each([
    ['array', { framing: 'array' }, 'bytes: the input is one array, which one thread cuts into records'],
    [
      'comments',
      { allow_comments: true, framing: 'lines' },
      'bytes: the input is lines that have to be changed first, which one thread cuts into records',
    ],
    ['one level', { flatten: true, framing: 'lines' }, 'values: it works on whole blocks'],
  ])('says what a parser of %s runs on; what stands behind it has the kernel', async (_what, config, parser) => {
    const text = await explained({ 'pipelines/rides.yaml': withParser(config), 'rides.ndjson': RIDES });
    expect(text).toContain(`parse_json: ${parser}`);
    expect(text).toMatch(/filter: bytes (?!:)/);
  });

  const csv = (config: object, where = 'km > 10'): Record<string, string> => ({
    'pipelines/rides.yaml': pipelineOf([
      ['read_file', { path: 'rides.csv' }],
      ['parse_csv', { types: { km: 'float' }, ...config }],
      ['filter', { where }],
      ['write_file', { path: 'long.ndjson' }],
    ] as never),
    'rides.csv': 'km,at\n12,2026-01-01\n',
  });

  test('claims the kernel for rows of CSV in the usual dialect, with the steps behind them that fit', async () => {
    expect(await explained(csv({ delimiter: ';' }))).toMatch(/parse_csv: bytes tier filter: bytes (?!:)/);
    expect(await explained(csv({}, 'matches(at, "^2")'))).toMatch(/parse_csv: bytes tier filter: spans/);
    expect(await explained(csv({}), { OXIFLOW_TIER: 'values' })).toContain('parse_csv: values: OXIFLOW_TIER says so');
  });

  test('claims it for what is written as CSV, in quotes where they are needed', async () => {
    const to = (config: object): Record<string, string> => ({
      'pipelines/rides.yaml': pipelineOf([
        ['read_file', { path: 'rides.ndjson' }],
        ['parse_json', { framing: 'lines' }],
        ['format_csv', config],
        ['write_file', { path: 'rides.csv' }],
      ] as never),
      'rides.ndjson': RIDES,
    });
    expect(await explained(to({ columns: ['km'], delimiter: ';', quote_char: "'" }))).toMatch(/format_csv: bytes(?!:)/);
    for (const config of [{ quote_all: true }, { escape_formulas: true }])
      expect(await explained(to(config))).toContain(
        'format_csv: values: the kernel writes cells in quotes where they need them, and text as it is',
      );
    expect(await explained(to({}), { OXIFLOW_TIER: 'values' })).toContain('format_csv: values: OXIFLOW_TIER says so');
  });

  test.each([
    [{ quote_char: "'" }, '"quote_char" is another than the kernel knows'],
    [{ escape_char: '\\' }, 'it has an "escape_char"'],
    [{ comment_char: '#' }, 'it has a "comment_char"'],
    [{ trim_whitespace: true }, 'it has "trim_whitespace"'],
    [{ delimiter: '1' }, '"delimiter" is one that texts and numbers are made of'],
    [{ types: { at: 'timestamp' } }, '"types" makes "at" a timestamp'],
  ])('says why rows are nothing for the kernel: %j', async (config, why) => {
    const text = await explained(csv(config));
    expect(text).toContain(`parse_csv: values: ${why}`);
    expect(text).toMatch(/filter: bytes (?!:)/);
  });
});
