/**
 * What a project remembers of the unfinished runs that it keeps elsewhere, so that a server which lost its data, or a share that is
 * not mounted, is not taken for one that never had any: a file a run in `.oxiflow/elsewhere/`, made behind the first document of the
 * run, and gone when the run is finished. Where there is a note, and the store has neither the document nor a trace of its removal,
 * the store has lost it.
 */
import { hash } from 'node:crypto';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../engine/errors.ts';
import { folderName } from './payload.ts';
import { seal, unseal } from './seal.ts';

/**
 * A run that another host has finished is removed at the earliest 30 days later, and the last trace of it 30 days after that: a
 * younger note that nothing in the store fits to means a loss.
 */
export const TRUSTED_MS = 60 * 24 * 3600 * 1000;

export interface Note {
  /** Identity of the store in which the run was; empty where stores have none. */
  store: string;
}

export class RunNotes {
  readonly #folder: string;
  readonly #location: string;
  readonly #kept = new Set<string>();

  constructor(projectRoot: string, location: string) {
    this.#folder = join(projectRoot, '.oxiflow', 'elsewhere');
    this.#location = location;
  }

  /** The note of an unfinished run; a damaged one still tells that there was a run. */
  async find(runKey: string): Promise<Note | undefined> {
    const path = this.#path(runKey);
    try {
      const { mtimeMs } = await stat(path);
      if (Date.now() - mtimeMs > TRUSTED_MS) return undefined;
      const found = unseal(await readFile(path, 'utf8'));
      return { store: found.kind === 'good' && typeof found.payload.store === 'string' ? found.payload.store : '' };
    } catch (error) {
      // A folder that can't be read tells nothing, as one that is not there.
      if (errnoOf(error) === undefined) throw error;
      return undefined;
    }
  }

  /** Returns why it could not be kept, where it could not. */
  async keep(runKey: string, store: string): Promise<string | undefined> {
    if (this.#kept.has(runKey)) return undefined;
    this.#kept.add(runKey);
    const note = { run_key: runKey, location: this.#location, store, at: new Date().toISOString() };
    try {
      await mkdir(this.#folder, { recursive: true });
      await writeFile(this.#path(runKey), seal(note));
      return undefined;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      return `${this.#folder}: ${errno}`;
    }
  }

  async forget(runKey: string): Promise<void> {
    this.#kept.delete(runKey);
    await rm(this.#path(runKey), { force: true }).catch((error) => {
      if (errnoOf(error) === undefined) throw error;
    });
  }

  #path(runKey: string): string {
    return join(this.#folder, `${folderName(runKey)}-${hash('sha256', this.#location).slice(0, 8)}.json`);
  }
}
