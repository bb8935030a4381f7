import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROOT, systemPath } from './checkout.ts';

const PROGRAM = join(ROOT, 'dist/oxiflow.mjs');
const REFUSAL =
  /^oxiflow needs Node 22\.18 or newer and this is (\d+\.\d+\.\d+); in a checkout, npx oxiflow uses [^\n]+\n$/;

interface Old {
  node: string;
  options: string[];
  what: string;
}

/** A Node that is too old, from PATH; where there is none, ours that gives itself out as one. */
function oldNode(): Old {
  for (const folder of systemPath().split(delimiter)) {
    const node = join(folder, 'node');
    if (!existsSync(node)) continue;
    const version = spawnSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout.trim();
    const [major = 0, minor = 0] = version.split('.').map(Number);
    if (major >= 18 && (major < 22 || (major === 22 && minor < 18))) return { node, options: [], what: version };
  }
  const pretend = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.19.0' } })";
  return {
    node: process.execPath,
    options: ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`],
    what: 'one that gives itself out as 20.19.0',
  };
}

test('a Node that is too old is told so in one line, with exit code 2', () => {
  const { node, options, what } = oldNode();
  const { status, stdout, stderr } = spawnSync(node, [...options, PROGRAM, 'version'], { encoding: 'utf8' });
  expect(stderr, what).toMatch(REFUSAL);
  expect(stdout).toBe('');
  expect(status).toBe(2);
});

test('npx uses the Node that npm ci installed, whatever the machine has', () => {
  const { status, stdout } = spawnSync('npx', ['oxiflow', 'version', '--json'], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, PATH: systemPath() },
  });
  const { version: pinned } = JSON.parse(readFileSync(join(ROOT, 'node_modules/node/package.json'), 'utf8'));
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  expect(JSON.parse(stdout)).toMatchObject({ oxiflow: version, node: pinned });
  expect(status).toBe(0);
});

test('the cache of the program is taken by the Node that built it', () => {
  const source = `import { loadProgram } from ${JSON.stringify(join(ROOT, 'runner/cli/program.ts'))};
process.stdout.write(String(loadProgram(${JSON.stringify(join(ROOT, 'dist'))}).cached));`;
  const args = ['--input-type=module', '--eval', source];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(stdout).toBe('true');
});

describe('dist on its own, outside of the checkout', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'oxiflow-dist-'));
    cpSync(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true });
    mkdirSync(join(folder, 'sensors'));
    writeFileSync(
      join(folder, 'sensors/warm.yaml'),
      [
        'pipeline:',
        '  - name: read_file',
        '    config: { path: readings.ndjson }',
        '  - name: parse_json',
        '  - name: filter',
        '    config: { where: celsius > 20, threads: 2 }',
        '  - name: format_json',
        '  - name: write_file',
        '    config: { path: warm.ndjson }',
        '',
      ].join('\n'),
    );
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(folder, 'dist/oxiflow.mjs'), ...args], {
      cwd: join(folder, 'sensors'),
      encoding: 'utf8',
      // No package is found by way of the environment either.
      env: { PATH: systemPath(), HOME: folder, OXIFLOW_TESTS: process.env.OXIFLOW_TESTS },
    });

  test('runs a pipeline', () => {
    writeFileSync(join(folder, 'sensors/readings.ndjson'), '{"celsius":19.5}\n{"celsius":21.0}\n');
    const { status, stderr } = run('run', 'warm.yaml');
    expect(stderr).toContain('1 written');
    expect(status).toBe(0);
    expect(readFileSync(join(folder, 'sensors/warm.ndjson'), 'utf8')).toBe('{"celsius":21.0}\n');
  });

  test('runs a pipeline on threads', () => {
    // Several blocks, or no thread is started.
    const readings = Array.from({ length: 100_000 }, (_, i) => `{"reading":${i},"celsius":${15 + (i % 10)}.0}\n`);
    writeFileSync(join(folder, 'sensors/readings.ndjson'), readings.join(''));
    const { status, stderr } = run('run', 'warm.yaml', '--fresh');
    expect(stderr).toContain('40,000 written');
    expect(status).toBe(0);
    const warm = readings.filter((_, i) => i % 10 > 5).join('');
    expect(readFileSync(join(folder, 'sensors/warm.ndjson'), 'utf8')).toBe(warm);
  });

  test('every verb loads', () => {
    for (const verb of ['init', 'run', 'pipeline', 'state', 'status', 'cancel', 'schema', 'version'])
      expect(run(verb, '--help'), verb).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(run('schema', 'pipeline').stdout)).toHaveProperty('$defs.read_file');
    expect(run('run', 'warm.yaml', '--fresh', '--log-format', 'json', '-v').status).toBe(0);
  });
});
