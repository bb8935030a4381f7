/**
 * The staged file behind `write_file`: written beside the output under a name that carries the fencing token, cut back to its
 * mark by whoever resumes, and put in place by a rename (or, for `append`, joined to the output) at the very end.
 * Invariants: nobody opens the staged file of another token for writing; what is under the output's own name is always whole.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, type FileHandle, link, open, readdir, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Held, Mark, SinkRun } from '../../engine/contracts.ts';
import { crashpoint } from '../../engine/crashpoint.ts';
import { errnoOf, ioError, OxiError } from '../../engine/errors.ts';

export interface StagedOptions {
  /** Absolute path of the output. */
  path: string;
  /** What messages call it. */
  name: string;
  step: string;
  append: boolean;
  overwrite: boolean;
  backup: boolean;
}

const SUFFIX = '.oxiflow-part';
/** Behind the name of the output: what was there before. */
export const BACKUP = '.bak';
/** Bytes of the output's name that the staged one shows: with what it adds it stays below what a file system takes. */
const SHOWN_BYTES = 64;

export class StagedFile {
  readonly #o: StagedOptions;
  #target = '';
  #staged = '';
  #file: FileHandle | undefined;
  #bytes = 0;
  #inode = '';
  /** Size of an output that is appended to, as the last checkpoint of a run that only has to publish saw it. */
  #base: number | undefined;
  /** A predecessor had put the output in place before it died. */
  #published = false;

  constructor(options: StagedOptions) {
    this.#o = options;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get path(): string {
    return this.#target;
  }

  /** Goes on at `mark`, or begins anew where there is none. */
  async open(run: SinkRun, mark: Mark | undefined): Promise<Held> {
    return this.#guard(async () => {
      // A link stays a link: the file that it points to is the output.
      this.#target = await realpath(this.#o.path).catch(() => this.#o.path);
      const stem = stemOf(basename(this.#target), run);
      const folder = dirname(this.#target);
      this.#staged = join(folder, `${stem}.${run.token}${SUFFIX}`);
      const others = await stagedBefore(folder, stem, run.token);
      // What an earlier open found does not count: the run may have to start from zero.
      this.#published = false;
      this.#bytes = 0;
      this.#base = run.finishing && mark !== undefined ? Number(mark.data.base ?? 0) : undefined;
      if (mark === undefined) {
        for (const { path } of others) await remove(path);
        // Our own name can only be there where the state was deleted and tokens began anew.
        await remove(this.#staged);
        this.#file = await open(this.#staged, 'wx', 0o666);
        await this.#remember();
        return { at: 'mark' };
      }
      if (run.finishing && (await this.#isPublished(mark, others.filter(({ token }) => token >= 0).length))) {
        for (const { path } of others) await remove(path);
        this.#published = true;
        this.#bytes = mark.bytes;
        this.#inode = String(mark.data.inode ?? '');
        return { at: 'mark' };
      }
      const source = await lastWhole(others, mark.bytes);
      if (source === undefined) return { at: 'lost', reason: lostReason(this.#o.name, others, mark.bytes) };
      await this.#takeOver(source, run, mark.bytes);
      for (const { path } of others) await remove(path);
      await this.#remember();
      return { at: 'mark' };
    });
  }

  /** Makes the predecessor's bytes up to the mark ours, under our own name. */
  async #takeOver(source: { path: string; token: number }, run: SinkRun, bytes: number): Promise<void> {
    const dead = run.predecessor?.provenDead === true && run.predecessor.token === source.token;
    if (dead) await rename(source.path, this.#staged);
    else {
      // The predecessor may still write to its file: ours is a copy, complete before it has its name.
      const copy = `${this.#staged}.copy`;
      await copyFile(source.path, copy, constants.COPYFILE_FICLONE);
      crashpoint('copied');
      await rename(copy, this.#staged);
    }
    crashpoint('taken');
    this.#file = await open(this.#staged, 'r+');
    await this.#file.truncate(bytes);
    await this.#file.datasync();
    this.#bytes = bytes;
  }

  async #remember(): Promise<void> {
    const info = await this.#file?.stat({ bigint: true });
    this.#inode = info === undefined ? '' : `${info.dev}:${info.ino}`;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#guard(async () => {
      const file = this.#opened();
      let at = 0;
      while (at < bytes.byteLength) {
        const { bytesWritten } = await file.write(bytes, at, bytes.byteLength - at, this.#bytes + at);
        at += bytesWritten;
      }
      this.#bytes += bytes.byteLength;
    });
  }

  /** Data of a mark; on `hard` everything written so far is on the disk. */
  async prepare(hard: boolean): Promise<{ inode: string; base: number }> {
    return this.#guard(async () => {
      if (hard && !this.#published) await this.#opened().sync();
      return { inode: this.#inode, base: this.#o.append ? (this.#base ?? (await sizeOf(this.#target))) : 0 };
    });
  }

  /** Puts the output in place. A crash between any two lines leaves the old output or the new one, and a redo ends well. */
  async publish(mark: Mark): Promise<void> {
    await this.#guard(async () => {
      if (this.#published) return;
      await this.#file?.close();
      this.#file = undefined;
      crashpoint('publish');
      if (this.#o.append) await this.#join(mark);
      else await this.#rename();
      await syncFolder(dirname(this.#target));
      crashpoint('published');
      this.#published = true;
    });
  }

  async #rename(): Promise<void> {
    const old = await stat(this.#target).catch(() => undefined);
    if (old !== undefined && !old.isFile())
      throw new OxiError(
        'IO_FAILED',
        `step "${this.#o.step}": ${this.#o.name} is no file any more; what was made is kept in ${this.#staged}`,
        {
          place: { step: this.#o.step, file: this.#o.name },
        },
      );
    if (old !== undefined) {
      const staged = await open(this.#staged, 'r+');
      await staged.chmod(old.mode & 0o777).finally(() => staged.close());
    }
    if (old !== undefined && this.#o.backup) {
      // Under a name of our token, which a successor clears away.
      const backup = `${this.#staged}.copy`;
      await remove(backup);
      await link(this.#target, backup);
      crashpoint('backing');
      // No successor has published yet, so the link holds the old output and not its new one.
      await this.#mustBeOurs();
      await rename(backup, `${this.#target}${BACKUP}`);
      // Where both are the same file already, a rename does nothing at all.
      await remove(backup);
      crashpoint('backup');
    }
    if (this.#o.overwrite) return rename(this.#staged, this.#target);
    // A link refuses an existing name, which a rename would not.
    await link(this.#staged, this.#target).catch((error) => {
      throw errnoOf(error) === 'EEXIST' ? existsError(this.#o) : error;
    });
    crashpoint('linked');
    await unlink(this.#staged);
  }

  /** Appends what was staged at the size that the output had at the last checkpoint; begun before, it goes on. */
  async #join(mark: Mark): Promise<void> {
    const base = Number(mark.data.base ?? 0);
    const from = await open(this.#staged, 'r');
    const to = await open(this.#target, constants.O_RDWR | constants.O_CREAT, 0o666);
    try {
      const size = (await to.stat()).size;
      if (size < base || size > base + mark.bytes) throw this.#changed();
      // Larger than it was, the output holds some of ours already, and its backup was made before that. An empty one may be ours.
      if (this.#o.backup && size === base && base > 0) await this.#backUpCopy();
      const mine = Buffer.alloc(1 << 18);
      const theirs = Buffer.alloc(1 << 18);
      for (let at = 0; at < mark.bytes; ) {
        const { bytesRead } = await from.read(mine, 0, Math.min(mine.length, mark.bytes - at), at);
        if (bytesRead === 0) throw this.#changed();
        const there = Math.max(0, Math.min(bytesRead, size - base - at));
        if (there > 0) {
          await to.read(theirs, 0, there, base + at);
          if (mine.compare(theirs, 0, there, 0, there) !== 0) throw this.#changed();
        }
        // A successor has taken the staged file away before it appends.
        await this.#mustBeOurs();
        if (there < bytesRead) await to.write(mine, there, bytesRead - there, base + at + there);
        crashpoint('join');
        at += bytesRead;
      }
      await to.sync();
    } finally {
      await from.close();
      await to.close();
    }
    await unlink(this.#staged);
  }

  /** An output that is written to in place keeps its backup as a copy, under its name only when it is whole. */
  async #backUpCopy(): Promise<void> {
    const copy = `${this.#staged}.copy`;
    await this.#mustBeOurs();
    await copyFile(this.#target, copy, constants.COPYFILE_FICLONE);
    const written = await open(copy, 'r+');
    await written.sync().finally(() => written.close());
    crashpoint('backing');
    await this.#mustBeOurs();
    await rename(copy, `${this.#target}${BACKUP}`);
    await syncFolder(dirname(this.#target));
    crashpoint('backup');
  }

  /** Throws where the staged file is gone: whoever slept beyond its lease finds that out before it touches the output. */
  async #mustBeOurs(): Promise<void> {
    await stat(this.#staged).catch((cause) => {
      const message = `step "${this.#o.step}": ${this.#staged} is gone; ${this.#o.name} is left alone`;
      throw new OxiError('IO_FAILED', message, { cause, place: { step: this.#o.step, file: this.#o.name } });
    });
  }

  #changed(): OxiError {
    return new OxiError(
      'IO_FAILED',
      `${this.#o.name}: another program changed it while this run was appending; its records are kept in ${this.#staged}`,
      {
        place: { step: this.#o.step, file: this.#o.name },
      },
    );
  }

  /** A predecessor that died while publishing got as far as the end; `staged`: how many staged files are left. */
  async #isPublished(mark: Mark, staged: number): Promise<boolean> {
    const info = await stat(this.#target, { bigint: true }).catch(() => undefined);
    if (info === undefined) return false;
    if (this.#o.append) return staged === 0 && Number(info.size) >= Number(mark.data.base ?? 0) + mark.bytes;
    return `${info.dev}:${info.ino}` === mark.data.inode && Number(info.size) === mark.bytes;
  }

  async discard(): Promise<void> {
    await this.close();
    if (this.#staged !== '') await remove(this.#staged);
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  #opened(): FileHandle {
    if (this.#file === undefined) throw new Error('the staged file is not open');
    return this.#file;
  }

  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw ioError(error, `step "${this.#o.step}": ${this.#o.name}`, { step: this.#o.step, file: this.#o.name });
    }
  }
}

export function existsError(o: StagedOptions): OxiError {
  return new OxiError(
    'OUTPUT_EXISTS',
    `step "${o.step}": ${o.name} exists and "overwrite" is false: move it away, or set "overwrite: true"`,
    {
      place: { step: o.step, field: 'overwrite', file: o.name },
    },
  );
}

/** How the names of all that this run and step stage for an output of this name begin. */
function stemOf(name: string, run: SinkRun): string {
  let shown = '';
  for (const character of name) {
    if (Buffer.byteLength(shown + character) > SHOWN_BYTES) break;
    shown += character;
  }
  const owner = `${run.runKey}\0${run.step}${shown === name ? '' : `\0${name}`}`;
  return `.${shown}.${createHash('sha256').update(owner).digest('hex').slice(0, 12)}`;
}

/** Staged files of earlier tokens of the same run and step. */
async function stagedBefore(
  folder: string,
  stem: string,
  token: number,
): Promise<{ path: string; token: number; size: number }[]> {
  const found: { path: string; token: number; size: number }[] = [];
  for (const name of await readdir(folder)) {
    const match = name.startsWith(`${stem}.`) ? /^\.(\d+)\.oxiflow-part(\.copy)?$/.exec(name.slice(stem.length)) : null;
    if (match === null || Number(match[1]) >= token) continue;
    const path = join(folder, name);
    // An unfinished copy is of no use to anybody.
    found.push({
      path,
      token: match[2] === undefined ? Number(match[1]) : -1,
      size: match[2] === undefined ? await sizeOf(path) : -1,
    });
  }
  return found;
}

/** The youngest that holds everything up to the mark. */
async function lastWhole(
  files: readonly { path: string; token: number; size: number }[],
  bytes: number,
): Promise<{ path: string; token: number } | undefined> {
  return files.filter((file) => file.size >= bytes).sort((a, b) => b.token - a.token)[0];
}

function lostReason(name: string, files: readonly { size: number }[], bytes: number): string {
  const longest = Math.max(-1, ...files.map((file) => file.size));
  return longest < 0
    ? `what was staged for ${name} is gone`
    : `what was staged for ${name} has ${longest} bytes, the checkpoint speaks of ${bytes}`;
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw error;
  }
}

async function remove(path: string): Promise<void> {
  await unlink(path).catch((error) => {
    if (errnoOf(error) !== 'ENOENT') throw error;
  });
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  await folder.sync().finally(() => folder.close());
}
