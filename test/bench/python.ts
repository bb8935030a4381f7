/** The Python that peers of the benchmark run in: a virtual environment of its own, with the versions of requirements.txt. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DATA } from './contenders.ts';
import { say } from './ground.ts';

const REQUIREMENTS = join(import.meta.dirname, 'peers', 'requirements.txt');
const VENV = join(DATA, 'venv');

/** Made on first use, by uv where there is one, and made anew when the requirements change. */
export function peersPython(python: string): string {
  const own = join(VENV, 'bin', 'python');
  const installed = join(VENV, 'requirements.txt');
  const wanted = readFileSync(REQUIREMENTS, 'utf8');
  if (existsSync(own) && existsSync(installed) && readFileSync(installed, 'utf8') === wanted) return own;
  rmSync(VENV, { recursive: true, force: true });
  say(`installing ${wanted.trim().split('\n').join(' and ')}`);
  const run = (command: string, ...args: string[]): void => void execFileSync(command, args, { stdio: 'inherit' });
  if (spawnSync('uv', ['--version']).status === 0) {
    run('uv', 'venv', '--quiet', '--python', python, VENV);
    run('uv', 'pip', 'install', '--quiet', '--python', own, '--requirement', REQUIREMENTS);
  } else {
    run(python, '-m', 'venv', VENV);
    run(own, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', REQUIREMENTS);
  }
  copyFileSync(REQUIREMENTS, installed);
  return own;
}

/** What is there: "2.0.1" of "duckdb". */
export function versionOf(python: string, distribution: string): string {
  const program = 'import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))';
  return execFileSync(python, ['-c', program, distribution], { encoding: 'utf8' }).trim();
}
