/**
 * `npm run bench`: W1 to W4 of the runner, of a naive Node script and of DuckDB, in one alternating run; the runner's memory;
 * what metrics and checkpoints cost; the start-up of a small pipeline. Prints Markdown; a full run writes it to RESULTS.md.
 * Options: --size 500MB --rounds 5 --starts 20 --pairs 10 --workloads w1,w2 --large (memory at ten times the size too)
 * --no-duckdb --runner dist/oxiflow.mjs --out FILE
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { generateFile } from '../fixtures/generate.ts';
import type { Made } from '../fixtures/lines.ts';
import { generateTaxiFile } from '../fixtures/taxi.ts';
import { differences } from './compare.ts';
import type { Contender, Input, Workload } from './contenders.ts';
import * as contenders from './contenders.ts';
import { bytesOf, count, diskFolder, fail, measure, processor, say, workFolder } from './ground.ts';
import { markdown, type Report, type Runs } from './report.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const SEED = 7;
/** Room, in sizes of an input: two inputs, and four outputs of W2, which are 2.7 times as large. */
const COPIES = 13;
const LARGE = 10;
/** Room for an output of W2. */
const OUTPUT_COPIES = 3;
const START_WARMUPS = 2;

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '500MB' },
    rounds: { type: 'string', default: '5' },
    starts: { type: 'string', default: '20' },
    pairs: { type: 'string', default: '10' },
    workloads: { type: 'string', default: contenders.WORKLOADS.join(',') },
    large: { type: 'boolean', default: false },
    'no-duckdb': { type: 'boolean', default: false },
    runner: { type: 'string', default: join(ROOT, 'dist', 'oxiflow.mjs') },
    out: { type: 'string' },
  },
});
const size = bytesOf(values.size);
const rounds = count('rounds', values.rounds);
const starts = count('starts', values.starts);
const pairs = count('pairs', values.pairs);
const wanted = values.workloads.split(',');
const chosen = contenders.WORKLOADS.filter((workload) => wanted.includes(workload));
if (chosen.length !== wanted.length)
  fail(`--workloads ${values.workloads}: write some of ${contenders.WORKLOADS.join(',')}`);
const full = chosen.length === contenders.WORKLOADS.length && !values['no-duckdb'];
const out = values.out ?? (full ? join(import.meta.dirname, 'RESULTS.md') : undefined);
const runner = resolve(values.runner);
if (!existsSync(runner)) fail(`${runner}: not there; build it with npm run build`);
const pinned = join(ROOT, 'node_modules', 'node', 'bin', 'node');
const node = existsSync(pinned) ? pinned : process.execPath;
const python = 'python3';
if (spawnSync(python, ['--version']).status !== 0) fail('python3: not found; it measures the processes (wait4)');

const folders: string[] = [];
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

function kept(folder: string): string {
  folders.push(folder);
  return folder;
}

const GENERATE = { events: generateFile, taxi: generateTaxiFile } as const;
const work = kept(workFolder(size * COPIES));

interface MadeInput extends Made {
  path: string;
}

function makeInput(folder: string, input: Input, bytes: number): MadeInput {
  say(`making ${(bytes / 1e6).toFixed(1)} MB of ${input} in ${folder}`);
  const path = join(folder, input === 'taxi' ? 'taxi.csv' : 'events.ndjson');
  return { path, ...GENERATE[input](path, { seed: SEED, bytes }) };
}

const inputs = new Map<Input, MadeInput>();
function inputFor(workload: Workload): MadeInput {
  const kind = contenders.inputOf(workload);
  const input = inputs.get(kind) ?? makeInput(work, kind, size);
  inputs.set(kind, input);
  return input;
}

const ten = join(work, 'ten.ndjson');
const project = join(work, 'project');
generateFile(ten, { seed: SEED, records: 10 });

const twoThreads = contenders.oxiflow(node, runner, project, 2);
const field = [contenders.oxiflow(node, runner, project, 1), twoThreads, contenders.naive(node)];
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
const starters: Contender[] = [
  { ...small, name: '`node -e 0`', command: () => [node, '-e', '0'] },
  { ...small, name: 'oxiflow, ten records' },
];
const startRuns = runsOf(starters);
for (let round = -START_WARMUPS; chosen.includes('w1') && round < starts; round += 1) {
  starters.forEach((starter, i) => {
    const cost = measure(python, starter, 'w1', ten, join(work, 'ten.out'));
    if (round >= 0) startRuns[i]?.costs.push(cost);
  });
}

function runsOf(those: readonly Contender[]): Runs[] {
  return those.map(({ name }) => ({ name, costs: [] }));
}

async function compete(workload: Workload): Promise<Report['workloads'][number]> {
  const input = inputFor(workload);
  const those = field.filter(({ workloads }) => workloads.includes(workload));
  const runs = runsOf(those);
  const outputs = those.map((contender, i) => ({
    contender,
    name: contender.name,
    same: contender.same(workload),
    path: join(work, `${workload}-${i}.ndjson`),
  }));
  for (let round = 0; round < rounds; round += 1) {
    outputs.forEach(({ contender, path }, i) => {
      rmSync(path, { force: true });
      const cost = measure(python, contender, workload, input.path, path);
      runs[i]?.costs.push(cost);
      say(`${workload} round ${round + 1}/${rounds}: ${contender.name} ${cost.wall_s.toFixed(2)} s`);
    });
  }
  say(`${workload}: comparing the outputs`);
  const found = await differences(outputs);
  for (const { path } of outputs) rmSync(path, { force: true });
  return { workload, inputBytes: input.bytes, records: input.records, runs, differences: found };
}

/** W1 with and without metrics and checkpoints; every other round runs them in the other order. */
function compareObserved(): Runs[] {
  const input = inputFor('w1');
  const those = contenders.observed(node, work);
  const runs = runsOf(those);
  const path = join(work, 'observed.ndjson');
  for (let round = 0; round < pairs; round += 1) {
    const turns = [...those.entries()];
    for (const [i, contender] of round % 2 === 0 ? turns : turns.toReversed()) {
      rmSync(path, { force: true });
      runs[i]?.costs.push(measure(python, contender, 'w1', input.path, path));
    }
    say(`metrics and checkpoints: round ${round + 1}/${pairs}`);
  }
  rmSync(path, { force: true });
  return runs;
}

/** The peak of each workload with an input of so many bytes, once, in kilobytes. Only one input and output are there at a time. */
function largePeaks(bytes: number): Map<Workload, number> {
  const from = kept(workFolder(bytes));
  const to = join(kept(diskFolder(bytes * OUTPUT_COPIES)), 'large.ndjson');
  const peaks = new Map<Workload, number>();
  for (const kind of ['events', 'taxi'] as const) {
    const those = chosen.filter((workload) => contenders.inputOf(workload) === kind);
    if (those.length === 0) continue;
    const { path } = makeInput(from, kind, bytes);
    for (const workload of those) {
      const cost = measure(python, twoThreads, workload, path, to);
      rmSync(to, { force: true });
      peaks.set(workload, cost.peak_kb);
      say(`${workload} large: ${cost.wall_s.toFixed(2)} s, ${Math.round((cost.peak_kb * 1024) / 1e6)} MB`);
    }
    rmSync(path);
  }
  return peaks;
}

const workloads: Report['workloads'] = [];
for (const workload of chosen) workloads.push(await compete(workload));
const observed = chosen.includes('w1') ? compareObserved() : [];
const inMemory = work.startsWith('/dev/shm');
// The first inputs make room for the large ones.
for (const { path } of inputs.values()) rmSync(path);
const peaks = values.large ? largePeaks(size * LARGE) : undefined;

const report: Report = {
  head: [
    ['date', new Date().toISOString().slice(0, 10)],
    ['processor', processor()],
    ['system', `${process.platform} ${process.arch}`],
    ['versions', versions.join(', ')],
    ...[...inputs].map(([kind, { bytes, records }]): [string, string] => [
      `input, ${kind}`,
      `${(bytes / 1e6).toFixed(0)} MB, ${records} records, seed ${SEED}, in ${inMemory ? 'memory' : 'a file on disk'}`,
    ]),
    ['rounds', String(rounds)],
  ],
  workloads,
  memory: { runner: twoThreads.name, bytes: size, large: peaks && { bytes: size * LARGE, peaks } },
  observed: { runs: observed, count: pairs },
  start: { runs: startRuns, count: starts },
};
const text = markdown(report);
if (out !== undefined) writeFileSync(out, text);
process.stdout.write(text);
if (workloads.some((one) => one.differences.length > 0)) process.exitCode = 1;
