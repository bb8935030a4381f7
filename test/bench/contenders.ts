/**
 * Who runs in the benchmark, and how: a command for each workload, an input and an output. Writes the project that the
 * runner needs and installs DuckDB into a virtual environment of its own.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const WORKLOADS = ['w1', 'w4'] as const;
export type Workload = (typeof WORKLOADS)[number];

export const WORKLOAD_TEXT: Record<Workload, string> = {
  w1: 'W1: keep `ok == true`, rename `ts`, add `total` and `user_key`, drop `ua`',
  w4: 'W4: a copy, every record checked',
};

export interface Contender {
  name: string;
  /** How its output compares with the first contender's: the same bytes, the same rows in order, or the same rows. */
  same: 'bytes' | 'rows' | 'rows in any order';
  /** The paths are also in the variables INPUT and OUTPUT. */
  command(workload: Workload, input: string, output: string): string[];
}

const HERE = import.meta.dirname;
export const MEASURE = join(HERE, 'measure.py');
const DUCK = join(HERE, 'duck.py');
const VENV = join(HERE, '.data', 'venv');
const NAIVE = fileURLToPath(import.meta.resolve('./naive.mjs'));

const MIDDLE: Record<Workload, string> = {
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
  w4: '',
};

/** Makes the runner's project in `folder`: one pipeline a workload, from ${INPUT} to ${OUTPUT}. */
export function writeProject(folder: string): void {
  mkdirSync(join(folder, 'pipelines'), { recursive: true });
  writeFileSync(join(folder, 'oxiflow.yaml'), 'project: { name: bench, version: "1.0.0" }\n');
  for (const workload of WORKLOADS) {
    const text = `pipeline:
  - name: read_file
    config: { path: "\${INPUT}" }
  - name: parse_json
    config: { framing: lines }
${MIDDLE[workload]}  - name: format_json
    config: { framing: lines }
  - name: write_file
    config: { path: "\${OUTPUT}" }
`;
    writeFileSync(join(folder, 'pipelines', `${workload}.yaml`), text);
  }
}

/** The runner with a number of threads. */
export function oxiflow(node: string, runner: string, project: string, threads: number): Contender {
  return {
    name: `oxiflow, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    same: 'bytes',
    command: (workload) => [node, runner, 'run', workload, '--project', project, '--threads', String(threads), '-q'],
  };
}

/** readline, JSON.parse, JSON.stringify. */
export function naive(node: string): Contender {
  return {
    name: 'Node script (readline, JSON.parse, JSON.stringify)',
    same: 'bytes',
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
    same: order === 'ordered' ? 'rows' : 'rows in any order',
    command: (workload, input, output) => [python, DUCK, workload, input, output, order, String(threads)],
  };
}
