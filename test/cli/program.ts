/** Starts the built program as a user would, in a project folder of its own, and tells all that came of it. */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, vi } from 'vitest';

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
/** A copy, far from any node_modules: `dist/` needs nothing beside it, and a build meanwhile disturbs nobody. */
const DIST = copyOfDist();
export const PROGRAM = join(DIST, 'oxiflow.mjs');
/** The Node of the checkout: the tests' own may be another one. */
export const NODE = join(REPOSITORY, 'node_modules/node/bin/node');
/** A run that takes longer hangs: it is killed, and its exit code is null. A busy machine makes a run slow, not wrong. */
const LONGEST_MS = 45_000;
vi.setConfig({ testTimeout: 60_000 });
export const NOBODY = 65_534;

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface StartOptions {
  cwd: string;
  env?: Readonly<Record<string, string>> | undefined;
  /** What stands on its standard input; nothing where left out, null: the caller writes it. */
  input?: string | null | undefined;
  /** A user without rights; only root can become one. */
  uid?: number | undefined;
  /** Descriptors from 3 on are pipes that the caller reads. */
  pipes?: number | undefined;
  nodeOptions?: readonly string[] | undefined;
  /** Standard output is left to the caller. */
  ownStdout?: boolean | undefined;
  /** After so many milliseconds it hangs: it is killed. */
  longestMs?: number | undefined;
}

export interface Started {
  child: ChildProcess;
  ended: Promise<Ended>;
}

/** What the environment of a user's shell has; nothing of the tests' own settings may reach the program. */
export function plainEnvironment(): Record<string, string> {
  const kept = ['PATH', 'HOME', 'LANG', 'OXIFLOW_TESTS'];
  return Object.fromEntries(
    kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name] ?? '']])),
  );
}

export function start(args: readonly string[], options: StartOptions): Started {
  const { cwd, env, input, uid, pipes = 0, nodeOptions = [] } = options;
  // As its first line says: behind "--", Node leaves all options to the program.
  const child = spawn(NODE, [...nodeOptions, '--', PROGRAM, ...args], {
    cwd,
    env: { ...plainEnvironment(), ...env },
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...Array<'pipe'>(pipes).fill('pipe')],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  return { child, ended: ending(child, input, options.ownStdout === true, options.longestMs) };
}

export async function oxiflow(args: readonly string[], options: StartOptions): Promise<Ended> {
  return await start(args, options).ended;
}

/** A shell line in which `oxiflow` is the program. */
export async function shell(
  line: string,
  options: { cwd: string; env?: Readonly<Record<string, string>> },
): Promise<Ended> {
  const script = `oxiflow() { '${NODE}' -- '${PROGRAM}' "$@"; }\n${line}`;
  const child = spawn('bash', ['-c', script], {
    cwd: options.cwd,
    env: { ...plainEnvironment(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return await ending(child, undefined, false);
}

async function ending(
  child: ChildProcess,
  input: string | null | undefined,
  ownStdout: boolean,
  longestMs = LONGEST_MS,
): Promise<Ended> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  if (!ownStdout) child.stdout?.on('data', (part: Buffer) => out.push(part));
  child.stderr?.on('data', (part: Buffer) => err.push(part));
  // A program that ends early does not read all of its input.
  child.stdin?.on('error', () => undefined);
  if (input !== null) child.stdin?.end(input);
  const timer = setTimeout(() => child.kill('SIGKILL'), longestMs);
  const { promise, resolve, reject } = Promise.withResolvers<[number | null, NodeJS.Signals | null]>();
  child.on('error', reject);
  child.on('close', (code, signal) => resolve([code, signal]));
  const [code, signal] = await promise.finally(() => clearTimeout(timer));
  return { code, signal, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}

function copyOfDist(): string {
  const copy = mkdtempSync(join(tmpdir(), 'oxiflow-dist-'));
  chmodSync(copy, 0o755);
  cpSync(join(REPOSITORY, 'dist'), copy, { recursive: true });
  afterAll(() => rmSync(copy, { recursive: true, force: true }));
  return copy;
}

/** Registered here and not in a test: then it would belong to that test alone, and be gone with it. */
const ROOT = mkdtempSync(join(tmpdir(), 'oxiflow-cli-'));
chmodSync(ROOT, 0o755);
afterAll(() => rmSync(ROOT, { recursive: true, force: true }));

/** A folder with these files that is gone after the tests of the file; anybody may read it. */
export function folder(files: Readonly<Record<string, string | Uint8Array>>): string {
  const root = mkdtempSync(join(ROOT, 'shop-'));
  chmodSync(root, 0o755);
  put(root, files);
  return root;
}

export function put(root: string, files: Readonly<Record<string, string | Uint8Array>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
}

/** Every file below `root` with its bytes in Latin-1, but for those under `.oxiflow/`. */
export function snapshot(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' }).sort()) {
    if (name === '.oxiflow' || name.startsWith('.oxiflow/')) continue;
    const path = join(root, name);
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) found[name] = readFileSync(path, 'latin1');
  }
  return found;
}

/** The lines of a stream of JSON documents. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

/** Steps as a pipeline file: `[oxi, config]`, written as JSON, which is YAML. */
export function pipelineOf(steps: readonly (readonly [string, object?, object?])[], rest: object = {}): string {
  const list = steps.map(([name, config, fields]) => ({
    name,
    ...(config === undefined ? {} : { config }),
    ...fields,
  }));
  return JSON.stringify({ pipeline: list, ...rest });
}
