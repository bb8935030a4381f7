/** Who runs in the benchmark, and how: a command for each work, an input and an output. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ALL_WORKLOADS, UNOBSERVED, type Workload, writeProject } from './works.ts';

/** How an output compares with the first contender's: the same bytes, the same rows in order, or the same rows. */
export type Same = 'bytes' | 'rows' | 'rows to 15 digits' | 'rows in any order';

export interface Contender {
  name: string;
  same(workload: Workload): Same;
  /** The works that it takes part in. */
  workloads: readonly Workload[];
  /** Added to the environment. */
  env?: Record<string, string>;
  /** The paths are also in the variables INPUT and OUTPUT. */
  command(workload: Workload, input: string, output: string): string[];
}

const HERE = import.meta.dirname;
const ROOT = resolve(HERE, '../..');
const DUCKDB = join(HERE, 'peers', 'duckdb_works.py');
const POLARS = join(HERE, 'peers', 'polars_works.py');
/** On the disk, kept between runs. */
export const DATA = join(HERE, '.data');
const BUILD = join(DATA, 'build');
const NAIVE = fileURLToPath(import.meta.resolve('./naive.mjs'));

/** The runner with a number of threads; on the value tier, every record becomes JavaScript values. */
export function oxiflow(node: string, runner: string, project: string, threads: number, tier?: 'values'): Contender {
  if (!existsSync(project)) writeProject(project);
  return {
    workloads: ALL_WORKLOADS,
    name: `oxiflow, ${threads} ${threads === 1 ? 'thread' : 'threads'}${tier === undefined ? '' : ', value tier'}`,
    ...(tier !== undefined && { env: { OXIFLOW_TIER: tier } }),
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
 * W1 on two threads and the value tier, of a build with crash points, in which soft checkpoints can be moved too: with the usual
 * settings, with a measurement every second, and with all of them further away than the run is long.
 */
export function observed(node: string, folder: string): Contender[] {
  const runner = buildWithCrashPoints(node);
  const variant = (name: string, place: string, settings: string, env: Record<string, string> = {}): Contender => {
    const project = join(folder, place);
    writeProject(project, settings);
    const values = oxiflow(node, runner, project, 2, 'values');
    return { ...values, name, env: { ...values.env, ...env } };
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
    workloads: ALL_WORKLOADS,
    command: (workload, input, output) => [node, NAIVE, workload, input, output],
  };
}

export function duckdb(python: string, order: 'ordered' | 'any', threads: number): Contender {
  return {
    name: `DuckDB, ${threads} threads, ${order === 'ordered' ? 'order kept' : 'any order'}`,
    same: () => (order === 'ordered' ? 'rows' : 'rows in any order'),
    workloads: order === 'ordered' ? ['w1', 'w1js', 'w2', 'w4'] : ['w1', 'w4'],
    command: (workload, input, output) => [python, DUCKDB, workload, input, output, order, String(threads)],
  };
}

export function polars(python: string, threads: number): Contender {
  return {
    name: `Polars, ${threads} threads, order kept`,
    // It divides by 100 as a multiplication, which is one off in the last place now and then.
    same: (workload) => (workload === 'w2' ? 'rows' : 'rows to 15 digits'),
    workloads: ['w1', 'w1js', 'w2'],
    env: { POLARS_MAX_THREADS: String(threads) },
    command: (workload, input, output) => [python, POLARS, workload, input, output],
  };
}
