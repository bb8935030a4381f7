/**
 * `npm run bench`: W1 and W4 of the runner, of a naive Node script and of DuckDB, in one alternating run, and the start-up of
 * a small pipeline. Prints a Markdown table and writes it to RESULTS.md.
 * Options: --size 500MB --rounds 5 --starts 20 --no-duckdb --runner dist/oxiflow.mjs --out test/bench/RESULTS.md
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { generateFile } from '../fixtures/generate.ts';
import { differences } from './compare.ts';
import type { Workload } from './contenders.ts';
import * as contenders from './contenders.ts';
import { type Cost, markdown, type Report, type Runs } from './report.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const DATA = join(import.meta.dirname, '.data');
const SEED = 7;
/** Input, an output of each of five contenders, and room for a staged one. */
const COPIES = 8;
const START_WARMUPS = 2;

const say = (text: string): boolean => process.stderr.write(`${text}\n`);

function fail(sentence: string): never {
  say(sentence);
  process.exit(2);
}

function bytesOf(size: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(KB|MB|GB)?$/i.exec(size);
  if (match === null) fail(`--size ${size}: write a number and KB, MB or GB, for example 500MB`);
  const unit = { KB: 1e3, MB: 1e6, GB: 1e9 }[(match[2] ?? '').toUpperCase()] ?? 1;
  return Math.round(Number(match[1]) * unit);
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) fail(`--${name} ${text}: write a whole number above zero`);
  return value;
}

/** A new folder in memory where there is room, else on the disk. */
function workFolder(bytes: number): string {
  const memory = '/dev/shm';
  const room = existsSync(memory) ? statfsSync(memory) : undefined;
  if (room !== undefined && room.bavail * room.bsize > bytes * COPIES)
    return mkdtempSync(join(memory, 'oxiflow-bench-'));
  mkdirSync(DATA, { recursive: true });
  const disk = statfsSync(DATA);
  const parent = disk.bavail * disk.bsize > bytes * COPIES ? DATA : tmpdir();
  return mkdtempSync(join(parent, 'oxiflow-bench-'));
}

function measure(python: string, contender: contenders.Contender, workload: Workload, from: string, to: string): Cost {
  const { name } = contender;
  const run = spawnSync(python, [contenders.MEASURE, ...contender.command(workload, from, to)], {
    encoding: 'utf8',
    env: { ...process.env, INPUT: from, OUTPUT: to },
  });
  if (run.status !== 0) fail(`${name}: could not be measured: ${run.stderr}`);
  const { code, ...cost }: Cost & { code: number } = JSON.parse(run.stdout);
  if (code !== 0) fail(`${name}: ended with ${code}: ${run.stderr}`);
  return cost;
}

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '500MB' },
    rounds: { type: 'string', default: '5' },
    starts: { type: 'string', default: '20' },
    'no-duckdb': { type: 'boolean', default: false },
    runner: { type: 'string', default: join(ROOT, 'dist', 'oxiflow.mjs') },
    out: { type: 'string', default: join(import.meta.dirname, 'RESULTS.md') },
  },
});
const size = bytesOf(values.size);
const rounds = count('rounds', values.rounds);
const starts = count('starts', values.starts);
const runner = resolve(values.runner);
if (!existsSync(runner)) fail(`${runner}: not there; build it with npm run build`);
const pinned = join(ROOT, 'node_modules', 'node', 'bin', 'node');
const node = existsSync(pinned) ? pinned : process.execPath;
const python = 'python3';
if (spawnSync(python, ['--version']).status !== 0) fail('python3: not found; it measures the processes (wait4)');

const work = workFolder(size);
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

const input = join(work, 'events.ndjson');
const ten = join(work, 'ten.ndjson');
const project = join(work, 'project');
say(`making ${values.size} of events in ${work}`);
const { records } = generateFile(input, { seed: SEED, bytes: size });
generateFile(ten, { seed: SEED, records: 10 });
contenders.writeProject(project);

const field = [
  contenders.oxiflow(node, runner, project, 1),
  contenders.oxiflow(node, runner, project, 2),
  contenders.naive(node),
];
const versions = [`Node ${execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()}`];
if (!values['no-duckdb']) {
  const own = contenders.duckdbPython(python);
  const threads = Math.min(2, availableParallelism());
  field.push(contenders.duckdb(own, 'ordered', threads), contenders.duckdb(own, 'any', threads));
  versions.push(`DuckDB ${contenders.duckdbVersion(own)} (Python package)`);
}

// Start-up first: it also warms the compile cache and shows a broken set-up before the long part.
const [small] = field;
if (small === undefined) fail('nobody to run');
const starters: contenders.Contender[] = [
  { name: '`node -e 0`', same: 'bytes', command: () => [node, '-e', '0'] },
  { ...small, name: 'oxiflow, ten records' },
];
const startRuns = starters.map(({ name }): Runs => ({ name, costs: [] }));
for (let round = -START_WARMUPS; round < starts; round += 1) {
  starters.forEach((starter, i) => {
    const cost = measure(python, starter, 'w1', ten, join(work, 'ten.out'));
    if (round >= 0) startRuns[i]?.costs.push(cost);
  });
}

const workloads = contenders.WORKLOADS.map((workload) => ({
  workload,
  runs: field.map(({ name }): Runs => ({ name, costs: [] })),
  differences: [] as string[],
}));
for (const one of workloads) {
  const outputs = field.map((contender, i) => ({ contender, path: join(work, `${one.workload}-${i}.ndjson`) }));
  for (let round = 0; round < rounds; round += 1) {
    outputs.forEach(({ contender, path }, i) => {
      rmSync(path, { force: true });
      const cost = measure(python, contender, one.workload, input, path);
      one.runs[i]?.costs.push(cost);
      say(`${one.workload} round ${round + 1}/${rounds}: ${contender.name} ${cost.wall_s.toFixed(2)} s`);
    });
  }
  say(`${one.workload}: comparing the outputs`);
  one.differences.push(...(await differences(outputs)));
  for (const { path } of outputs) rmSync(path, { force: true });
}

const report: Report = {
  head: [
    ['date', new Date().toISOString().slice(0, 10)],
    [
      'processor',
      `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    ],
    ['system', `${process.platform} ${process.arch}`],
    ['versions', versions.join(', ')],
    [
      'input',
      `${(statSync(input).size / 1e6).toFixed(0)} MB, ${records} records, seed ${SEED}, in ${work.startsWith('/dev/shm') ? 'memory' : 'a file on disk'}`,
    ],
    ['rounds', String(rounds)],
  ],
  inputBytes: statSync(input).size,
  records,
  workloads,
  start: { runs: startRuns, count: starts },
};
const text = markdown(report);
writeFileSync(values.out, text);
process.stdout.write(text);
if (workloads.some((one) => one.differences.length > 0)) process.exitCode = 1;
