import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { differences, type Output } from './compare.ts';
import type { Same } from './contenders.ts';
import { type Cost, markdown, median } from './report.ts';
import { CONNECTIONS_EACH, measureBeats } from './state-beats.ts';

const RIDES = ['{"ride":1,"fare":7.50}', '{"ride":2,"fare":12}', '{"ride":3,"fare":9.1}'];

describe('comparing outputs', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'oxiflow-compare-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const output = (name: string, same: Same, lines: string[]): Output => {
    const path = join(folder, name);
    writeFileSync(path, lines.map((line) => `${line}\n`).join(''));
    return { name, same, path };
  };
  const spelled = ['{"fare":7.5,"ride":1}', '{"fare":12.0,"ride":2}', '{"fare":9.1,"ride":3}'];

  test('other spellings of the same rows are the same rows, not the same bytes', async () => {
    const first = output('ours', 'bytes', RIDES);
    expect(await differences([first, output('a', 'rows', spelled), output('b', 'bytes', RIDES)])).toEqual([]);
    expect(await differences([first, output('c', 'bytes', spelled)])).toEqual([
      'c: its output differs from that of ours (bytes)',
    ]);
  });

  test('another order is the same bag of rows only', async () => {
    const first = output('ours', 'bytes', RIDES);
    const turned = spelled.toReversed();
    expect(await differences([first, output('a', 'rows in any order', turned)])).toEqual([]);
    expect(await differences([first, output('b', 'rows', turned)])).toHaveLength(1);
  });

  test('a number is the same to 15 digits only where that is asked for', async () => {
    const first = output('ours', 'bytes', RIDES);
    const near = [...RIDES.slice(0, 2), '{"ride":3,"fare":9.100000000000001}'];
    expect(await differences([first, output('a', 'rows to 15 digits', near)])).toEqual([]);
    expect(await differences([first, output('b', 'rows', near)])).toEqual([
      'b: its output differs from that of ours (rows): row 3 has {"ride":3,"fare":9.100000000000001}, not {"ride":3,"fare":9.1}',
    ]);
  });

  test.each([
    ['too few', RIDES.slice(0, 2), 'it ends behind row 2'],
    ['too many', [...RIDES, '{}'], 'it has more than 3 rows'],
  ])('%s rows in order are found', async (_what, rows, difference) => {
    expect(await differences([output('ours', 'bytes', RIDES), output('a', 'rows', rows)])).toEqual([
      `a: its output differs from that of ours (rows): ${difference}`,
    ]);
  });

  test.each([
    ['a missing row', spelled.slice(1)],
    ['a repeated row', [...spelled, '{"fare":7.5,"ride":1}']],
    ['another value', [...spelled.slice(1), '{"fare":7.51,"ride":1}']],
  ])('%s is found in any order', async (_what, rows) => {
    expect(await differences([output('ours', 'bytes', RIDES), output('a', 'rows in any order', rows)])).toHaveLength(1);
  });
});

test('the median of an even count lies between the two in the middle', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([9, 1, 5])).toBe(5);
});

test('a ratio is taken within each round, not between medians', () => {
  const cost = (wall_s: number): Cost => ({ wall_s, cpu_s: wall_s, peak_kb: 50_000 });
  const text = markdown({
    head: [['rounds', '3']],
    workloads: [
      {
        workload: 'w1',
        inputBytes: 100e6,
        records: 250_000,
        runs: [
          { name: 'oxiflow, 1 thread', costs: [1, 2, 4].map(cost) },
          { name: 'Node script', costs: [4, 6, 8].map(cost) },
        ],
        differences: [],
      },
    ],
    memory: {
      runners: ['oxiflow, 1 thread'],
      bytes: 100e6,
      large: { bytes: 1e9, peaks: new Map([['oxiflow, 1 thread', new Map([['w1', 60_000] as const])]]) },
    },
    observed: {
      runs: [
        { name: 'neither', costs: [1, 2, 4].map(cost) },
        { name: 'usual settings', costs: [1.01, 2.1, 4].map(cost) },
      ],
      count: 3,
    },
    start: { runs: [], count: 0 },
  });
  expect(text).toContain('| Node script | 6.00 | 17 | 42 | 6.00 | 51 | 3.00 (2.00-4.00) |');
  expect(text).toContain('| W1 | 51 | 61 |');
  expect(text).toContain('| usual settings | 2.10 | 2.10 | 1.010 (1.000-1.050) | 1.010 (1.000-1.050) |');
});

describe('the whole benchmark on a small input', () => {
  const bench = (...options: string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, 'bench.ts'), ...options], { encoding: 'utf8' });

  test('every workload, the memory and the cost are measured, and all outputs are the same', () => {
    const folder = mkdtempSync(join(tmpdir(), 'oxiflow-bench-test-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const out = join(folder, 'results.md');
    // Enough events for a whole batch and a part of one.
    const small = ['--size', '600KB', '--rounds', '1', '--starts', '1', '--pairs', '1'];
    const { status, stdout, stderr } = bench(...small, '--large', '--no-duckdb', '--out', out);
    expect(status, stderr + stdout).toBe(0);
    expect(stdout.match(/and is the same\./g)).toHaveLength(4);
    expect(stdout).toMatch(/\| W2 \| \d+ \| \d+ \|/);
    expect(stdout).toMatch(/\| usual settings \| [\d.]+ \| [\d.]+ \| [\d.]+ \(/);
    expect(stdout).toMatch(/\| oxiflow, ten records \| \d+ /);
    expect(readFileSync(out, 'utf8')).toContain(stdout);
  }, 180_000);

  test('a workload that does not exist is refused', () => {
    const { status, stderr } = bench('--workloads', 'w1,w9');
    expect({ status, stderr }).toEqual({ status: 2, stderr: '--workloads w1,w9: write some of w1,w2,w3,w4\n' });
  });
});

describe('the benchmark of the state and of workers', () => {
  test('every part of it is measured on a small input, and two workers make what one makes', () => {
    const folder = mkdtempSync(join(tmpdir(), 'oxiflow-bench-test-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const out = join(folder, 'state.md');
    const few = ['--rounds', '1', '--pairs', '1', '--series', '1', '--each', '20', '--workers', '4', '--seconds', '1'];
    const index = join(import.meta.dirname, 'index.ts');
    const small = ['--size', '600KB', '--shared-size', '9MB', ...few, '--out', out];
    const { status, stdout, stderr } = spawnSync(process.execPath, [index, '--state', ...small], { encoding: 'utf8' });
    expect(status, stderr + stdout).toBe(0);
    expect(stdout).toMatch(/\| fenced commit \| [\d.]+ \([\d.]+-[\d.]+\) \| [\d.]+ /);
    for (const backend of ['sqlite', 'redis']) expect(stdout).toMatch(new RegExp(`\\| ${backend}: usual \\| [\\d.]+ `));
    expect(stdout).toMatch(
      /the 2 part files one behind the other, and both halves, are byte for byte what one worker makes/,
    );
    expect(stdout).toMatch(/\| leases over or lost \| 0 \|/);
    expect(readFileSync(out, 'utf8')).toBe(stdout);

    // One part alone: what was measured of the others stays.
    const alone = ['commits', '--series', '1', '--each', '30', '--out', out];
    const again = spawnSync(process.execPath, [index, '--state', ...alone], { encoding: 'utf8' });
    expect(again.status, again.stderr).toBe(0);
    expect(again.stdout).toContain('1 series of 30 of each');
    const withoutCommits = (text: string): string => text.replace(/## A commit on Redis.*?(?=\n## )/s, '');
    expect(withoutCommits(again.stdout)).toBe(withoutCommits(stdout));
    expect(spawnSync(process.execPath, [index, '--state', 'comits'], { encoding: 'utf8' })).toMatchObject({
      status: 2,
      stderr: 'comits: write some of commits checkpoints workers beats\n',
    });
  }, 180_000);

  test('200 workers on one Redis keep all of their leases', async () => {
    const workers = 200;
    const beats = await measureBeats({ workers, processes: 4, durationMs: 10_000, ttlMs: 6000 });
    expect(beats).toMatchObject({ missed: 0, lost: 0 });
    // From before one renewal to behind the next: shorter than a lease, so that none was over between two looks either.
    expect(beats.longestGapMs).toBeLessThan(beats.ttlMs);
    expect(beats.looks).toBeGreaterThan(5);
    expect(beats.renewals).toBeGreaterThan(3 * workers);
    // Those that look are one connection more, and redis-cli another one.
    expect(beats.connections).toBeLessThanOrEqual(CONNECTIONS_EACH * workers + 4);
  }, 120_000);
});
