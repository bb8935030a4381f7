/**
 * Keeps standard output and standard error short where they go to a file that nobody empties, as those of a run whose launcher
 * has gone: whichever has grown beyond the limit begins anew. Looked at a few times a second, so that it may stand above the
 * limit for that long; programs that the run has started and that write there by themselves are held to it, too.
 */
import { fstatSync, ftruncateSync, readFileSync } from 'node:fs';
import { errnoOf, OxiError } from '../engine/errors.ts';

const EVERY_MS = 250;

/** What an end of a file is, among the flags of an open one (Linux, `O_APPEND` in octal). */
const APPENDS = 0o2000;

/**
 * Throws OxiError CONFIG_INVALID where neither is a file, or one is written to at a place of its own instead of at its end. What
 * `write_stdout` writes is held to it as well: whoever wants records in a file has `write_file`.
 */
export function limitOutput(limitBytes: number, fds: readonly number[] = [1, 2]): Disposable {
  const files = fds.filter((fd) => sizeOf(fd) !== undefined);
  if (files.length === 0)
    throw new OxiError(
      'CONFIG_INVALID',
      'only a file can have a limit: leave --output-limit out, or send output to a file',
    );
  if (files.some(isPlaced))
    throw new OxiError(
      'CONFIG_INVALID',
      '--output-limit needs a file that is appended to, or what is cut off leaves a hole: write >> FILE, not > FILE',
    );
  const timer = setInterval(() => {
    for (const fd of files) if ((sizeOf(fd) ?? 0) > limitBytes) beginAnew(fd);
  }, EVERY_MS);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** It is written to at a place of its own, as far as this system tells. */
function isPlaced(fd: number): boolean {
  try {
    const [, flags = ''] = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')) ?? [];
    return flags !== '' && (Number.parseInt(flags, 8) & APPENDS) === 0;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return false;
  }
}

/** Undefined for what is no file, or is closed. */
function sizeOf(fd: number): number | undefined {
  try {
    const stats = fstatSync(fd);
    return stats.isFile() ? stats.size : undefined;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}

function beginAnew(fd: number): void {
  try {
    ftruncateSync(fd, 0);
  } catch (error) {
    // A file that its system lets only grow: the run is worth more than its length.
    if (errnoOf(error) === undefined) throw error;
  }
}
