/**
 * Starts the runner in a build that has its crash points (`dist/` leaves them out), each attempt in a process group of its own,
 * and holds every attempt to one promise: when it is over, nobody of its group is left.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { EventPayloads, RunEvent } from '../../runner/observe/types.ts';
import { WITH_CRASH_POINTS } from '../project/build-first.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAM = join(WITH_CRASH_POINTS, 'oxiflow.mjs');
/** The Node of the checkout: the tests' own may be another one. */
const NODE = `${ROOT}/node_modules/node/bin/node`;
/** An attempt that takes longer hangs: it is killed and fails the test. */
const LONGEST_MS = 30_000;

/** Of the state. */
export const BACKENDS = ['sqlite', 'file'] as const;
/** Of Redis the address comes by OXIFLOW_STATE_URL. */
export type Backend = (typeof BACKENDS)[number] | 'redis';

type Resumed = NonNullable<EventPayloads['run.started']['resumed_from']>;

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  events: readonly RunEvent[];
  /** What `run.started` says; undefined where it went on from nothing, or never started. */
  resumedFrom: Resumed | undefined;
}

export interface AttemptOptions {
  env?: Readonly<Record<string, string>>;
  /** Called with each event and the attempt as soon as it has come. */
  onEvent?: (event: RunEvent, attempt: Attempt) => void;
  /** Standard output: collected, or a pipe that nobody reads. */
  stdout?: 'collected' | 'unread';
  /** Started through bash, behind this text (`ulimit ...; exec`). */
  shell?: string;
  /** Descriptor 4 is a pipe that the test holds, for `--parent-fd 4`. */
  parent?: boolean;
  verb?: string;
  /** An attempt that takes longer hangs, in milliseconds. */
  longestMs?: number;
  /** Milliseconds that others of its group may go on when it is gone. */
  othersMs?: number;
}

/** One process of the runner. */
export class Attempt {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ended: Promise<Ended>;
  readonly events: RunEvent[] = [];
  readonly #waiting = new Set<() => void>();
  #lines: Interface | undefined;
  #over = false;
  #stderr = '';

  constructor(args: readonly string[], options: AttemptOptions) {
    const command = [NODE, PROGRAM, ...args];
    const [program = '', ...rest] =
      options.shell === undefined ? command : ['bash', '-c', `${options.shell} exec "$@"`, 'bash', ...command];
    this.child = spawn(program, rest, {
      cwd: ROOT,
      env: environment(options.env ?? {}),
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
      detached: true,
    });
    this.pid = this.child.pid ?? -1;
    this.ended = this.#run(options);
    // Whoever waits for it sees a failure; until then it must not count as unhandled.
    this.ended.catch(() => undefined);
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.child.kill(signal);
  }

  /** Resolves when it has frozen itself (`OXIFLOW_STOP_AT`), or was frozen. */
  async untilFrozen(): Promise<void> {
    while (!isFrozen(this.pid)) {
      if (this.#over) throw new Error(`the attempt ended before it froze:\n${this.#stderr}`);
      await delay(5);
    }
  }

  /** Nobody reads its events any more. */
  deafen(): void {
    this.#lines?.close();
    (this.child.stdio[3] as Readable).destroy();
  }

  /** Lets go of the pipe that stands for the launcher. */
  orphan(): void {
    (this.child.stdio[4] as Readable).destroy();
  }

  /** Resolves when `seen` says yes; fails when the process ends before. */
  async until(what: string, seen: (attempt: Attempt) => boolean): Promise<void> {
    while (!seen(this)) {
      if (this.#over) throw new Error(`the attempt ended before ${what}:\n${this.#stderr}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      await Promise.race([promise, this.ended]);
      this.#waiting.delete(resolve);
    }
  }

  get stderr(): string {
    return this.#stderr;
  }

  async #run(options: AttemptOptions): Promise<Ended> {
    const { child } = this;
    const hang = setTimeout(() => child.kill('SIGKILL'), options.longestMs ?? LONGEST_MS);
    const out: Buffer[] = [];
    const tell = (): void => {
      for (const resolve of this.#waiting) resolve();
    };
    if (options.stdout !== 'unread') child.stdout?.on('data', (part: Buffer) => out.push(part));
    child.stderr?.on('data', (part: Buffer) => {
      this.#stderr += part;
      tell();
    });
    // Its other end dies with the process.
    child.stdio[4]?.on('error', () => undefined);
    const lines = createInterface({ input: child.stdio[3] as Readable });
    this.#lines = lines;
    const read = once(lines, 'close');
    lines.on('line', (line) => {
      // The last line of a killed process may be cut off.
      const event = parse(line);
      if (event === undefined) return;
      this.events.push(event);
      options.onEvent?.(event, this);
      tell();
    });
    const gone = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    if (options.parent !== true) this.orphan();
    const [code, signal] = await gone;
    this.#over = true;
    clearTimeout(hang);
    if (options.stdout === 'unread') child.stdout?.destroy();
    await read;
    if (child.stderr?.readableEnded === false) await once(child.stderr, 'close');
    tell();
    await expectNobodyLeft(this.pid, options.othersMs ?? 500);
    const started = this.events.find(({ type }) => type === 'run.started') as EventPayloads['run.started'] | undefined;
    return {
      code,
      signal,
      stdout: Buffer.concat(out).toString(),
      stderr: this.#stderr,
      events: this.events,
      resumedFrom: started?.resumed_from ?? undefined,
    };
  }
}

/** What a shell has, without anything that is meant for the tests or for other runs. */
function environment(extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(?!OXIFLOW_TESTS$)(OXIFLOW|VITEST|NODE_|DAGSTER)/.test(name),
  );
  return { ...Object.fromEntries(kept), ...extra };
}

function parse(line: string): RunEvent | undefined {
  try {
    return JSON.parse(line) as RunEvent;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The group of a process that is gone has no member, or soon has none: the system ends threads in its own time. */
async function expectNobodyLeft(group: number, withinMs: number): Promise<void> {
  const end = performance.now() + withinMs;
  while (isAlive(group) && performance.now() < end) await delay(10);
  expect(isAlive(group), `somebody of process group ${group} is left`).toBe(false);
}

function isFrozen(pid: number): boolean {
  if (process.platform === 'linux') {
    try {
      // Behind the command, which may have brackets of its own.
      return readFileSync(`/proc/${pid}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .startsWith('T');
    } catch {
      return false;
    }
  }
  const state = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  return state.stdout.trim().startsWith('T');
}

function isAlive(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch {
    return false;
  }
}
