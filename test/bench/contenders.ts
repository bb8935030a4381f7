/**
 * Who runs in the benchmark, and how: a command for each workload, an input and an output. Writes the project that the
 * runner needs and installs DuckDB into a virtual environment of its own.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TAXI_COLUMNS } from '../fixtures/taxi.ts';

export const WORKLOADS = ['w1', 'w2', 'w3', 'w4'] as const;
export type Workload = (typeof WORKLOADS)[number];
export type Input = 'events' | 'taxi';

export const WORKLOAD_TEXT: Record<Workload, string> = {
  w1: 'W1: keep `ok == true`, rename `ts`, add `total` and `user_key`, drop `ua`',
  w2: 'W2: CSV to NDJSON, cast 13 of 18 columns, keep `passenger_count > 0` and `fare_amount > 10`',
  w3: 'W3: batches of 1000 records, each as one JSON array a line',
  w4: 'W4: a copy, every record checked',
};

export const inputOf = (workload: Workload): Input => (workload === 'w2' ? 'taxi' : 'events');

/** How an output compares with the first contender's: the same bytes, the same rows in order, or the same rows. */
export type Same = 'bytes' | 'rows' | 'rows in any order';

export interface Contender {
  name: string;
  same(workload: Workload): Same;
  /** The workloads that it takes part in. */
  workloads: readonly Workload[];
  /** Added to the environment. */
  env?: Record<string, string>;
  /** The paths are also in the variables INPUT and OUTPUT. */
  command(workload: Workload, input: string, output: string): string[];
}

const HERE = import.meta.dirname;
const ROOT = resolve(HERE, '../..');
export const MEASURE = join(HERE, 'measure.py');
const DUCK = join(HERE, 'duck.py');
/** On the disk, kept between runs. */
export const DATA = join(HERE, '.data');
const VENV = join(DATA, 'venv');
const BUILD = join(DATA, 'build');
const NAIVE = fileURLToPath(import.meta.resolve('./naive.mjs'));

const NUMBERS = Object.entries(TAXI_COLUMNS).filter(([, type]) => type !== 'text');

const PARSE: Record<Input, string> = {
  events: `  - name: parse_json
    config: { framing: lines }
`,
  taxi: `  - name: parse_csv
    config:
      types: { ${NUMBERS.map(([column, type]) => `${column}: ${type}`).join(', ')} }
`,
};

export const MIDDLE: Record<Workload, string> = {
  w1: `  - name: filter
    config: { where: ok == true }
  - name: map
    config:
      set:
        total: round(amount * 119) / 100
        user_key: 'user.country + ":" + string(user.id)'
      rename: { ts: timestamp }
      drop: [ua]
`,
  w2: `  - name: filter
    config: { where: passenger_count > 0 && fare_amount > 10 }
`,
  w3: `  - name: batch
    config: { emit: array, batch_size: 1000 }
`,
  w4: '',
};

/** Measurements and checkpoints as far away as the settings let them be. */
export const UNOBSERVED = `monitoring: { interval_seconds: 86400 }
state_manager: { checkpoint_interval: 24h }
`;

/** From ${INPUT} to ${OUTPUT}; `output`: more settings of the file that is written. */
export function pipelineText(input: Input, middle: string, output = ''): string {
  return `pipeline:
  - name: read_file
    config: { path: "\${INPUT}" }
${PARSE[input]}${middle}  - name: format_json
    config: { framing: lines }
  - name: write_file
    config: { path: "\${OUTPUT}"${output} }
`;
}

/** Makes a project in `folder`, with these pipelines. */
export function makeProject(folder: string, pipelines: Record<string, string>, settings = ''): void {
  mkdirSync(join(folder, 'pipelines'), { recursive: true });
  writeFileSync(join(folder, 'oxiflow.yaml'), `project: { name: bench, version: "1.0.0" }\n${settings}`);
  for (const [name, text] of Object.entries(pipelines)) writeFileSync(join(folder, 'pipelines', `${name}.yaml`), text);
}

/** The runner's project: one pipeline a workload. */
function writeProject(folder: string, settings = ''): void {
  const texts = WORKLOADS.map((workload) => [workload, pipelineText(inputOf(workload), MIDDLE[workload])]);
  makeProject(folder, Object.fromEntries(texts), settings);
}

/** The runner with a number of threads. */
export function oxiflow(node: string, runner: string, project: string, threads: number): Contender {
  if (!existsSync(project)) writeProject(project);
  return {
    workloads: WORKLOADS,
    name: `oxiflow, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    same: () => 'bytes',
    command: (workload) => [node, runner, 'run', workload, '--project', project, '--threads', String(threads), '-q'],
  };
}

/** A build in which soft checkpoints can be moved. */
export function buildWithCrashPoints(node: string): string {
  execFileSync(node, [join(ROOT, 'runner', 'build.ts'), '--crash-points', '--out', BUILD], { stdio: 'inherit' });
  return join(BUILD, 'oxiflow.mjs');
}

/**
 * W1 on two threads of a build with crash points, in which soft checkpoints can be moved too: with the usual settings, with a
 * measurement every second, and with all of them further away than the run is long.
 */
export function observed(node: string, folder: string): Contender[] {
  const runner = buildWithCrashPoints(node);
  const variant = (name: string, place: string, settings: string, env: Record<string, string> = {}): Contender => {
    const project = join(folder, place);
    writeProject(project, settings);
    return { ...oxiflow(node, runner, project, 2), name, env };
  };
  return [
    variant('neither', 'unobserved', UNOBSERVED, { OXIFLOW_SOFT_INTERVAL_MS: '86400000' }),
    variant('usual settings', 'usual', ''),
    variant('usual, and metrics every second', 'metrics', 'monitoring: { interval_seconds: 1 }\n'),
  ];
}

/** readline, JSON.parse, JSON.stringify; a small parser of quoted cells. */
export function naive(node: string): Contender {
  return {
    name: 'Node script (readline, JSON.parse or split cells, JSON.stringify)',
    // Of CSV, the runner keeps a number's digits (12.50), which Number() does not.
    same: (workload) => (workload === 'w2' ? 'rows' : 'bytes'),
    workloads: WORKLOADS,
    command: (workload, input, output) => [node, NAIVE, workload, input, output],
  };
}

/** Python of the virtual environment that has DuckDB; made on first use. */
export function duckdbPython(python: string): string {
  const own = join(VENV, 'bin', 'python');
  if (!existsSync(own)) execFileSync(python, ['-m', 'venv', VENV], { stdio: 'inherit' });
  try {
    execFileSync(own, [DUCK], { stdio: 'ignore' });
  } catch {
    execFileSync(own, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', 'duckdb'], {
      stdio: 'inherit',
    });
  }
  return own;
}

export function duckdbVersion(python: string): string {
  return execFileSync(python, [DUCK], { encoding: 'utf8' }).trim();
}

export function duckdb(python: string, order: 'ordered' | 'any', threads: number): Contender {
  return {
    name: `DuckDB, ${threads} threads, ${order === 'ordered' ? 'order kept' : 'any order'}`,
    same: () => (order === 'ordered' ? 'rows' : 'rows in any order'),
    workloads: order === 'ordered' ? ['w1', 'w2', 'w4'] : ['w1', 'w4'],
    command: (workload, input, output) => [python, DUCK, workload, input, output, order, String(threads)],
  };
}
