/** Finding and reading the project's files: the project folder, and the file of a pipeline by name or path. */
import type { Stats } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { errnoOf, ioError, OxiError } from '../engine/errors.ts';
import { didYouMean, listNames } from './nearest.ts';

export const PROJECT_FILE = 'oxiflow.yaml';
const DEFAULT_PIPELINE_DIR = 'pipelines';

/** `run path/to/x.yaml` means a file, `run x` a name in the pipeline folder. */
function isPipelinePath(name: string): boolean {
  return /\.ya?ml$/i.test(name) && !name.includes('\0');
}

/** The text of a file; undefined where there is none. Throws OxiError PERMISSION_DENIED, IO_FAILED. */
export async function readText(path: string, shown: string): Promise<string | undefined> {
  try {
    const bytes = await readFile(path);
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'EISDIR' || errno === 'ENAMETOOLONG') return undefined;
    if (errno === 'ERR_ENCODING_INVALID_ENCODED_DATA' || error instanceof TypeError) {
      throw new OxiError('CONFIG_INVALID', `${shown}: is not UTF-8 text`, { place: { file: shown }, cause: error });
    }
    throw ioError(error, shown, { file: shown });
  }
}

/**
 * The project's folder: the nearest one at or above `start` (or above the file that `pipeline` names) with an oxiflow.yaml;
 * without one, `start` itself, or the folder of the file, or its parent where that folder is called `pipelines`.
 */
export async function findProjectRoot(start: string, pipeline: string | undefined): Promise<string> {
  const byPath = pipeline !== undefined && isPipelinePath(pipeline);
  const from = byPath ? dirname(resolve(start, pipeline)) : resolve(start);
  for (let folder = from; ; folder = dirname(folder)) {
    if (await isFile(join(folder, PROJECT_FILE))) return folder;
    if (folder === dirname(folder)) break;
  }
  return byPath && basename(from) === DEFAULT_PIPELINE_DIR ? dirname(from) : from;
}

async function isFile(path: string): Promise<boolean> {
  return (await statOf(path))?.isFile() === true;
}

export async function isFolder(path: string): Promise<boolean> {
  return (await statOf(path))?.isDirectory() === true;
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ENAMETOOLONG') return undefined;
    throw ioError(error, path, { file: path });
  }
}

/** How messages call a file: from the project's folder where it lies in it, else as it is. */
export function shownPath(root: string, path: string): string {
  const short = relative(root, path);
  return short.startsWith('..') || isAbsolute(short) ? path : short;
}

export interface PipelineFile {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  readonly shown: string;
}

/** Every pipeline of the project, by name; subfolders are part of the name. */
export async function listPipelines(root: string, pipelineDir: string): Promise<PipelineFile[]> {
  const folder = resolve(root, pipelineDir);
  let entries: string[];
  try {
    entries = await readdir(folder, { recursive: true });
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return [];
    throw ioError(error, shownPath(root, folder));
  }
  return entries
    .filter((entry) => /\.ya?ml$/.test(entry))
    .sort()
    .map((entry) => {
      const path = join(folder, entry);
      return { name: entry.replace(/\.ya?ml$/, ''), path, shown: shownPath(root, path) };
    });
}

/** Finds the file of `nameOrPath` and reads it. Throws OxiError NO_PIPELINE with the names that there are. */
export async function readPipelineFile(
  project: { readonly root: string; readonly settings: { readonly pipelineDir: string } },
  nameOrPath: string,
  workingFolder: string,
): Promise<PipelineFile & { readonly text: string }> {
  const { root, settings } = project;
  const folder = resolve(root, settings.pipelineDir);
  const named = isPipelinePath(nameOrPath)
    ? [resolve(workingFolder, nameOrPath), resolve(root, nameOrPath)]
    : plainName(nameOrPath)
      ? [join(folder, `${nameOrPath}.yaml`), join(folder, `${nameOrPath}.yml`)]
      : [];
  for (const path of named) {
    const shown = shownPath(root, path);
    const text = await readText(path, shown);
    if (text === undefined) continue;
    const inside = relative(folder, path);
    const name = inside.startsWith('..') || isAbsolute(inside) ? basename(path) : inside;
    return { name: name.replace(/\.ya?ml$/i, ''), path, shown, text };
  }
  const known = (await listPipelines(root, settings.pipelineDir)).map((file) => file.name);
  if (known.includes(nameOrPath))
    throw new OxiError(
      'NO_PIPELINE',
      `the file of ${JSON.stringify(nameOrPath)} has a name that no pipeline can have: give it one of letters, digits, _ . + @ - and spaces that begins with a letter, a digit or _`,
      { place: { pipeline: nameOrPath } },
    );
  // Where there is nothing at all, the whole path tells a person who stands in the wrong folder.
  const where = isPipelinePath(nameOrPath) ? '' : ` in ${known.length === 0 ? folder : shownPath(root, folder)}/`;
  const others = known.length === 0 ? '; there are no pipelines yet' : `; there are: ${listNames(known, 8)}`;
  const shown = JSON.stringify(nameOrPath.length > 80 ? `${nameOrPath.slice(0, 77)}...` : nameOrPath);
  const near = didYouMean(nameOrPath, known);
  throw new OxiError('NO_PIPELINE', `no pipeline ${shown}${where}${near === '' ? others : near}`, {
    place: { pipeline: nameOrPath },
  });
}

/** A name that can't leave the pipeline folder: parts of letters, digits and a few signs, with single slashes between. */
function plainName(name: string): boolean {
  // Everything beyond ASCII counts as a letter: classes of Unicode letters take milliseconds to compile.
  const part = /^[A-Za-z0-9_\u0080-\uFFFF][A-Za-z0-9_ .+@\u0080-\uFFFF-]*$/;
  return name.length <= 200 && name.split('/').every((piece) => part.test(piece) && !piece.endsWith('.'));
}
