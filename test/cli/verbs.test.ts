/** The verbs beside `run`: what they print for people and for scripts, and what they leave alone. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { turnPage } from '../../runner/cli/help.ts';
import { wholeProgram } from '../../runner/cli/main.ts';
import { GOOD_PROJECT } from './cases/case.ts';
import { folder, oxiflow, REPOSITORY, snapshot } from './program.ts';

const VERBS = [
  ...['init', 'run', 'pipeline', 'preview', 'map', 'state', 'worker', 'status', 'cancel', 'pause', 'resume'],
  ...['history', 'doctor'],
  ...['oxi', 'schema', 'completion', 'version'],
];

describe('help', () => {
  const all = [
    ...VERBS,
    ...['list', 'add', 'test', 'info', 'manifest'].map((verb) => `pipeline ${verb}`),
    ...['show', 'list', 'cleanup', 'unlock', 'export', 'import', 'backup', 'restore', 'check', 'repair'].map(
      (verb) => `state ${verb}`,
    ),
    ...['list', 'show', 'stop'].map((verb) => `worker ${verb}`),
  ];

  test.concurrent.each(all)('of %s fits on a screen', async (verb) => {
    const { code, stdout, stderr } = await oxiflow([...verb.split(' '), '--help'], { cwd: folder({}) });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Usage: oxiflow ${verb} `));
    const lines = stdout.trimEnd().split('\n');
    expect(lines.length).toBeLessThanOrEqual(24);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });
  test('of every verb there is fits on 24 lines of 80 columns, and so does its second page', async () => {
    for (const turn of [() => undefined, turnPage]) {
      const program = await wholeProgram();
      turn(program);
      const tooLong: string[] = [];
      const visit = (command: Command, name: string): void => {
        let text = '';
        command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 80 });
        command.outputHelp();
        const lines = text.trimEnd().split('\n');
        if (lines.length > 24 || lines.some((line) => line.length > 80)) tooLong.push(`${name}: ${lines.length} lines`);
        expect(text).toMatch(/^Usage: /);
        for (const sub of command.commands) visit(sub, `${name} ${sub.name()}`);
      };
      for (const verb of program.commands) visit(verb, verb.name());
      expect(tooLong).toEqual([]);
    }
  });
  test.concurrent('of run has its rare options on a second page, and each option on one of them', async () => {
    const cwd = folder({});
    const [first, second] = await Promise.all(
      [[], ['--all']].map(async (more) => (await oxiflow(['run', '--help', ...more], { cwd })).stdout),
    );
    expect(first).toContain('More options: --help --all');
    expect(first).toContain('--dry-run');
    expect(second).toContain('--lease-wait');
    expect(second).not.toContain('--dry-run');
  });
  test.concurrent('of the program names every verb, and is there under three names', async () => {
    const cwd = folder({});
    const [long, short, word] = await Promise.all(
      [['--help'], ['-h'], ['help']].map(async (args) => (await oxiflow(args, { cwd })).stdout),
    );
    for (const verb of VERBS) expect(long).toMatch(new RegExp(`^ {2}${verb} +\\S`, 'm'));
    expect([short, word]).toEqual([long, long]);
    expect((long ?? '').split('\n').length).toBeLessThanOrEqual(24);
  });
  test.concurrent('of a verb is there as "help VERB" too', async () => {
    const cwd = folder({});
    const [option, word] = await Promise.all(
      [
        ['run', '--help'],
        ['help', 'run'],
      ].map(async (args) => (await oxiflow(args, { cwd })).stdout),
    );
    expect(word).toBe(option);
  });
  test.concurrent('stands on stderr where no verb was given, and the exit code is 2', async () => {
    const { code, stdout, stderr } = await oxiflow([], { cwd: folder({}) });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: oxiflow /);
  });
  test.concurrent.each(['pipeline', 'state', 'worker'])(
    'stands on stderr where %s has no verb of its own',
    async (verb) => {
      const { code, stdout, stderr } = await oxiflow([verb], { cwd: folder({}) });
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(new RegExp(`^Usage: oxiflow ${verb} `));
    },
  );
  test.concurrent('a mistyped verb of a verb gets the nearest one', async () => {
    const { code, stderr } = await oxiflow(['state', 'lst'], { cwd: folder({}) });
    expect(code).toBe(2);
    expect(stderr).toBe('oxiflow state: unknown command "lst"; did you mean list? oxiflow state --help shows how\n');
  });
});

test.concurrent('version tells the versions, as text and as JSON', async () => {
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'));
  const cwd = folder({});
  const [text, json, short] = await Promise.all(
    [['version'], ['version', '--json'], ['--version']].map(async (args) => (await oxiflow(args, { cwd })).stdout),
  );
  expect(text).toMatch(new RegExp(`^oxiflow ${version} \\(Node [\\d.]+\\)\\n$`));
  expect(JSON.parse(json ?? '')).toMatchObject({ oxiflow: version, platform: process.platform, arch: process.arch });
  expect(short).toBe(`${version}\n`);
});

describe('pipeline', () => {
  const files = {
    ...GOOD_PROJECT,
    'pipelines/nightly/rides.yaml': 'pipeline:\n  - name: read_file\n    config: { pth: rides.ndjson }\n',
  };

  test.concurrent('list shows every pipeline, also one with mistakes', async () => {
    const cwd = folder(files);
    const { code, stdout } = await oxiflow(['pipeline', 'list'], { cwd });
    expect(code).toBe(0);
    expect(stdout.split('\n').map((line) => line.trimEnd())).toEqual([
      'nightly/rides  has errors: oxiflow pipeline test',
      'orders         read_file -> parse_json -> filter -> write_file',
      '',
    ]);
    const json = await oxiflow(['pipeline', 'list', '--json'], { cwd });
    expect(JSON.parse(json.stdout)).toMatchObject([
      { name: 'nightly/rides', file: 'pipelines/nightly/rides.yaml', valid: false },
      { name: 'orders', valid: true, steps: ['read_file', 'parse_json', 'filter', 'write_file'] },
    ]);
  });
  test.concurrent('test checks all pipelines, and says what is wrong with which', async () => {
    const cwd = folder(files);
    const { code, stdout, stderr } = await oxiflow(['pipeline', 'test'], { cwd });
    expect({ code, stdout }).toEqual({
      code: 2,
      stdout: 'nightly/rides: 1 error\norders: good\n1 of 2 pipelines good, 1 error\n',
    });
    expect(stderr).toContain(
      'pipelines/nightly/rides.yaml:3:15: step "read_file": unknown field "pth"; did you mean "path"?',
    );
    const json = await oxiflow(['pipeline', 'test', '--json'], { cwd });
    expect({ code: json.code, stderr: json.stderr }).toEqual({ code: 2, stderr: '' });
    expect(JSON.parse(json.stdout).pipelines).toMatchObject([
      { pipeline: 'nightly/rides', errors: [expect.stringContaining('"pth"')] },
      { pipeline: 'orders', errors: [] },
    ]);
  });
  test.concurrent('test of one pipeline that is right succeeds, without its input', async () => {
    const { 'input/orders.ndjson': _, ...rest } = GOOD_PROJECT;
    const cwd = folder(rest);
    const before = snapshot(cwd);
    const { code, stdout, stderr } = await oxiflow(['pipeline', 'test', 'orders'], { cwd });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'orders: good\n', stderr: '' });
    expect(snapshot(cwd)).toEqual(before);
  });
  test.concurrent('info tells the plan, the input and what is guaranteed', async () => {
    const cwd = folder(GOOD_PROJECT);
    const { code, stdout } = await oxiflow(['pipeline', 'info', 'orders'], { cwd });
    expect(code).toBe(0);
    expect(stdout).toContain('source  read_file: input/orders.ndjson, 70 B');
    expect(stdout).toContain('stage   parse_json -> filter: 1 thread');
    expect(stdout).toContain('sink    write_file: every record once');
    const json = await oxiflow(['pipeline', 'info', 'orders', '--json'], { cwd });
    expect(JSON.parse(json.stdout)).toMatchObject({
      name: 'orders',
      resumable: true,
      inputs: [{ name: 'input/orders.ndjson', size: 70 }],
      stages: [{ kind: 'source' }, { kind: 'stage' }, { kind: 'sink', guarantee: 'truncate' }],
    });
  });
});

describe('state', () => {
  test.concurrent.each(['sqlite', 'file'])('in %s is shown, listed, and found to need no repair', async (backend) => {
    const cwd = folder(GOOD_PROJECT);
    const on = ['--state-backend', backend];
    await oxiflow(['run', 'orders', '-q', ...on], { cwd });
    const json = async (...args: string[]): Promise<Record<string, unknown>> => {
      const { code, stdout, stderr } = await oxiflow([...args, ...on, '--json'], { cwd });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return JSON.parse(stdout);
    };
    expect(await json('state', 'show', 'orders')).toMatchObject({
      status: 'finished',
      records_processed: 3,
      attempt: 1,
    });
    expect(await json('state', 'list')).toMatchObject({
      backend,
      runs: [{ run_key: 'orders', pipeline: 'orders', status: 'finished' }],
    });
    expect(await json('state', 'list', '--active')).toMatchObject({ runs: [] });
    expect(await json('state', 'repair', '--run-key', 'orders')).toEqual({
      run_key: 'orders',
      quarantined: [],
      restored: [],
    });
    expect(await json('status', '--run-key', 'orders')).toMatchObject({
      status: 'finished',
      cancel_requested: false,
      records: 3,
    });
    expect(await json('cancel', '--run-key', 'orders')).toEqual({
      run_key: 'orders',
      status: 'finished',
      requested: false,
    });
  });
  test.concurrent('is told to people in lines', async () => {
    const cwd = folder(GOOD_PROJECT);
    await oxiflow(['run', 'orders', '-q', '--run-key', 'monday'], { cwd });
    const show = await oxiflow(['state', 'show', 'orders'], { cwd });
    expect(show.stdout).toMatch(/^run key +monday$/m);
    expect(show.stdout).toMatch(/^status +finished$/m);
    expect((await oxiflow(['state', 'list'], { cwd })).stdout).toMatch(/^monday +orders +finished +20\d\d-\S+Z$/m);
    expect((await oxiflow(['status', '--run-key', 'monday'], { cwd })).stdout).toMatch(/^records +3$/m);
    const repair = await oxiflow(['state', 'repair', '--run-key', 'monday'], { cwd });
    expect(repair.stderr).toBe('nothing of run "monday" is damaged\n');
    const cancel = await oxiflow(['cancel', '--run-key', 'monday'], { cwd });
    expect(cancel.stderr).toBe('run "monday" is finished: nothing to cancel\n');
  });
});

describe('schema', () => {
  const examples = ['birdstrikes', 'earthquakes', 'events', 'flights', 'legacy'];

  test.concurrent('of a pipeline is valid, and every example keeps to it', async () => {
    const { stdout } = await oxiflow(['schema', 'pipeline'], { cwd: folder({}) });
    const validate = new Ajv2020({ strict: false, allErrors: true }).compile(JSON.parse(stdout));
    for (const example of examples) {
      const cwd = join(REPOSITORY, 'examples', example);
      for (const { file } of JSON.parse((await oxiflow(['pipeline', 'list', '--json'], { cwd })).stdout)) {
        const document = parse(readFileSync(join(cwd, file), 'utf8'));
        expect({ file, errors: validate(document) ? [] : validate.errors }).toEqual({ file, errors: [] });
      }
    }
    expect(validate({ pipeline: [{ name: 'read_file', config: { pth: 'orders.ndjson' } }] })).toBe(false);
    expect(validate({ pipeline: [{ name: 'read_fil' }] })).toBe(false);
    const withTest = (test: object): object => ({ pipeline: [{ name: 'read_stdin' }], tests: [test] });
    expect(validate(withTest({ name: 'a', input: { text: '' }, expect: { records: [] } }))).toBe(true);
    expect(validate(withTest({ name: 'a', input: { txt: '' }, expect: { records: [] } }))).toBe(false);
    expect(validate(withTest({ name: 'a', input: [], expect: { record: [] } }))).toBe(false);
  });
  test.concurrent('of a project is valid, and every example keeps to it', async () => {
    const { stdout } = await oxiflow(['schema', 'project'], { cwd: folder({}) });
    const validate = new Ajv2020({ strict: false, allErrors: true }).compile(JSON.parse(stdout));
    for (const example of examples) {
      const document = parse(readFileSync(join(REPOSITORY, 'examples', example, 'oxiflow.yaml'), 'utf8'));
      expect({ example, errors: validate(document) ? [] : validate.errors }).toEqual({ example, errors: [] });
    }
    expect(validate({ projekt: {} })).toBe(false);
  });
});
