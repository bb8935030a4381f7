/**
 * Unpacks gzip (RFC 1952) and zstd (RFC 8878), all members and frames of a file, and says where each of them begins: reading can
 * go on there. What is cut off, damaged, followed by something else or grows beyond all reason is an error, never an end.
 */
import { crc32 } from 'node:zlib';
import type { RawBlock } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';
import { giveBuffer } from './buffers.ts';
import { Inflate, WINDOW_LOG } from './inflate.ts';
import { BlockWalk, headerBytes, isSkippable, readHeader, ZSTD_MAGIC, ZSTD_START_BYTES } from './zstd-frames.ts';

export type Codec = 'gzip' | 'zstd';

/** What comes out. Either a member begins (`member`, and no bytes), or bytes, or none: what comes next has to be waited for. */
export interface Unpacked {
  /** Valid until the next one is asked for. */
  bytes: Uint8Array;
  /** Offset of the packed byte up to which they came. */
  raw: number;
  /** A member begins at `raw`. */
  member?: true;
}

export interface UnpackOptions {
  codec: Codec;
  /** What the file is called in messages. */
  name: string;
  /** Where `raw` begins, which is the beginning of a member, and how many bytes came out before. */
  at: { raw: number; text: number };
  /** Bytes that may come out for each byte that went in, once it is more than a little. */
  maxExpansion: number;
  /** The bytes ended before the file does: nothing is wrong with that. */
  stopped(): boolean;
}

/** So much may come out of however little. */
const FREE_BYTES = 100 << 20;
const EMPTY = new Uint8Array();

/** The packed bytes end. */
class CutOff extends Error {}

/** Throws OxiError DOCUMENT_BROKEN. */
export async function* unpack(raw: AsyncIterable<RawBlock>, o: UnpackOptions): AsyncGenerator<Unpacked> {
  const reader = new Reader(raw, o.at.raw);
  const growth = new Growth(o);
  let memberAt = reader.at;
  try {
    for (let isFirst = true; ; isFirst = false) {
      if (reader.isEmpty) yield { bytes: EMPTY, raw: reader.at };
      if (!(await reader.more())) {
        if (!isFirst || o.stopped() || o.at.raw > 0) return;
        throw broken(o, `is empty; a file of ${o.codec} is not, even where it holds nothing`, 0);
      }
      memberAt = reader.at;
      if (!isFirst && (await isPadding(reader, o))) {
        yield { bytes: EMPTY, raw: reader.at };
        return;
      }
      yield { bytes: EMPTY, raw: memberAt, member: true };
      const isOne = o.codec === 'gzip' ? await gzipHeader(reader) : await zstdStart(reader);
      if (!isOne) throw isFirst && memberAt === 0 ? notPacked(o) : garbage(o, memberAt);
      if (o.codec === 'gzip') yield* gzipBody(reader, growth, o, memberAt);
      else yield* zstdFrame(reader, growth, o, memberAt);
    }
  } catch (error) {
    if (!(error instanceof CutOff)) throw error;
    if (o.stopped()) return;
    throw broken(
      o,
      `ends at byte ${reader.at} inside the ${PART[o.codec]} that began at byte ${memberAt}: it was cut off`,
      reader.at,
    );
  } finally {
    await reader.close();
  }
}

const PART: Readonly<Record<Codec, string>> = { gzip: 'gzip member', zstd: 'zstd frame' };

/** gzip members are padded with zeros on tapes and by some backups: to the end of the file they mean nothing. */
async function isPadding(reader: Reader, o: UnpackOptions): Promise<boolean> {
  if (o.codec !== 'gzip' || reader.rest[0] !== 0) return false;
  const from = reader.at;
  while (await reader.more()) {
    const other = reader.rest.findIndex((c) => c !== 0);
    if (other >= 0) throw garbage(o, from);
    reader.skip(reader.rest.length);
  }
  return true;
}

/** False where no member begins here. */
async function gzipHeader(reader: Reader): Promise<boolean> {
  const magic = await reader.some(2);
  if (magic[0] !== 0x1f || (magic.length > 1 && magic[1] !== 0x8b)) return false;
  const head = await reader.need(10);
  const flags = head[3] as number;
  if (head[2] !== 8 || (flags & 0xe0) !== 0) return false;
  reader.skip(10);
  if ((flags & 4) !== 0) {
    const length = Buffer.from(await reader.need(2)).readUInt16LE();
    reader.skip(2);
    await reader.pass(length);
  }
  for (const text of [8, 16]) {
    if ((flags & text) === 0) continue;
    for (;;) {
      if (!(await reader.more())) throw new CutOff();
      const end = reader.rest.indexOf(0);
      reader.skip(end < 0 ? reader.rest.length : end + 1);
      if (end >= 0) break;
    }
  }
  if ((flags & 2) !== 0) await reader.pass(2);
  return true;
}

async function* gzipBody(reader: Reader, growth: Growth, o: UnpackOptions, memberAt: number): AsyncGenerator<Unpacked> {
  let crc = 0;
  let size = 0;
  const engine = new Inflate('gzip');
  try {
    for (;;) {
      if (reader.isEmpty) yield { bytes: EMPTY, raw: reader.at };
      if (await reader.more()) engine.feed(reader.rest);
      else if (o.stopped()) return;
      else engine.finish();
      const before = engine.used;
      const from = reader.at;
      for (let made = await engine.next(); made !== undefined; made = await engine.next()) {
        crc = crc32(made, crc);
        size += made.length;
        const raw = from + engine.used - before;
        growth.add(made.length, raw);
        yield { bytes: made, raw };
      }
      reader.skip(engine.used - before);
      if (engine.ended) break;
    }
  } catch (error) {
    throw zlibError(error, o, memberAt);
  } finally {
    engine.close();
  }
  const end = Buffer.from(await reader.need(8));
  if (end.readUInt32LE(0) !== crc || end.readUInt32LE(4) !== size % 2 ** 32)
    throw damaged(o, memberAt, 'what comes out is not what went in');
  reader.skip(8);
}

async function zstdStart(reader: Reader): Promise<boolean> {
  const first = Buffer.from(await reader.some(4));
  if (first.length < 4) {
    if (first.length > 0 && first[0] !== 0x28 && (first[0] as number) >>> 4 !== 5) return false;
    throw new CutOff();
  }
  const magic = first.readUInt32LE();
  return magic === ZSTD_MAGIC || isSkippable(magic);
}

async function* zstdFrame(reader: Reader, growth: Growth, o: UnpackOptions, frameAt: number): AsyncGenerator<Unpacked> {
  const start = Buffer.from(await reader.need(ZSTD_START_BYTES));
  if (isSkippable(start.readUInt32LE())) {
    const length = Buffer.from(await reader.need(8)).readUInt32LE(4);
    reader.skip(8);
    return reader.pass(length);
  }
  const header = Buffer.from(await reader.need(headerBytes(start)));
  const { hasChecksum, hasDictionary, window } = readHeader(header);
  if (hasDictionary)
    throw broken(o, `is packed with a dictionary, which this version can't take: pack it without one`, frameAt);
  if (window > 2 ** WINDOW_LOG)
    throw broken(
      o,
      `needs a window of ${Math.ceil(window / 2 ** 20)} MB to unpack, and 128 MB is the most that is given: pack it with --long=${WINDOW_LOG} at most`,
      frameAt,
    );
  reader.skip(header.length);
  const walk = new BlockWalk(hasChecksum);
  const engine = new Inflate('zstd');
  // Of the piece at hand: so much is being worked on.
  let fed = 0;
  try {
    engine.feed(header);
    while (!engine.ended) {
      const raw = reader.at + fed;
      for (let made = await engine.next(); made !== undefined; made = await engine.next()) {
        growth.add(made.length, raw);
        yield { bytes: made, raw };
      }
      reader.skip(fed);
      fed = 0;
      if (walk.done) {
        if (!engine.ended) engine.finish();
        continue;
      }
      if (reader.isEmpty) yield { bytes: EMPTY, raw: reader.at };
      if (!(await reader.more())) throw new CutOff();
      fed = walk.take(reader.rest, 0);
      engine.feed(reader.rest.subarray(0, fed));
    }
  } catch (error) {
    throw zlibError(error, o, frameAt);
  } finally {
    engine.close();
  }
}

/** Watches how much comes out of how little. */
class Growth {
  readonly #o: UnpackOptions;
  #text: number;

  constructor(o: UnpackOptions) {
    this.#o = o;
    this.#text = o.at.text;
  }

  add(bytes: number, raw: number): void {
    this.#text += bytes;
    if (this.#text <= FREE_BYTES || this.#text <= raw * this.#o.maxExpansion) return;
    throw broken(
      this.#o,
      `its first ${raw} bytes unpack to more than ${this.#o.maxExpansion} times as many: this looks like an attack. ` +
        'Raise "max_expansion" on the source if it is not',
      raw,
    );
  }
}

/** The packed bytes, in the pieces in which they are read. */
class Reader {
  readonly #blocks: AsyncIterator<RawBlock>;
  #bytes: Uint8Array = EMPTY;
  #p = 0;
  #at: number;

  constructor(raw: AsyncIterable<RawBlock>, at: number) {
    this.#blocks = raw[Symbol.asyncIterator]();
    this.#at = at;
  }

  /** Offset of the next byte. */
  get at(): number {
    return this.#at;
  }

  get isEmpty(): boolean {
    return this.#p === this.#bytes.length;
  }

  /** What is at hand. */
  get rest(): Uint8Array {
    return this.#bytes.subarray(this.#p);
  }

  /** There is at least a byte at hand; false at the end. */
  async more(): Promise<boolean> {
    while (this.isEmpty) {
      giveBuffer(this.#bytes);
      this.#bytes = EMPTY;
      this.#p = 0;
      const { value, done } = await this.#blocks.next();
      if (done === true) return false;
      this.#bytes = value.bytes;
    }
    return true;
  }

  /** The next `n` bytes (few), or those that are left; they stay the next ones. */
  async some(n: number): Promise<Uint8Array> {
    while (this.#bytes.length - this.#p < n) {
      const left = this.rest;
      const { value, done } = await this.#blocks.next();
      if (done === true) break;
      if (left.length === 0) giveBuffer(this.#bytes);
      this.#bytes = left.length === 0 ? value.bytes : Uint8Array.from(Buffer.concat([left, value.bytes]));
      this.#p = 0;
    }
    return this.#bytes.subarray(this.#p, this.#p + n);
  }

  /** Throws CutOff where there are fewer. */
  async need(n: number): Promise<Uint8Array> {
    const bytes = await this.some(n);
    if (bytes.length < n) throw new CutOff();
    return bytes;
  }

  skip(n: number): void {
    this.#p += n;
    this.#at += n;
  }

  /** Over `n` bytes, however many. */
  async pass(n: number): Promise<void> {
    for (let left = n; left > 0; ) {
      if (!(await this.more())) throw new CutOff();
      const step = Math.min(left, this.rest.length);
      this.skip(step);
      left -= step;
    }
  }

  async close(): Promise<void> {
    await this.#blocks.return?.();
  }
}

function zlibError(error: unknown, o: UnpackOptions, memberAt: number): unknown {
  if (error instanceof OxiError || !(error instanceof Error) || !('code' in error)) return error;
  return error.code === 'Z_BUF_ERROR' ? new CutOff() : damaged(o, memberAt, error.message);
}

function damaged(o: UnpackOptions, memberAt: number, why: string): OxiError {
  return broken(o, `the ${PART[o.codec]} that begins at byte ${memberAt} is damaged: ${why}`, memberAt);
}

function garbage(o: UnpackOptions, at: number): OxiError {
  return broken(
    o,
    `behind the last ${PART[o.codec]}, at byte ${at}, stands something else: it is damaged or two files were joined`,
    at,
  );
}

function notPacked(o: UnpackOptions): OxiError {
  return broken(o, `does not begin as ${o.codec} does: set "compression: none" on the source if it is not packed`, 0);
}

function broken(o: UnpackOptions, what: string, offset: number): OxiError {
  return new OxiError('DOCUMENT_BROKEN', `${o.name}: ${what}`, { place: { file: o.name, offset } });
}
