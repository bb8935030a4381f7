/** Exports and backups as files: private, whole or not there, and never in the place of another file. */
import { randomBytes } from 'node:crypto';
import { link, open, readFile, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { text as streamed } from 'node:stream/consumers';
import { errnoOf, ioError, OxiError } from '../engine/errors.ts';
import { makeFolders } from '../engine/folders.ts';
import { type Archive, archiveText, parseArchive } from '../state/archive.ts';
import { type TakeOptions, takeOut } from '../state/archive-store.ts';
import type { StateStore } from '../state/store.ts';
import { version } from './version.ts';

/** What an export or backup holds. */
export interface Written {
  file: string;
  runs: number;
  documents: number;
  history: number;
  bytes: number;
}

export async function archiveOf(store: StateStore, options: TakeOptions = {}): Promise<Archive> {
  const taken = await takeOut(store, options);
  const scope = options.runKey === undefined ? 'store' : 'runs';
  return { made_at: new Date().toISOString(), oxiflow: version(), backend: store.backend, scope, ...taken };
}

/** Throws OxiError OUTPUT_EXISTS where the file is there, and what the system says as OxiError. */
export async function writeArchive(archive: Archive, path: string): Promise<Written> {
  const temporary = join(dirname(path), `.oxiflow-${process.pid}-${randomBytes(6).toString('hex')}.part`);
  try {
    const file = await open(temporary, 'wx', 0o600);
    let bytes = 0;
    try {
      for (const text of archiveText(archive)) {
        await file.writeFile(text);
        bytes += Buffer.byteLength(text);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    // Takes no place that is taken, whoever took it meanwhile.
    await link(temporary, path);
    return { file: path, ...countsOf(archive), bytes };
  } catch (error) {
    if (errnoOf(error) === 'EEXIST')
      throw new OxiError('OUTPUT_EXISTS', `${path} is there already: name another file`, { place: { file: path } });
    throw ioError(error, path, { file: path });
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
}

function countsOf({ runs, history }: Archive): Pick<Written, 'runs' | 'documents' | 'history'> {
  const documents = runs.reduce((sum, run) => sum + run.documents.length, 0);
  return { runs: runs.length, documents, history: history.length };
}

/** The whole store into a file of its own in `.oxiflow/backups`, or into `output`. */
export async function backUp(
  store: StateStore,
  root: string,
  { output, ...how }: { output?: string | undefined } & Pick<TakeOptions, 'unchecked' | 'damaged'> = {},
): Promise<Written> {
  const archive = await archiveOf(store, how);
  if (output !== undefined) return await writeArchive(archive, resolve(output));
  const folder = join(root, '.oxiflow', 'backups');
  await makeFolders(folder).catch((error) => {
    throw ioError(error, folder, { file: folder });
  });
  const stamp = archive.made_at.replaceAll(/[-:]/g, '').replace('.', '-');
  return await writeArchive(archive, join(folder, `state-${stamp}.json`));
}

/** `-`: standard input. Throws OxiError COMMAND_INVALID, STATE_CORRUPT, and what the system says as OxiError. */
export async function readArchive(path: string): Promise<Archive> {
  if (path === '-') return parseArchive(await streamed(process.stdin), 'standard input');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'EISDIR')
      throw new OxiError(
        'COMMAND_INVALID',
        `${path} is a folder: name the file that state export or backup has written`,
        {
          place: { file: path },
        },
      );
    if (errnoOf(error) !== 'ERR_STRING_TOO_LONG' && errnoOf(error) !== 'ERR_FS_FILE_TOO_LARGE')
      throw ioError(error, path, { file: path });
    throw new OxiError('UNSUPPORTED', `${path} is too large to be read at once: export and import runs one by one`, {
      place: { file: path },
    });
  }
  return parseArchive(text, path);
}
