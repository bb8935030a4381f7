/**
 * Writes the event stream: NDJSON to a file or to a descriptor that the launcher passed. Only opening can fail the run. Later
 * a write that fails is counted and told once, and a reader that is slow or gone costs lines (a gap in `seq`), never time.
 * Each line is one write to a file opened for appending, so the lines of two attempts never mix. A file that has a limit is this
 * attempt's alone; what was in it before stays.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { errnoOf, OxiError } from '../engine/errors.ts';
import { type EventWriter, Losses, lineOf, type WriterOptions } from './event-lines.ts';
import { PipeWriter } from './pipe-writer.ts';
import type { RunEvent } from './types.ts';

const LINE_FEED = 10;

/**
 * Opens `--events`: a path, or `fd:N`. Throws OxiError CONFIG_INVALID or PERMISSION_DENIED: a launcher that can't be told
 * anything should learn it before the run.
 */
export function openEvents(target: string, options: WriterOptions): EventWriter {
  const { fd, name, owned } = target.startsWith('fd:') ? inherited(target) : opened(target);
  const stats = fstatSync(fd);
  if (options.limitBytes !== undefined && !stats.isFile()) {
    if (owned) closeSync(fd);
    throw refuse(name, 'only a file can have a limit; leave --events-limit out');
  }
  if (stats.isFIFO() || stats.isSocket()) return new PipeWriter(fd, name, options);
  return new FileWriter(fd, name, owned, options, stats.isFile() ? fstatSync(fd).size : 0);
}

function refuse(name: string, problem: string, cause?: unknown): OxiError {
  return new OxiError('CONFIG_INVALID', `--events ${name}: ${problem}`, cause === undefined ? {} : { cause });
}

function inherited(target: string): { fd: number; name: string; owned: boolean } {
  const number = target.slice('fd:'.length);
  if (!/^\d{1,7}$/.test(number)) throw refuse(target, 'after fd: comes the number of an open descriptor, such as fd:3');
  const fd = Number(number);
  if (fd < 3)
    throw refuse(target, '0, 1 and 2 are for input, data and people; pass another descriptor, such as fd:3, or a file');
  const closed = `descriptor ${fd} is not open for writing; have the launcher pass it on, or give a file`;
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile() && !stats.isFIFO() && !stats.isSocket() && !stats.isCharacterDevice())
      throw refuse(target, closed);
    // Writing nothing asks the system whether writing is allowed; a socket is connected or not, and never asked.
    if (!stats.isSocket()) writeSync(fd, new Uint8Array(0), 0, 0);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined || error instanceof OxiError) throw error;
    throw refuse(target, errno === 'EBADF' ? closed : `can't be written (${errno})`, error);
  }
  return { fd, name: target, owned: false };
}

function opened(path: string): { fd: number; name: string; owned: boolean } {
  try {
    // Non-blocking, because opening a named pipe that nobody reads would otherwise wait for ever.
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
    const fd = openSync(path, flags, 0o644);
    const stats = fstatSync(fd);
    if (stats.isFile() && stats.size > 0 && !endsWithLineFeed(path, stats.size)) writeSync(fd, '\n');
    return { fd, name: path, owned: true };
  } catch (error) {
    switch (errnoOf(error)) {
      case 'EACCES':
      case 'EPERM':
      case 'EROFS':
        throw new OxiError('PERMISSION_DENIED', `--events ${path}: no permission to write there`, { cause: error });
      case 'ENOENT':
      case 'ENOTDIR':
        throw refuse(path, 'its folder is not there; make it first', error);
      case 'EISDIR':
        throw refuse(path, 'that is a folder; name a file in it', error);
      case 'ENXIO':
        throw refuse(path, 'nobody reads that pipe; start its reader first, or name a file', error);
      case undefined:
        throw error;
      default:
        throw refuse(path, `can't be opened (${errnoOf(error)}); name another file`, error);
    }
  }
}

/** A process that was killed while it wrote may have left half a line, which the first line of this one must not join. */
function endsWithLineFeed(path: string, size: number): boolean {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    // A file that may be written but not read: taken as whole.
    if (errnoOf(error) === 'EACCES' || errnoOf(error) === 'EPERM') return true;
    throw error;
  }
  try {
    const last = Buffer.alloc(1);
    return readSync(fd, last, 0, 1, size - 1) === 0 || last[0] === LINE_FEED;
  } finally {
    closeSync(fd);
  }
}

/** A regular file or a device: written at once, so that an event is out before the next thing happens. */
class FileWriter implements EventWriter {
  readonly counts = { written: 0, dropped: 0, failed: 0 };
  readonly #fd: number;
  readonly #owned: boolean;
  readonly #losses: Losses;
  readonly #write: (fd: number, bytes: Uint8Array) => number;
  /** The last line went out in part: the next one begins with a line feed, so that readers lose one line and not two. */
  #torn = false;
  #closed = false;
  /** What was in the file before, and what this attempt has added. */
  readonly #before: number;
  #added = 0;
  readonly #limit: number;
  #started: Extract<RunEvent, { type: 'run.started' }> | undefined;

  constructor(fd: number, name: string, owned: boolean, options: WriterOptions, before: number) {
    this.#fd = fd;
    this.#owned = owned;
    this.#losses = new Losses(name, options.warn);
    this.#write = options.write ?? writeSync;
    this.#before = before;
    this.#limit = options.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  onEvent(event: RunEvent): void {
    if (this.#closed) return;
    const line = lineOf(event);
    if (event.type === 'run.started') this.#started = event;
    else if (this.#added + line.length > this.#limit) this.#beginAnew(event);
    this.#put(line);
  }

  /** What the file says of this attempt goes, but for its first line, which says how many events are not there any more. */
  #beginAnew(next: RunEvent): void {
    if (this.#started === undefined) return;
    const head = lineOf({ ...this.#started, left_out: Math.max(0, next.seq - this.#started.seq - 1) });
    // A limit that the first line fills already would have every event begin anew.
    if (this.#added <= 2 * head.length) return;
    try {
      ftruncateSync(this.#fd, this.#before);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      this.#losses.tell(`it can't be made shorter (${errno})`);
      return;
    }
    this.#added = 0;
    this.#torn = false;
    this.#put(head);
  }

  #put(line: Buffer): void {
    let rest: Buffer = this.#torn ? Buffer.concat([Buffer.from('\n'), line]) : line;
    const length = rest.length;
    try {
      while (rest.length > 0) {
        const taken = this.#write(this.#fd, rest);
        this.#added += taken;
        rest = rest.subarray(taken);
      }
      this.#torn = false;
      this.counts.written += 1;
    } catch (error) {
      // What the system refuses (ENOSPC, EIO, EPIPE, EAGAIN) costs the line, not the run; anything else is a bug.
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      if (rest.length < length) this.#torn = true;
      this.counts.failed += 1;
      this.#losses.tell(`a write failed (${errno})`);
    }
  }

  async flush(): Promise<void> {}

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#owned) closeSync(this.#fd);
  }
}
