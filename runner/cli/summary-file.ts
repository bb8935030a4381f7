/** `--summary FILE`: looked at before the run, so that a slip of the fingers is not found out hours later, and written at its end. */
import { constants } from 'node:fs';
import { access, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { isFolder } from '../config/files.ts';
import { errnoOf, ioError, OxiError } from '../engine/errors.ts';

/** Throws OxiError COMMAND_INVALID or PERMISSION_DENIED where the file could not be written. */
export async function checkSummary(path: string): Promise<void> {
  const folder = dirname(resolve(path));
  if (!(await isFolder(folder))) throw refuse(path, 'its folder is not there; make it first');
  if (await isFolder(path)) throw refuse(path, 'that is a folder; name a file in it');
  await access(path, constants.W_OK).catch(async (error) => {
    if (errnoOf(error) !== 'ENOENT') throw named(error, path);
    await access(folder, constants.W_OK).catch((cause) => {
      throw named(cause, path);
    });
  });
}

export async function writeSummary(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((error) => {
    throw named(error, path);
  });
}

function refuse(path: string, problem: string): OxiError {
  return new OxiError('COMMAND_INVALID', `--summary ${path}: ${problem}`, { place: { file: path } });
}

function named(error: unknown, path: string): unknown {
  return ioError(error, `--summary ${path}`);
}
