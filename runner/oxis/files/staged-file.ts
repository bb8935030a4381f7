/**
 * The staged file behind `write_file`: written beside the output under a name that carries the fencing token, cut back to its
 * mark by whoever resumes, and put in place of the output (or joined to it) at the very end.
 * Invariants: nobody opens the staged file of another token for writing; what is under the output's own name is always whole;
 * a file that a checkpoint may speak of (an older generation, too) stays until a hard one speaks of another.
 */
import { constants } from 'node:fs';
import { copyFile, type FileHandle, open, realpath, rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Held, RawBlock, SinkRun } from '../../engine/contracts.ts';
import { crashpoint } from '../../engine/crashpoint.ts';
import { ioError } from '../../engine/errors.ts';
import { mustBeOurs, publish } from './publishing.ts';
import { findStaged, lastWhole, lostReason, remove, type Staged, sizeOf, stagedName, stemOf } from './staging.ts';

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

/** What a mark says of the file. */
export interface StagedAt {
  /** Bytes of the staged file, and how many it has once its end is put behind them. */
  stored: number;
  whole: number;
  inode: string;
  /** Size of an output that is appended to. */
  base: number;
  /** How often it was rewritten. */
  generation: number;
}

/** One read while a file is rewritten. */
const READ_BYTES = 256 << 10;

export class StagedFile {
  readonly #o: StagedOptions;
  #target = '';
  #folder = '';
  #stem = '';
  #token = 0;
  #generation = 0;
  #file: FileHandle | undefined;
  #stored = 0;
  #inode = '';
  /** Size of an output that is appended to, as the last checkpoint of a run that only has to publish saw it. */
  #base: number | undefined;
  /** A predecessor had put the output in place before it died. */
  #published = false;

  constructor(options: StagedOptions) {
    this.#o = options;
  }

  /** Bytes written so far. */
  get stored(): number {
    return this.#stored;
  }

  /** The output, behind all links. */
  get target(): string {
    return this.#target;
  }

  /** The staged file, while there is one. */
  get pending(): string | undefined {
    return this.#stem === '' || this.#published ? undefined : this.#staged;
  }

  get #staged(): string {
    return this.#pathOf(this.#generation);
  }

  #pathOf(generation: number): string {
    return join(this.#folder, stagedName(this.#stem, this.#token, generation));
  }

  /** Goes on at a mark, or begins anew where there is none. */
  async open(run: SinkRun, at: StagedAt | undefined): Promise<Held> {
    return this.#guard(async () => {
      // A link stays a link: the file that it points to is the output.
      this.#target = await realpath(this.#o.path).catch(() => this.#o.path);
      this.#folder = dirname(this.#target);
      this.#stem = stemOf(basename(this.#target), run);
      this.#token = run.token;
      this.#generation = at?.generation ?? 0;
      const all = await findStaged(this.#folder, this.#stem, run.token);
      const others = all.filter(({ token }) => token < run.token);
      // What an earlier open found does not count: the run may have to start from zero.
      this.#published = false;
      this.#stored = 0;
      this.#base = run.finishing && at !== undefined ? at.base : undefined;
      if (at === undefined) {
        // Our own name can only be there where the state was deleted and tokens began anew.
        for (const { path } of all) await remove(path);
        this.#file = await open(this.#staged, 'wx+', 0o666);
        await this.#remember();
        return { at: 'mark' };
      }
      const candidates = others.filter((file) => !file.isUnfinished && file.generation === at.generation);
      if (run.finishing && (await this.#isPublished(at, candidates.length))) {
        for (const { path } of others) await remove(path);
        this.#published = true;
        this.#stored = at.stored;
        this.#inode = at.inode;
        return { at: 'mark' };
      }
      const source = lastWhole(candidates, at.stored);
      if (source === undefined) return { at: 'lost', reason: lostReason(this.#o.name, candidates, at.stored) };
      await this.#takeOver(source, run, at.stored);
      // Among them what a rewriting had not come to the end of, or what it had replaced.
      for (const { path } of others) await remove(path);
      await this.#remember();
      return { at: 'mark' };
    });
  }

  /** Makes the predecessor's bytes up to the mark ours, under our own name. */
  async #takeOver(source: Staged, run: SinkRun, bytes: number): Promise<void> {
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
    this.#stored = bytes;
  }

  async #remember(): Promise<void> {
    const info = await this.#file?.stat({ bigint: true });
    this.#inode = info === undefined ? '' : `${info.dev}:${info.ino}`;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#guard(async () => {
      await writeAt(this.#opened(), bytes, this.#stored);
      this.#stored += bytes.byteLength;
    });
  }

  /** The open file, and where `write` would write next; undefined where there is none to write to. */
  direct(): { fd: number; at: number } | undefined {
    return this.#file && { fd: this.#file.fd, at: this.#stored };
  }

  /** So many bytes were written there by others. */
  advance(bytes: number): void {
    this.#stored += bytes;
  }

  /** Data of a mark; on `hard` everything written so far is on the disk. */
  async prepare(hard: boolean): Promise<Omit<StagedAt, 'whole'>> {
    return this.#guard(async () => {
      if (hard && !this.#published) await this.#opened().sync();
      const base = this.#o.append ? (this.#base ?? (await sizeOf(this.#target))) : 0;
      return { stored: this.#stored, inode: this.#inode, base, generation: this.#generation };
    });
  }

  /**
   * From here on it is written anew, into a file of the next generation; the one of before stays, for the checkpoint that speaks of
   * it. `end` stands behind what it holds. Returns a reader of all that, to be closed by its receiver.
   */
  async renew(end: Uint8Array): Promise<{ read(): AsyncGenerator<RawBlock>; close(): Promise<void> }> {
    return this.#guard(async () => {
      await mustBeOurs({ ...this.#o, staged: this.#staged });
      const old = this.#opened();
      const size = this.#stored;
      const next = this.#pathOf(this.#generation + 1);
      await remove(next);
      this.#file = await open(next, 'wx+', 0o666);
      this.#generation++;
      this.#stored = 0;
      await this.#remember();
      crashpoint('rewriting');
      return { read: () => readBlocks(old, size, end), close: () => old.close() };
    });
  }

  /** A hard checkpoint speaks of this generation, or the run is over: older ones go. */
  async dropOlder(): Promise<void> {
    for (let generation = this.#generation - 1; generation >= 0; generation--)
      await this.#guard(() => remove(this.#pathOf(generation)));
  }

  /** Puts the output in place, with `end` behind what was written. */
  async publish(at: StagedAt, end: Uint8Array): Promise<void> {
    await this.#guard(async () => {
      if (this.#published) return;
      if (end.length > 0) {
        await writeAt(this.#opened(), end, at.stored);
        await this.#opened().sync();
        crashpoint('closed');
      }
      await this.#cutTo(at.whole);
      await this.#file?.close();
      this.#file = undefined;
      await publish({ ...this.#o, target: this.#target, staged: this.#staged, bytes: at.whole, base: at.base });
      this.#published = true;
    });
  }

  /** Behind its mark may stand what others began to write there, and nobody counts. */
  async #cutTo(bytes: number): Promise<void> {
    const file = this.#file;
    if (file === undefined || (await file.stat()).size <= bytes) return;
    await file.truncate(bytes);
    await file.sync();
  }

  /** A predecessor that died while publishing got as far as the end; `staged`: how many staged files are left. */
  async #isPublished(at: StagedAt, staged: number): Promise<boolean> {
    const info = await stat(this.#target, { bigint: true }).catch(() => undefined);
    if (info === undefined) return false;
    if (this.#o.append) return staged === 0 && Number(info.size) >= at.base + at.whole;
    return `${info.dev}:${info.ino}` === at.inode && Number(info.size) === at.whole;
  }

  async discard(): Promise<void> {
    await this.close();
    if (this.#stem === '') return;
    await remove(this.#staged);
    await this.dropOlder();
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

async function writeAt(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.byteLength - at, offset + at);
    at += bytesWritten;
  }
}

export async function* readBlocks(file: FileHandle, size: number, end: Uint8Array): AsyncGenerator<RawBlock> {
  for (let at = 0; at < size; ) {
    const bytes = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, size - at));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, at);
    if (bytesRead === 0) throw new Error('the staged file is shorter than what was written to it');
    at += bytesRead;
    yield { bytes: bytes.subarray(0, bytesRead), after: at };
  }
  if (end.length > 0) yield { bytes: Uint8Array.from(end), after: size + end.length };
}
