/** The program at a terminal, and a person who types there. */
import { spawn, spawnSync } from 'node:child_process';
import { NODE, PROGRAM, plainEnvironment } from './program.ts';

export const CTRL_C = '\u0003';

/** `script` of util-linux gives a command a terminal; where there is another one, Python does. */
function atTerminal(line: string): [string, string[]] {
  const isLinux = spawnSync('script', ['--version']).stdout?.toString().includes('util-linux') === true;
  if (isLinux) return ['script', ['-qec', line, '/dev/null']];
  const spawning = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';
  return ['python3', ['-c', spawning, 'bash', '-c', line]];
}

interface Seen {
  code: number | null;
  screen: string;
}

/** Runs `oxiflow ARGS` at a terminal; types `then[1]` once `then[0]` is on the screen, and so on. */
export async function watch(
  args: string,
  options: { cwd: string; env?: Record<string, string>; then?: readonly (readonly [string, string])[] },
): Promise<Seen> {
  const [command, words] = atTerminal(`exec '${NODE}' -- '${PROGRAM}' ${args}`);
  const child = spawn(command, words, {
    cwd: options.cwd,
    env: { ...plainEnvironment(), TERM: 'xterm-256color', ...options.env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let screen = '';
  const waiting = [...(options.then ?? [])];
  child.stdout.on('data', (part: Buffer) => {
    screen += part.toString();
    while (waiting[0] !== undefined && screen.includes(waiting[0][0])) child.stdin.write(waiting.shift()?.[1] ?? '');
  });
  child.stdin.on('error', () => undefined);
  const { promise, resolve } = Promise.withResolvers<number | null>();
  child.on('close', resolve);
  const code = await promise;
  return { code, screen };
}
