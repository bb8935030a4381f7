/**
 * Writes the files of new projects and pipelines: all of them or none, and never over something that is there. A new folder is
 * made beside its place and renamed, so that nobody sees half of it; in a folder that is there, files are made one by one, and
 * taken away again where one of them fails.
 */
import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoOf, ioError, OxiError } from '../engine/errors.ts';

/** Text by path from the folder. */
export type Files = ReadonlyMap<string, string>;

/** Makes the folder with these files. Throws OxiError COMMAND_INVALID where something is there, PERMISSION_DENIED, IO_FAILED ... */
export async function makeProject(folder: string, shown: string, files: Files): Promise<void> {
  const there = await occupant(folder, shown);
  if (there === 'something') throw occupied(shown);
  await guarded(shown, async (check, undo) => {
    if (there === 'empty folder') return await writeFiles(folder, files, check, undo);
    await makeFolder(dirname(folder), undo);
    const beside = join(dirname(folder), `.${basename(folder)}.${randomBytes(4).toString('hex')}`);
    await mkdir(beside);
    undo.push(() => rm(beside, { recursive: true, force: true }));
    await writeFiles(beside, files, check, []);
    await rename(beside, folder).catch((error) => {
      if (['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw occupied(shown);
      throw error;
    });
  });
}

/** Adds files to a folder. Those of `optional` stay as they are where they are there; returns which were made. */
export async function addFiles(folder: string, files: Files, optional: ReadonlySet<string>): Promise<string[]> {
  const made: string[] = [];
  await guarded(folder, async (check, undo) => {
    for (const [path, text] of files) {
      if (optional.has(path) && (await isThere(join(folder, path)))) continue;
      await writeFiles(folder, new Map([[path, text]]), check, undo);
      made.push(path);
    }
  });
  return made;
}

/** Something has this name, be it a link to nothing. */
export async function isThere(path: string): Promise<boolean> {
  return (await found(lstat(path))) !== undefined;
}

/** What stands in the place of a new project. */
export async function occupant(folder: string, shown: string): Promise<'nothing' | 'empty folder' | 'something'> {
  try {
    if ((await found(lstat(folder))) === undefined) return 'nothing';
    if ((await found(stat(folder)))?.isDirectory() !== true) return 'something';
    return (await readdir(folder)).length === 0 ? 'empty folder' : 'something';
  } catch (error) {
    throw told(error, shown);
  }
}

async function found<T>(looking: Promise<T>): Promise<T | undefined> {
  return await looking.catch((error) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
}

export function occupied(shown: string): OxiError {
  return new OxiError(
    'COMMAND_INVALID',
    `${shown}: is there already, and nothing is overwritten; choose another name or folder`,
    { place: { file: shown } },
  );
}

type Undo = (() => Promise<unknown>)[];

/** Does `work`; where it fails or a signal comes, everything is undone, the last thing first. */
async function guarded(shown: string, work: (check: () => void, undo: Undo) => Promise<void>): Promise<void> {
  let stopped: OxiError | undefined;
  const interrupt = (): void => {
    stopped = new OxiError('INTERRUPTED', 'interrupted: nothing was made');
  };
  const terminate = (): void => {
    stopped = new OxiError('TERMINATED', 'terminated: nothing was made');
  };
  const undo: Undo = [];
  process.on('SIGINT', interrupt).on('SIGTERM', terminate).on('SIGHUP', terminate);
  try {
    await work(() => {
      if (stopped !== undefined) throw stopped;
    }, undo);
  } catch (error) {
    // What can't be taken away (somebody put a file into a new folder) stays; the first failure is the one to tell.
    for (const step of undo.reverse()) await step().catch(() => undefined);
    throw told(error, shown);
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', terminate).off('SIGHUP', terminate);
  }
}

async function writeFiles(folder: string, files: Files, check: () => void, undo: Undo): Promise<void> {
  for (const [path, text] of files) {
    check();
    const file = join(folder, path);
    await makeFolder(dirname(file), undo);
    try {
      await writeFile(file, text, { flag: 'wx' });
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') throw occupied(path);
      // Made by us, and not whole: the disk is full.
      await rm(file, { force: true }).catch(() => undefined);
      throw error;
    }
    undo.push(() => rm(file, { force: true }));
  }
  check();
}

/** Makes a folder and those above it that are missing. Only empty ones are taken away again. */
async function makeFolder(folder: string, undo: Undo): Promise<void> {
  const first = await mkdir(folder, { recursive: true });
  if (first === undefined) return;
  const made: string[] = [];
  for (let path = folder; path.length >= first.length; path = dirname(path)) made.push(path);
  for (const path of made.reverse()) undo.push(() => rmdir(path));
}

function told(error: unknown, shown: string): unknown {
  const errno = errnoOf(error);
  if (error instanceof OxiError || errno === undefined) return error;
  const options = { place: { file: shown }, cause: error };
  if (errno === 'ENOTDIR' || errno === 'EEXIST')
    return new OxiError('COMMAND_INVALID', `${shown}: a part of its path is a file and no folder`, options);
  if (errno === 'ENAMETOOLONG') return new OxiError('COMMAND_INVALID', `${shown}: the path is too long`, options);
  if (errno === 'ENOSPC' || errno === 'EDQUOT')
    return new OxiError('DISK_FULL', `${shown}: no space left on the disk (${errno}); nothing was made`, options);
  return ioError(error, shown);
}
