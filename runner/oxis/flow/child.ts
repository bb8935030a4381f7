/**
 * A program that answers every line with a line. It has a process group of its own, which is gone when this is closed, whatever
 * the program started meanwhile; and when this process is killed, its standard input ends. Nothing is held without a bound.
 */
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DiedOverRecords, errnoOf, OxiError } from '../../engine/errors.ts';

const LF = 0x0a;
const MB = 1024 * 1024;

/** The longest line that is taken, as of a parser; and all lines of one block together. */
const MAX_LINE_BYTES = 64 * MB;
const MAX_ANSWER_BYTES = 256 * MB;
/** One write: the rest of a block waits for it. */
const WRITE_BYTES = 64 * 1024;
/** Between SIGTERM and SIGKILL. */
const GRACE_MS = 2000;
/** For the last words of a program that has ended, or closed its input. */
const LAST_WORDS_MS = 1000;
/** For the end of a program behind the end of its input. */
const END_MS = 30_000;
const POLL_MS = 10;
/** Lines of standard error that go to the log, the last ones that go into the message, and characters of each. */
const LOGGED_LINES = 1000;
const KEPT_LINES = 5;
const LINE_CHARACTERS = 300;

export interface ChildOptions {
  command: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
  step: string;
  /** Texts that must not be told in part: they go before a line is cut. */
  secrets: readonly string[];
  debug: ((message: string) => void) | undefined;
}

interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Why it could not be started. */
  failure?: string;
}

/** Lines that are still to come. */
interface Wanted {
  lines: number;
  of: number;
  chunks: Buffer[];
  bytes: number;
  lineBytes: number;
  resolve(answer: Buffer): void;
  reject(error: unknown): void;
}

/** Groups that are alive: they go with this process, if it has the time. */
const alive = new Set<number>();
let watching = false;

export class Child {
  readonly #o: ChildOptions;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #exit: Promise<Exit>;
  /** It has ended, and all that it wrote has been read; or nobody can tell whether more comes, because the pipe is open still. */
  readonly #over: Promise<Exit>;
  #wanted: Wanted | undefined;
  #written = true;
  #failed: OxiError | undefined;
  #killed: Promise<void> | undefined;
  readonly #words: string[] = [];
  #logged = 0;

  constructor(options: ChildOptions) {
    this.#o = options;
    const { command, cwd, env } = options;
    const [file = '', ...args] = command;
    // Loaded here: other runs start without it. A group of its own, which is ended here with all that is in it.
    const { spawn } = process.getBuiltinModule('node:child_process');
    let child: ChildProcessWithoutNullStreams;
    try {
      child = spawn(file, args, { cwd, env, detached: true });
    } catch (error) {
      // Most failures come later, as an event; these are arguments that are too long, and the like.
      throw this.#error(`could not be started: ${error instanceof Error ? error.message : error}`);
    }
    this.#process = child;
    if ((child.stdout as unknown) === undefined) {
      // No descriptor was free for its pipes; the event says the same.
      child.on('error', () => undefined);
      throw this.#error('could not be started: too many files are open');
    }
    const { pid, stdin, stdout, stderr } = child;
    if (pid !== undefined) keep(pid);
    this.#exit = new Promise<Exit>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
      // Of one that could not be started.
      child.once('error', (error) => resolve({ code: null, signal: null, failure: failureOf(error, options) }));
    });
    const read = new Promise<void>((resolve) => stdout.once('close', resolve));
    this.#over = this.#exit.then(async (how) => {
      await within(read, LAST_WORDS_MS);
      return how;
    });
    void this.#over.then((how) => this.#wanted && this.#ended(how));
    // One that closes a pipe is most often about to end, which says more.
    const closed = (sentence: string): void =>
      void within(this.#over, LAST_WORDS_MS).then(() => this.#wanted && this.#fail(sentence, true));
    void read.then(() => closed('closed its output'));
    stdin.on('error', () => closed('closed its input before it had read all of it'));
    stdout.on('data', (chunk: Buffer) => this.#take(chunk));
    stdout.on('error', () => undefined);
    this.#listen(stderr);
  }

  /** What it is waiting for. */
  get doing(): string | undefined {
    if (this.#wanted === undefined) return undefined;
    const { lines, of } = this.#wanted;
    const has = `"${this.#name}" has answered ${lines} of ${of} lines`;
    return this.#written
      ? `${has} and has all of its input; a program that keeps its output back has to be told to write line by line (jq --unbuffered, sed -u, stdbuf -oL)`
      : has;
  }

  get #name(): string {
    return this.#o.command[0] ?? '';
  }

  /** Gives it so many lines, each with its line feed; resolves with as many. Throws OxiError EXEC_FAILED, and is of no more use. */
  async exchange(lines: Buffer, count: number): Promise<Buffer> {
    if (this.#failed !== undefined) throw this.#failed;
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    this.#wanted = { lines: 0, of: count, chunks: [], bytes: 0, lineBytes: 0, resolve, reject };
    this.#written = false;
    // It may have ended since the last block.
    void within(this.#over, 0).then((how) => how && this.#wanted && this.#ended(how));
    const [answer] = await Promise.all([promise, this.#write(lines)]);
    return answer;
  }

  /** A piece at a time: what does not fit into the pipe waits here, in the caller's memory. */
  async #write(lines: Buffer): Promise<void> {
    const { stdin } = this.#process;
    for (let at = 0; at < lines.length && this.#failed === undefined; at += WRITE_BYTES) {
      const { promise, resolve } = Promise.withResolvers<void>();
      // An error comes to the stream's listener too.
      stdin.write(lines.subarray(at, at + WRITE_BYTES), () => resolve());
      await promise;
    }
    this.#written = true;
  }

  #take(chunk: Buffer): void {
    const wanted = this.#wanted;
    if (wanted === undefined) {
      this.#fail('wrote more lines than it was given');
      return;
    }
    let from = 0;
    for (let end = chunk.indexOf(LF); end >= 0 && wanted.lines < wanted.of; end = chunk.indexOf(LF, from)) {
      wanted.lines++;
      wanted.lineBytes = 0;
      from = end + 1;
    }
    wanted.chunks.push(chunk);
    wanted.bytes += chunk.length;
    wanted.lineBytes += chunk.length - from;
    if (wanted.lines === wanted.of) {
      if (from < chunk.length) this.#fail('wrote more lines than it was given');
      else {
        this.#wanted = undefined;
        wanted.resolve(Buffer.concat(wanted.chunks));
      }
    } else if (wanted.lineBytes > MAX_LINE_BYTES)
      this.#fail(`wrote a line of more than ${MAX_LINE_BYTES / MB} MB`, true);
    else if (wanted.bytes > MAX_ANSWER_BYTES)
      this.#fail(`answered ${wanted.of} lines with more than ${MAX_ANSWER_BYTES / MB} MB`, true);
  }

  /** Lines of its standard error, for the log and for the message. */
  #listen(stderr: NodeJS.ReadableStream): void {
    let rest = '';
    const line = (text: string): void => {
      if (text.trim() === '') return;
      const whole = this.#o.secrets.reduce((hidden, secret) => hidden.replaceAll(secret, '***'), text);
      const clipped = whole.length > LINE_CHARACTERS ? `${whole.slice(0, LINE_CHARACTERS)}…` : whole;
      this.#words.push(clipped);
      if (this.#words.length > KEPT_LINES) this.#words.shift();
      if (++this.#logged <= LOGGED_LINES) this.#o.debug?.(`${this.#name}: ${clipped}`);
      else if (this.#logged === LOGGED_LINES + 1) this.#o.debug?.(`${this.#name}: says more, which is not shown`);
    };
    stderr.setEncoding('utf8');
    stderr.on('data', (text: string) => {
      const lines = (rest + text).split(/\r?\n/);
      rest = (lines.pop() ?? '').slice(0, 2 * LINE_CHARACTERS);
      for (const one of lines) line(one);
    });
    stderr.on('end', () => line(rest));
    stderr.on('error', () => undefined);
  }

  #endedSentence({ code, signal, failure }: Exit): string {
    if (failure !== undefined) return `could not be started: ${failure}`;
    const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
    return this.#wanted === undefined
      ? how
      : `${how}, having answered ${this.#wanted.lines} of ${this.#wanted.of} lines`;
  }

  /** One that was never there has not ended over its records. */
  #ended(how: Exit): void {
    this.#fail(this.#endedSentence(how), how.failure === undefined);
  }

  /** It is of no more use; the first reason counts. `overRecords`: one of those that it was given may be to blame. */
  #fail(sentence: string, overRecords = false): void {
    this.#failed ??= this.#error(sentence, overRecords);
    void this.kill();
  }

  #error(sentence: string, overRecords = false): OxiError {
    const words = this.#words.length === 0 ? '' : `. It said: ${this.#words.join(' | ')}`;
    const what = `"${this.#name}" ${sentence}${words}`;
    const message = `step "${this.#o.step}": ${what}`;
    const place = { step: this.#o.step, field: 'command' };
    return overRecords ? new DiedOverRecords(message, what, place) : new OxiError('EXEC_FAILED', message, { place });
  }

  /** Ends its input and waits for its end. Throws OxiError EXEC_FAILED where it fails then, or says something more. */
  async end(): Promise<void> {
    this.#process.stdin.end();
    const exit = this.#failed === undefined ? await within(this.#over, END_MS) : undefined;
    const failed = this.#failed as OxiError | undefined;
    await this.kill();
    if (failed !== undefined) throw failed;
    if (exit === undefined) throw this.#error(`did not end within ${END_MS / 1000} s behind the end of its input`);
    if (exit.code !== 0) throw this.#error(this.#endedSentence(exit));
  }

  /** Ends the whole group, and fails what is still wanted. Returns when nobody of it is left. */
  kill(): Promise<void> {
    this.#failed ??= this.#error('was ended before it had answered');
    this.#wanted?.reject(this.#failed);
    this.#wanted = undefined;
    this.#killed ??= this.#kill();
    return this.#killed;
  }

  async #kill(): Promise<void> {
    const { pid, stdin, stdout, stderr } = this.#process;
    stdin.destroy();
    stdout.destroy();
    if (pid !== undefined) {
      const end = performance.now() + GRACE_MS;
      signalGroup(pid, 'SIGTERM');
      while (signalGroup(pid, 0) && performance.now() < end) await sleep(POLL_MS);
      // Who is left now does not want to end, or is dead and waits for its parent to look.
      if (signalGroup(pid, 'SIGKILL')) await within(this.#exit, GRACE_MS);
      alive.delete(pid);
    }
    stderr.destroy();
  }
}

function failureOf(error: Error, { cwd, env }: ChildOptions): string {
  if (errnoOf(error) !== 'ENOENT') return error.message;
  return existsSync(cwd) ? `no such program (looked in PATH ${env.PATH ?? ''})` : `no such folder: ${cwd}`;
}

/** Its group goes when this process does, if that has the time to see to it. */
function keep(pid: number): void {
  alive.add(pid);
  if (!watching)
    process.on('exit', () => {
      for (const group of alive) signalGroup(group, 'SIGKILL');
    });
  watching = true;
}

/** False where there is no such group any more. */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}

/** What `work` gives, or undefined when it takes longer. */
async function within<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined);
  });
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}
