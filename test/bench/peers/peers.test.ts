import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Cost, Runs } from '../report.ts';
import { putSection } from '../sections.ts';
import { type Growth, power } from './growth.ts';
import { type Kept, keep, type PeersRace } from './kept.ts';
import { picture } from './picture.ts';
import { sumUp } from './profile.ts';
import { peersMarkdown } from './report.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'oxiflow-peers-test-'));
  return () => rmSync(folder, { recursive: true });
});

const cost = (wall_s: number, megabytes = 80): Cost => ({
  wall_s,
  cpu_s: 2 * wall_s,
  peak_kb: (megabytes * 1e6) / 1024,
});
const runs = (name: string, ...walls: number[]): Runs => ({ name, costs: walls.map((wall) => cost(wall)) });

const copies: PeersRace = {
  workload: 'w4',
  inputBytes: 500e6,
  records: 1_200_000,
  roles: ['Node script', 'oxiflow', 'DuckDB'],
  runs: [runs('Node script', 20, 24, 26), runs('oxiflow, 2 threads', 1, 1, 2), runs('DuckDB', 3, 3.2, 4)],
  differences: [],
};
const GROUND: Kept['ground'] = [
  ['processor', 'two cores'],
  ['build', 'a <new> & quick one'],
];

test('what is reached and what is not stands in the table, round by round', () => {
  const kept = keep(join(folder, 'peers.json'), GROUND, 500e6, '2026-11-30', { races: { w4: copies } });
  const text = peersMarkdown(kept);
  expect(text).toContain(
    '| W4 | **3.00 (2.00-3.20), wanted 3.5** |  | 20.00 (13.00-24.00), wanted 20 |  | 80, wanted 90 |',
  );
  expect(text).toContain('- W4: 3.00 times DuckDB, not 3.5\n');
  expect(text).not.toContain('All that was measured is as wanted.');
});

test('pieces of one build come together, and another build begins anew', () => {
  const path = join(folder, 'peers.json');
  keep(path, GROUND, 500e6, '2026-11-30', { races: { w4: copies } });
  keep(path, GROUND, 500e6, '2026-11-30', { large: { bytes: 5e9, peaks: { w4: 90_000 } } });
  const both = keep(path, GROUND, 500e6, '2026-11-30', {
    start: [runs('`node -e 0`', 0.05), runs('oxiflow, ten records', 0.09)],
  });
  expect(both).toMatchObject({ races: { w4: copies }, large: { bytes: 5e9, peaks: { w4: 90_000 } } });
  expect(peersMarkdown(both)).toContain('| W4 | 80 | 92 | **1.15** |');
  expect(peersMarkdown(both)).toContain('| 1.80 (1.80-1.80), wanted 2 |');
  expect(keep(path, [['build', 'newer']], 500e6, '2026-11-30', {}).races).toEqual({});
});

describe('the power that cost grows with', () => {
  const growth = (walls: (bytes: number) => number): Growth => ({
    workload: 'w1',
    points: [125e6, 250e6, 500e6, 1e9].map((bytes) => ({ bytes, runs: runs('oxiflow, 2 threads', walls(bytes)) })),
  });

  test('is 1 of a straight line behind a start, and 2 of a square', () => {
    const start = 0.2;
    expect(
      power(
        growth((bytes) => start + bytes / 400e6),
        start,
        'wall_s',
      ),
    ).toBeCloseTo(1, 9);
    expect(
      power(
        growth((bytes) => start + (bytes / 400e6) ** 2),
        start,
        'wall_s',
      ),
    ).toBeCloseTo(2, 9);
  });
});

test('a benchmark that writes its results leaves those of the others as they are', () => {
  const path = join(folder, 'RESULTS.md');
  putSection(path, 'runner', '# Runner\n\nfirst\n');
  putSection(path, 'peers', '# Peers\n\nfirst\n');
  const before = readFileSync(path, 'utf8');
  putSection(path, 'runner', '# Runner\n\nsecond, longer\n');
  expect(readFileSync(path, 'utf8')).toBe(before.replace('first', 'second, longer'));
  putSection(path, 'peers', '# Peers\n\nthird\n');
  expect(readFileSync(path, 'utf8')).toBe(before.replace('first', 'second, longer').replace('first', 'third'));
});

test('a profile sums up all threads by place, and leaves out the time that a thread waits', () => {
  const frames = [
    ['(idle)', ''],
    ['(garbage collector)', ''],
    ['wasm-function[7]', 'wasm://wasm/0a1b'],
    ['readSync', ''],
    ['send', 'node:internal/worker/io'],
    ['next', 'file:///dist/stage-thread.mjs'],
  ] as const;
  const nodes = frames.map(([functionName, url], id) => ({ id, callFrame: { functionName, url } }));
  const one = { nodes, samples: [0, 1, 2, 3], timeDeltas: [9000, 1000, 4000, 500] };
  const two = { nodes, samples: [4, 5, 5, 2], timeDeltas: [500, 1000, 2000, 1000] };
  expect(sumUp('w1', [one, two])).toEqual({
    workload: 'w1',
    ms: { kernel: 5, JavaScript: 3, garbage: 1, Node: 1 },
    functions: [['next', 3]],
  });
});

test('the picture has a bar for every contender, as long as it is fast, in light and dark', () => {
  const kept = keep(join(folder, 'peers.json'), GROUND, 500e6, '2026-11-30', { races: { w4: copies } });
  const svg = picture(kept);
  const widths = [...svg.matchAll(/<rect x="\d+" y="\d+" width="([\d.]+)"/g)].map(([, width]) => Number(width));
  expect(widths).toHaveLength(3);
  const [oxiflow = 0, duckdb = 0, script = 0] = widths;
  expect(oxiflow / duckdb).toBeCloseTo(3.2, 1);
  expect(oxiflow / script).toBeCloseTo(24, 0);
  expect(svg).toContain('21 MB/s, 80 MB, oxiflow 20.0 times as fast');
  expect(svg).toContain('@media (prefers-color-scheme: dark)');
});

describe('the whole benchmark on a small input', () => {
  const bench = (...options: string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, '..', 'index.ts'), '--peers', ...options], {
      encoding: 'utf8',
    });

  test('every work runs, gives what the Node script gives, and its table and picture are written', () => {
    writeFileSync(join(folder, 'RESULTS.md'), 'Others.\n');
    // Enough events for a whole batch and a part of one.
    const small = ['--size', '600KB', '--rounds', '1', '--starts', '1', '--offline', '--out', folder];
    const first = bench(...small, '--parts', 'works,start');
    expect(first.status, first.stderr + first.stdout).toBe(0);
    expect(first.stdout.match(/All outputs are those of the Node script/g)).toHaveLength(6);
    expect(first.stdout).toMatch(/\| oxiflow, ten records \| \d+ /);
    // The rest, in a piece of its own, of one work.
    const { status, stdout, stderr } = bench(...small, '--works', 'w1', '--parts', 'growth,profile', '--large');
    expect(status, stderr + stdout).toBe(0);
    expect(stdout.match(/All outputs are those of the Node script/g)).toHaveLength(6);
    expect(stdout).toMatch(/\| W1, fitted power \|/);
    expect(stdout).toMatch(/\| W1(?: \| \d+ %){4} \| `/);
    expect(stdout).toMatch(/\| W1 \| \d+ \| \d+ \| \**[\d.]+\** \|\n/);
    const results = readFileSync(join(folder, 'RESULTS.md'), 'utf8');
    expect(results.startsWith('Others.\n')).toBe(true);
    expect(results).toContain(stdout);
    // Two bars a work, and one more of W5, which runs on one thread too; and the page.
    expect(readFileSync(join(folder, 'peers.svg'), 'utf8').match(/<rect/g)).toHaveLength(6 * 2 + 1 + 1);
    expect(readFileSync(join(folder, 'peers.svg'), 'utf8')).not.toMatch(/NaN|Infinity/);
  }, 240_000);

  test('a work that does not exist is refused', () => {
    const { status, stderr } = bench('--works', 'w1,w9');
    expect({ status, stderr }).toEqual({ status: 2, stderr: '--works w1,w9: write some of w1,w1js,w2,w3,w4,w5\n' });
  });
});
