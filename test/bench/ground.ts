/** Where and with what a benchmark runs: folders with room, what people ask for on the command line, and the measuring. */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, freemem, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { type Contender, DATA } from './contenders.ts';
import type { Cost } from './report.ts';
import type { Workload } from './works.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const MEASURE = join(import.meta.dirname, 'measure.py');
/** Events and rides of a seed are always the same. */
export const SEED = 7;
export const RUNNER = join(ROOT, 'dist', 'oxiflow.mjs');

export const say = (text: string): boolean => process.stderr.write(`${text}\n`);

export function fail(sentence: string): never {
  say(sentence);
  process.exit(2);
}

export function bytesOf(size: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(KB|MB|GB)?$/i.exec(size);
  if (match === null) fail(`--size ${size}: write a number and KB, MB or GB, for example 500MB`);
  const unit = { KB: 1e3, MB: 1e6, GB: 1e9 }[(match[2] ?? '').toUpperCase()] ?? 1;
  return Math.round(Number(match[1]) * unit);
}

export function count(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) fail(`--${name} ${text}: write a whole number above zero`);
  return value;
}

/** The runner, the Node that the project brings, and the Python that measures; ends the benchmark where one is missing. */
export function tools(path: string): { runner: string; node: string; python: string } {
  const runner = resolve(path);
  if (!existsSync(runner)) fail(`${runner}: not there; build it with npm run build`);
  const pinned = join(ROOT, 'node_modules', 'node', 'bin', 'node');
  const python = 'python3';
  if (spawnSync(python, ['--version']).status !== 0) fail('python3: not found; it measures the processes (wait4)');
  return { runner, node: existsSync(pinned) ? pinned : process.execPath, python };
}

const folders: string[] = [];

/** The folder, which is removed when this process ends or is interrupted. */
export function untilTheEnd(folder: string): string {
  if (folders.length === 0) {
    process.on('exit', () => {
      for (const one of folders) rmSync(one, { recursive: true, force: true });
    });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));
  }
  folders.push(folder);
  return folder;
}

/** A new folder with room for so many bytes: in memory, so long as a third of what is free stays free, else on the disk. */
export function workFolder(bytes: number): string {
  const memory = '/dev/shm';
  const room = existsSync(memory) ? statfsSync(memory) : undefined;
  if (room !== undefined && Math.min(room.bavail * room.bsize, freemem()) > 1.5 * bytes)
    return touched(mkdtempSync(join(memory, 'oxiflow-bench-')), bytes);
  return diskFolder(bytes);
}

/**
 * Memory that a virtual machine never had costs the first who writes to it twice the time: all that the contenders will fill is
 * written to once before, so that none of them pays for the others.
 */
function touched(folder: string, bytes: number): string {
  const path = join(folder, 'touched');
  const zeros = new Uint8Array(1 << 24);
  const file = openSync(path, 'w');
  try {
    for (let written = 0; written < bytes; )
      written += writeSync(file, zeros, 0, Math.min(zeros.length, bytes - written));
  } finally {
    closeSync(file);
    rmSync(path);
  }
  return folder;
}

export function diskFolder(bytes: number): string {
  mkdirSync(DATA, { recursive: true });
  const parent = [DATA, tmpdir()].find((path) => {
    const disk = statfsSync(path);
    return disk.bavail * disk.bsize > bytes;
  });
  if (parent === undefined) fail(`no room for ${Math.ceil(bytes / 1e6)} MB: choose a smaller --size`);
  return mkdtempSync(join(parent, 'oxiflow-bench-'));
}

export function measure(python: string, contender: Contender, workload: Workload, from: string, to: string): Cost {
  const env = { ...contender.env, INPUT: from, OUTPUT: to };
  return measureCommand(python, contender.name, contender.command(workload, from, to), env);
}

/** What one run of a command costs; ends the benchmark where it fails. */
export function measureCommand(
  python: string,
  name: string,
  command: readonly string[],
  env: Record<string, string>,
): Cost {
  const run = spawnSync(python, [MEASURE, ...command], { encoding: 'utf8', env: { ...process.env, ...env } });
  if (run.status !== 0) fail(`${name}: could not be measured: ${run.stderr}`);
  const { code, ...cost }: Cost & { code: number } = JSON.parse(run.stdout);
  if (code !== 0) fail(`${name}: ended with ${code}: ${run.stderr}`);
  return cost;
}

export function processor(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown';
  return `${model}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`;
}
