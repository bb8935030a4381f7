/**
 * Builds `dist/` once before the tests where a source is newer: tests of the command line run what users run. Beside it a build
 * with crash points, which fault tests run.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const WITH_CRASH_POINTS = fileURLToPath(
  new URL('../../node_modules/.cache/oxiflow/crash-points', import.meta.url),
);

export default function setup(): void {
  const newest = newestSource();
  if (isOlder('dist', newest)) build();
  if (isOlder(WITH_CRASH_POINTS, newest)) build('--crash-points', '--out', WITH_CRASH_POINTS);
}

function build(...options: string[]): void {
  execFileSync(process.execPath, ['runner/build.ts', ...options], { stdio: 'inherit' });
}

function isOlder(folder: string, than: number): boolean {
  const built = `${folder}/oxiflow.mjs`;
  return !existsSync(built) || statSync(built).mtimeMs < than;
}

function newestSource(): number {
  const paths = [
    ...globSync('runner/**/*.ts'),
    ...globSync('runner/templates/**/*.*'),
    'package.json',
    'package-lock.json',
  ];
  return Math.max(...paths.map((path) => statSync(path).mtimeMs));
}
