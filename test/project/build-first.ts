/** Builds `dist/` once before the tests where a source is newer: tests of the command line run what users run. */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, statSync } from 'node:fs';

export default function setup(): void {
  if (stale()) execFileSync(process.execPath, ['runner/build.ts'], { stdio: 'inherit' });
}

function stale(): boolean {
  const built = 'dist/oxiflow.mjs';
  if (!existsSync(built)) return true;
  const { mtimeMs } = statSync(built);
  return [
    ...globSync('runner/**/*.ts'),
    ...globSync('runner/templates/**/*.*'),
    'package.json',
    'package-lock.json',
  ].some((path) => statSync(path).mtimeMs > mtimeMs);
}
