/**
 * A file as it was when a run opened it, and what has become of it since. One that is rewritten in place, or cut off, while it is
 * read gives neither its old text nor its new one. One that another takes the place of is as it was to whoever has it open; of one
 * that grew, what was read still stands: two samples of that are looked at again.
 */
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, stat } from 'node:fs/promises';
import { errnoOf, OxiError } from '../../engine/errors.ts';

/** Bytes of a sample: of the first that were read, and of the last. */
const SAMPLE_BYTES = 4096;

interface Sample {
  at: number;
  bytes: Buffer;
}

export class OpenedFile {
  readonly #name: string;
  readonly #path: string;
  readonly #step: string;
  readonly #then: BigIntStats;
  #handle: FileHandle | undefined;
  #first: Sample | undefined;
  readonly #last: Sample = { at: 0, bytes: Buffer.alloc(0) };
  /** Behind the last byte that was read. */
  #readTo = 0;

  /** `then`: what the system said of the handle when it was opened first. */
  constructor(about: { name: string; path: string; step: string }, handle: FileHandle, then: BigIntStats) {
    this.#name = about.name;
    this.#path = about.path;
    this.#step = about.step;
    this.#handle = handle;
    this.#then = then;
  }

  /** The open descriptor, while there is one. */
  get handle(): FileHandle | undefined {
    return this.#handle;
  }

  /** Both are the same file, whatever it is called. */
  is(now: BigIntStats): boolean {
    return now.ino === this.#then.ino && now.dev === this.#then.dev;
  }

  /** Reading failed, and goes on with another descriptor. Throws OxiError INPUT_REWRITTEN where that is of another file. */
  reopen(handle: FileHandle, now: BigIntStats): void {
    if (!this.is(now)) throw this.#rewritten('another file took its place, and this one can not be opened again');
    this.#handle = handle;
  }

  /** It is read to its end, or given up. */
  closed(): void {
    this.#handle = undefined;
  }

  /** Others were read since: no bytes of it are kept. */
  forget(): void {
    this.#first = undefined;
    this.#last.bytes = Buffer.alloc(0);
  }

  /** These bytes were read. They may be written over from here on: what is kept is a copy. */
  noteRead(at: number, bytes: Uint8Array): void {
    this.#first ??= { at, bytes: Buffer.from(bytes.subarray(0, SAMPLE_BYTES)) };
    const tail = bytes.subarray(-SAMPLE_BYTES);
    if (this.#last.bytes.length !== tail.length) this.#last.bytes = Buffer.from(tail);
    else this.#last.bytes.set(tail);
    this.#readTo = at + bytes.length;
    this.#last.at = this.#readTo - tail.length;
  }

  /** Throws OxiError INPUT_REWRITTEN where what was read may not stand there any more. Returns what else there is to say. */
  async check(): Promise<string | undefined> {
    const now = await this.#now();
    if (now === undefined || !this.is(now)) return undefined;
    const then = this.#then;
    const size = Number(now.size);
    const most = Math.max(Number(then.size), this.#readTo);
    if (size < most)
      throw this.#rewritten(`it had ${most} bytes and has ${size} now: another program wrote it anew or cut it off`);
    if (now.mtimeNs === then.mtimeNs) return undefined;
    if (now.size === then.size || !(await this.#holdsSamples())) throw this.#rewritten('another program wrote to it');
    return `${this.#name} grew from ${then.size} to ${size} bytes while it was read: it was read to byte ${this.#readTo}`;
  }

  /** By its descriptor, or by its name where that is closed; undefined where there is none of that name. */
  async #now(): Promise<BigIntStats | undefined> {
    if (this.#handle !== undefined) return this.#handle.stat({ bigint: true });
    return stat(this.#path, { bigint: true }).catch(() => undefined);
  }

  /** True also where nobody can look any more. */
  async #holdsSamples(): Promise<boolean> {
    // Reading goes on meanwhile.
    const samples = [this.#first ?? this.#last, this.#last].map(({ at, bytes }) => ({ at, bytes: Buffer.from(bytes) }));
    let own: FileHandle | undefined;
    try {
      if (this.#handle === undefined) own = await open(this.#path, 'r');
      const file = own ?? this.#handle;
      if (file === undefined) return true;
      for (const { at, bytes } of samples) {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes.length), 0, bytes.length, at);
        if (bytesRead !== bytes.length || !buffer.equals(bytes)) return false;
      }
      return true;
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return true;
    } finally {
      await own?.close();
    }
  }

  #rewritten(what: string): OxiError {
    return new OxiError(
      'INPUT_REWRITTEN',
      `${this.#name}: ${what}, while it was read. Nothing of it is published; start again when it is whole, and it is read from its beginning`,
      { place: { step: this.#step, file: this.#name } },
    );
  }
}
