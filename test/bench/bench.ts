/**
 * `npm run bench`: W1 to W4 of the runner, as it runs them and on its value tier, of a naive Node script and of DuckDB, in one alternating run; the runner's memory;
 * what metrics and checkpoints cost; the start-up of a small pipeline. Prints Markdown; a full run writes it to RESULTS.md.
 * Options: --size 500MB --rounds 5 --starts 20 --pairs 10 --workloads w1,w2 --large (memory at ten times the size too)
 * --no-duckdb --runner dist/oxiflow.mjs --out FILE
 */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as contenders from './contenders.ts';
import {
  bytesOf,
  count,
  fail,
  measure,
  processor,
  RUNNER,
  SEED,
  say,
  tools,
  untilTheEnd,
  workFolder,
} from './ground.ts';
import { peersPython, versionOf } from './python.ts';
import { largePeaks, type MadeInput, makeInput, race, runsOf, startUps } from './race.ts';
import { markdown, type Report, type Runs } from './report.ts';
import { putSection } from './sections.ts';
import { type Input, inputOf, WORKLOADS, type Workload } from './works.ts';

/** Room, in sizes of an input: two inputs, and four outputs of W2, which are 2.7 times as large. */
const COPIES = 13;
const LARGE = 10;

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '500MB' },
    rounds: { type: 'string', default: '5' },
    starts: { type: 'string', default: '20' },
    pairs: { type: 'string', default: '10' },
    workloads: { type: 'string', default: WORKLOADS.join(',') },
    large: { type: 'boolean', default: false },
    'no-duckdb': { type: 'boolean', default: false },
    runner: { type: 'string', default: RUNNER },
    out: { type: 'string' },
  },
});
const size = bytesOf(values.size);
const rounds = count('rounds', values.rounds);
const starts = count('starts', values.starts);
const pairs = count('pairs', values.pairs);
const wanted = values.workloads.split(',');
const chosen = WORKLOADS.filter((workload) => wanted.includes(workload));
if (chosen.length !== wanted.length) fail(`--workloads ${values.workloads}: write some of ${WORKLOADS.join(',')}`);
const full = chosen.length === WORKLOADS.length && !values['no-duckdb'];
const out = values.out ?? (full ? join(import.meta.dirname, 'RESULTS.md') : undefined);
const { runner, node, python } = tools(values.runner);
const work = untilTheEnd(workFolder(size * COPIES));
const ground = { python, node, work };

const inputs = new Map<Input, MadeInput>();
function inputFor(workload: Workload): MadeInput {
  const kind = inputOf(workload);
  const input = inputs.get(kind) ?? makeInput(work, kind, size);
  inputs.set(kind, input);
  return input;
}

const project = join(work, 'project');
const twoThreads = contenders.oxiflow(node, runner, project, 2);
const onValues = contenders.oxiflow(node, runner, project, 2, 'values');
const field = [twoThreads, onValues, contenders.naive(node)];
const versions = [`Node ${execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()}`];
if (!values['no-duckdb']) {
  const own = peersPython(python);
  const threads = Math.min(2, availableParallelism());
  field.push(contenders.duckdb(own, 'ordered', threads), contenders.duckdb(own, 'any', threads));
  versions.push(`DuckDB ${versionOf(own, 'duckdb')} (Python package)`);
}

// Start-up first: it also warms the compile cache and shows a broken set-up before the long part.
const startRuns = chosen.includes('w1') ? startUps(ground, contenders.oxiflow(node, runner, project, 1), starts) : [];

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

const workloads: Report['workloads'] = [];
for (const workload of chosen) {
  const those = field.filter((contender) => contender.workloads.includes(workload));
  workloads.push(await race(ground, workload, those, inputFor(workload), rounds));
}
const observed = chosen.includes('w1') ? compareObserved() : [];
const inMemory = work.startsWith('/dev/shm');
// The first inputs make room for the large ones.
for (const { path } of inputs.values()) rmSync(path);
const ours = [twoThreads, onValues];
const large = values.large ? largePeaks(python, ours, chosen, size * LARGE) : undefined;

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
  memory: { runners: ours.map(({ name }) => name), bytes: size, large: large && { bytes: size * LARGE, peaks: large } },
  observed: { runs: observed, count: pairs },
  start: { runs: startRuns, count: starts },
};
const text = markdown(report);
if (out !== undefined) putSection(out, 'runner', text);
process.stdout.write(text);
if (workloads.some((one) => one.differences.length > 0)) process.exitCode = 1;
