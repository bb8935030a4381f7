/** What a file is, whatever it is called: links lead several names to one. */
import { type BigIntStats, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

/** Links that lead to nothing, in one path: as many as Linux follows. */
const MOST_LINKS = 40;

/** Of a file that is there. */
export function fileKey({ dev, ino }: Pick<BigIntStats, 'dev' | 'ino'>): string {
  return `file ${dev}:${ino}`;
}

/** Of a path behind all links. */
export function pathKey(path: string): string {
  return `path ${path}`;
}

/** Of a file that may not be there yet: its path behind all links, and what it is, if that can be seen. `path` is absolute. */
export function keysOf(path: string): string[] {
  const key = pathKey(behindLinks(path));
  try {
    const there = statSync(path, { bigint: true, throwIfNoEntry: false });
    return there === undefined ? [key] : [key, fileKey(there)];
  } catch {
    // One that can't be looked at is told by who opens it.
    return [key];
  }
}

/** The path with its links followed, also those that lead to what is not there yet. */
export function behindLinks(path: string, budget = { links: MOST_LINKS }): string {
  try {
    return realpathSync(path);
  } catch {
    const folder = dirname(path);
    if (folder === path) return path;
    const parent = behindLinks(folder, budget);
    const at = join(parent, basename(path));
    const to = targetOf(at);
    if (to === undefined || budget.links-- <= 0) return at;
    return behindLinks(resolve(parent, to), budget);
  }
}

/** Where a link leads to; undefined for what is none. */
function targetOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
