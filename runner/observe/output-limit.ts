/**
 * Keeps standard output and standard error short where they go to a file that nobody empties, as those of a run whose launcher
 * has gone: whichever has grown beyond the limit begins anew. Looked at a few times a second, so that it may stand above the
 * limit for that long; programs that the run has started and that write there by themselves are held to it, too.
 */
import { fstatSync, ftruncateSync } from 'node:fs';
import { errnoOf, OxiError } from '../engine/errors.ts';

const EVERY_MS = 250;

/** Throws OxiError CONFIG_INVALID where neither is a file. */
export function limitOutput(limitBytes: number, fds: readonly number[] = [1, 2]): Disposable {
  const files = fds.filter((fd) => sizeOf(fd) !== undefined);
  if (files.length === 0)
    throw new OxiError(
      'CONFIG_INVALID',
      'only a file can have a limit: leave --output-limit out, or send output to a file',
    );
  const timer = setInterval(() => {
    for (const fd of files) if ((sizeOf(fd) ?? 0) > limitBytes) beginAnew(fd);
  }, EVERY_MS);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
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
