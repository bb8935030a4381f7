/** Folders that a run writes to: whether it may, and how much room their file systems have. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, stat, statfs, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, ioError, OxiError } from '../engine/errors.ts';
import { humanBytes, humanCount, humanShare } from '../observe/human.ts';
import { type Check, ok, warning, wrong } from './check.ts';

/** The time of the probe as the file system tells it, or why nothing can be written. */
export type Probe = { folder: string; at: number } | { problem: string; code: string };

/** Writes a byte into the folder, or into the nearest one above it that is there, and takes it away again. */
export async function probeFolder(wanted: string): Promise<Probe> {
  let folder: string;
  try {
    folder = await existing(wanted);
  } catch (error) {
    return problemOf(error, wanted);
  }
  const path = join(folder, `.oxiflow-doctor-${process.pid}-${randomBytes(4).toString('hex')}`);
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'wx', 0o600);
    await file.write('.');
    return { folder, at: (await file.stat()).mtimeMs };
  } catch (error) {
    return problemOf(error, folder);
  } finally {
    await file?.close();
    if (file !== undefined) await unlink(path).catch(() => undefined);
  }
}

/** The folder itself, or the nearest one above it that is there. */
async function existing(folder: string): Promise<string> {
  for (let at = folder; ; at = dirname(at)) {
    try {
      if ((await stat(at)).isDirectory()) return at;
      throw new OxiError('CONFIG_INVALID', `${at} is a file, and a folder is needed there`);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || at === dirname(at)) throw error;
    }
  }
}

function problemOf(error: unknown, path: string): { problem: string; code: string } {
  const known = ioError(error, path);
  if (!(known instanceof OxiError)) throw error;
  return { problem: known.message, code: known.code };
}

/** `what` goes into the folder, from the project `root`; it is made when it is needed. */
export function checkFolder(name: string, path: string, probe: Probe): Check {
  if ('problem' in probe)
    return wrong(
      name,
      probe.problem,
      probe.code === 'DISK_FULL'
        ? undefined
        : probe.code === 'PERMISSION_DENIED'
          ? `let this user (${process.getuid?.() ?? 'unknown'}) write there: chown or chmod, or name another folder`
          : 'move it away, or name another folder',
    );
  return ok(name, probe.folder === path ? path : `${path}, made when it is needed`);
}

interface Disk {
  /** A folder on it, as it is shown. */
  folder: string;
  free: number;
  size: number;
  /** Inodes; `size` 0 where the file system has no fixed number of them. */
  inodes: { free: number; size: number };
}

const FULL_BYTES = 10e6;
const LOW_BYTES = 1e9;
const LOW_SHARE = 0.05;
const FULL_INODES = 10;
const LOW_INODES = 1000;

/** The file systems of these folders, each once. */
export async function disksOf(folders: readonly string[]): Promise<Disk[]> {
  const found = new Map<number, Disk>();
  for (const folder of folders) {
    const { dev } = await stat(folder);
    if (found.has(dev)) continue;
    const { bavail, blocks, bsize, ffree, files } = await statfs(folder);
    const inodes = { free: ffree, size: files };
    found.set(dev, { folder, free: bavail * bsize, size: blocks * bsize, inodes });
  }
  return [...found.values()];
}

export function checkDisk({ folder, free, size, inodes }: Disk): Check {
  const counted = inodes.size > 0;
  const text = `${humanBytes(free)} of ${humanBytes(size)} free (${humanShare(size > 0 ? free / size : 0)})${
    counted ? `, room for ${humanCount(inodes.free)} files` : ''
  }, at ${folder}`;
  const remedy = 'free some, or put output_dir and the state on another disk; a run that finds it full resumes';
  if (free < FULL_BYTES || (counted && inodes.free < FULL_INODES)) return wrong('disk', text, remedy);
  if (free < Math.min(LOW_BYTES, size * LOW_SHARE) || (counted && inodes.free < LOW_INODES))
    return warning('disk', text, remedy);
  return ok('disk', text);
}
