/**
 * The other workers of `run --workers N`: processes that join the run, and end with it. They start beside this one, and wait until
 * they are told that the run is there.
 */
import type { ChildProcess } from 'node:child_process';
import type { Writable } from 'node:stream';
import { LONGEST_MS } from '../engine/pause.ts';
import { StopRequest } from '../engine/stop.ts';

/** After a stop, or the end of the run: what a worker may take beyond the time for draining before it is ended. */
const EXTRA_MS = 5000;
/** What a process that was killed may take to be gone: one that waits for a file server that is gone never is. */
const GONE_MS = 5000;

export interface LocalWorkersOptions {
  /** How many there are, this process included. */
  count: number;
  /** Of `oxiflow run`, for each of the others. */
  args: readonly string[];
  /** Aborted: they drain as well. */
  stop: AbortSignal;
  drainMs: number;
  say(message: string): void;
}

export class LocalWorkers implements AsyncDisposable {
  readonly #o: LocalWorkersOptions;
  readonly #children: ChildProcess[] = [];
  readonly #over = new AbortController();
  #told = false;

  constructor(options: LocalWorkersOptions) {
    this.#o = options;
  }

  /** They get ready. */
  start(): void {
    const { count, args, stop } = this.#o;
    const [program = ''] = process.argv.slice(1);
    for (let i = 1; i < count && !stop.aborted; i++) {
      // Loaded where there are others: it takes as long as a small run reads.
      const { spawn } = process.getBuiltinModule('node:child_process');
      // The pipe tells them when this process is gone, however it died.
      const waiting = ['run', '--parent-fd', '3', '--when-told'];
      const child = spawn(process.execPath, [...process.execArgv, program, ...waiting, ...args], {
        stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
        // This process tells its launcher how the whole run goes.
        env: withoutPipes(process.env),
      });
      // One that is gone can't be told, and needn't be.
      pipeTo(child)?.on('error', () => undefined);
      child.on('error', (error) => this.#o.say(`a worker could not be started: ${error.message}`));
      this.#children.push(child);
    }
    stop.addEventListener('abort', () => isForThisOne(stop) || this.#drain(), { once: true });
  }

  /** The run is there: they can join it. */
  tell(): void {
    this.#told = true;
    for (const child of this.#children) pipeTo(child)?.write('\n');
  }

  /** The run is over: whoever of them does not notice that is ended. */
  over(): void {
    this.#over.abort();
  }

  /** By the pipe: one whose whole group was told to end has had its signal, and a second one would stop it at once. */
  #drain(): void {
    for (const child of this.#children) pipeTo(child)?.destroy();
  }

  /** Waits for them: they end when the run does, or at once where there is none. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#told) {
      this.#drain();
      this.over();
    }
    await Promise.all(this.#children.map((child) => this.#ended(child)));
  }

  async #ended(child: ChildProcess): Promise<void> {
    if (child.pid === undefined) return;
    const { stop, drainMs, say } = this.#o;
    const given = new AbortController();
    const late = (): void => {
      setTimeout(
        () => {
          child.kill('SIGKILL');
          setTimeout(() => given.abort(), GONE_MS).unref();
        },
        Math.min(drainMs + EXTRA_MS, LONGEST_MS),
      ).unref();
    };
    onAbort(stop, () => isForThisOne(stop) || late());
    onAbort(this.#over.signal, late);
    if (child.exitCode === null && child.signalCode === null) {
      await Promise.race([new Promise((resolve) => child.once('exit', resolve)), aborted(given.signal)]);
      if (given.signal.aborted) {
        say(`worker ${child.pid} was killed and is still there: it waits for a disk or a file server`);
        letGo(child);
        return;
      }
    }
    // Whoever has joined ends well when the run is over: where this process left before that, it is how it knows.
    if (child.exitCode === 0) this.over();
    if (child.exitCode !== 0 && this.#told && (!stop.aborted || isForThisOne(stop)))
      say(`worker ${child.pid} ended with ${child.signalCode ?? `code ${child.exitCode}`}`);
  }
}

function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => onAbort(signal, () => resolve(undefined)));
}

function onAbort(signal: AbortSignal, then: () => unknown): void {
  if (signal.aborted) then();
  else signal.addEventListener('abort', then, { once: true });
}

/** This process ends without it. */
function letGo(child: ChildProcess): void {
  pipeTo(child)?.destroy();
  child.unref();
}

/** Somebody has asked this worker alone to end: the others go on. */
function isForThisOne({ reason }: AbortSignal): boolean {
  return reason instanceof StopRequest && reason.one;
}

/** Dagster takes one report of a run. */
function withoutPipes({
  DAGSTER_PIPES_CONTEXT: _context,
  DAGSTER_PIPES_MESSAGES: _messages,
  ...env
}: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return env;
}

/** This process's end of the pipe of a child. */
function pipeTo(child: ChildProcess): Writable | undefined {
  return (child.stdio[3] as Writable | null | undefined) ?? undefined;
}
