/** A copy of what a fresh checkout holds after `npm ci`, in a folder of its own, and commands as a person types them there. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

interface Said {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface Checkout extends Disposable {
  folder: string;
  /** Runs lines of a shell as they are; the first one that fails ends them. */
  shell(lines: string): Said;
  /** The same, where `npx` finds the program without npm, which needs longer than most commands. */
  quickShell(lines: string): Said;
}

/** Installing again is left out: it would fetch all packages from a registry, for each test. */
export function checkout(): Checkout {
  const folder = mkdtempSync(join(tmpdir(), 'oxiflow-checkout-'));
  cpSync(join(ROOT, 'examples'), join(folder, 'examples'), {
    recursive: true,
    filter: (path) => !/\/(output|\.oxiflow)$/.test(path),
  });
  for (const name of ['package.json', 'package-lock.json', '.npmrc']) cpSync(join(ROOT, name), join(folder, name));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return {
    folder,
    shell: (lines) => shell(lines, folder),
    quickShell: (lines) => shell(`npx() { PATH="$PWD/node_modules/.bin:$PATH" "$@"; }\n${lines}`, folder),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}

function shell(lines: string, cwd: string): Said {
  // Behind a socket, bash takes itself for one that somebody has logged in to, and reads the machine's settings for that.
  const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-euo', 'pipefail', '-c', lines], {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, PATH: systemPath() },
  });
  return { status, stdout, stderr };
}

/** PATH as it is outside of npm and npx, which put the packages' programs (and their Node) in front. */
export function systemPath(): string {
  const path = process.env.PATH ?? '';
  return path
    .split(delimiter)
    .filter((folder) => !folder.includes('node_modules'))
    .join(delimiter);
}
