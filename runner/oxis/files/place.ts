/** What a file is, whatever it is called: links lead several names to one. */
import { type BigIntStats, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Of a file that is there. */
export function fileKey({ dev, ino }: Pick<BigIntStats, 'dev' | 'ino'>): string {
  return `file ${dev}:${ino}`;
}

/** Of a file that may not be there yet: its path behind all links, and what it is. `path` is absolute. */
export function keysOf(path: string): string[] {
  const there = statSync(path, { bigint: true, throwIfNoEntry: false });
  return [`path ${behindLinks(path)}`, ...(there === undefined ? [] : [fileKey(there)])];
}

/** The path with the links of the part that is there followed. */
export function behindLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const folder = dirname(path);
    return folder === path ? path : join(behindLinks(folder), basename(path));
  }
}
