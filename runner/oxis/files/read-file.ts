/** `read_file`: bytes of one file, of a list of files or of those that a pattern matches, each a split, in order. */
import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { type FileHandle, glob, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, isAbsolute, join, resolve } from 'node:path';
import * as z from 'zod/mini';
import { nearest } from '../../config/nearest.ts';
import type {
  Compression,
  DirectInput,
  FilePlace,
  RawBlock,
  Source,
  Split,
  TextEncoding,
} from '../../engine/contracts.ts';
import { errnoOf, ioError, OxiError } from '../../engine/errors.ts';
import { codecOfName } from '../../engine/source-text.ts';
import { takeBuffer } from '../../kernel/buffers.ts';
import { READ_HEADROOM } from '../../kernel/lines.ts';
import { defineSource, field } from '../define.ts';
import { OpenedFile } from './opened-file.ts';
import { refuseNul, tooLong } from './path.ts';
import { fileKey } from './place.ts';
import { binaryAlone, compressionField, encodingField, encodingOf, expansionField } from './text-fields.ts';

/** One read; large enough that a call costs nothing, small enough for many in flight. */
const READ_BYTES = 224 * 1024;
/** Memory of a read: room in front for a line cut off, and behind, so that it can serve for an output a little longer than its input. */
const MEMORY_BYTES = READ_HEADROOM + READ_BYTES + 96 * 1024;
/** How much of the input before a position is hashed, to tell whether it is still the same input. */
const FINGERPRINT_BYTES = 64 * 1024;
/** Names of a folder that are looked at for the one that was meant. */
const MOST_NAMES = 1000;
/** What a file is called that is not there any more: no hash is the same. */
const REPLACED = 'replaced';
/** Of so many files it is known what they were when they were opened, and of so many some of their bytes. */
const KEPT_FILES = 1000;
const KEPT_SAMPLES = 16;

const config = () => {
  const path = z.string().check(z.minLength(1));
  return z
    .strictObject({
      path: field(
        z.union([path, z.array(path).check(z.minLength(1))]),
        'File, list of files, or pattern (`*`, `**`, `?`, `[a-z]`, `{a,b}`); matches are read in the order of their names.',
      ),
      encoding: encodingField(
        'How text is encoded; what follows reads UTF-8. utf-16 goes by the byte order mark, little-endian without one.',
      ),
      compression: compressionField('How the file is packed; auto goes by the ending of its name, .gz or .zst.'),
      max_expansion: expansionField(),
      binary: field(
        z._default(z.boolean(), false),
        'Bytes without a meaning: nothing is unpacked or decoded, no byte order mark is looked for.',
      ),
    })
    .check(binaryAlone);
};

/** Where a path is no name any more, but a pattern. */
const WILD = /[*?[{]/;

export const readFile = defineSource({
  name: 'read_file',
  kind: 'source',
  summary: 'Reads files: one path, a list, or a pattern.',
  limits: { maxMemoryMb: 512, concurrentOperations: 1 },
  output: 'bytes',
  config,
  make: (c, context) => {
    const paths = typeof c.path === 'string' ? [c.path] : c.path;
    for (const path of paths) refuseNul(path, context.stepId);
    return new FileSource(paths, context.projectRoot, context.stepId, c);
  },
});

class FileSource implements Source {
  readonly kind = 'offset';
  readonly bounded = true;
  readonly binary: boolean;
  readonly encoding: TextEncoding;
  readonly compression: Compression;
  readonly maxExpansion: number;
  /** Absent where no file that it can find is text as it is. */
  readonly direct: Source['direct'];
  readonly #paths: readonly string[];
  readonly #root: string;
  readonly #step: string;
  /** By index of the split. */
  readonly #opened = new Map<number, OpenedFile>();

  constructor(paths: readonly string[], root: string, step: string, c: z.output<ReturnType<typeof config>>) {
    this.binary = c.binary;
    this.encoding = encodingOf(c.encoding);
    this.compression = c.compression;
    this.maxExpansion = c.max_expansion;
    const isPlain = (path: string): boolean =>
      c.compression === 'none' || (c.compression === 'auto' && codecOfName(path) === undefined);
    if (this.encoding === 'utf-8' && paths.some(isPlain)) this.direct = (split) => this.#direct(split);
    this.#paths = paths;
    this.#root = root;
    this.#step = step;
  }

  async splits(): Promise<Split[]> {
    const files: { name: string; size: number }[] = [];
    for (const path of this.#paths) {
      const found = (await this.#statOf(path)) ?? (isPattern(path) ? await this.#match(path) : undefined);
      if (found === undefined) {
        const hint = await hintFor(path, this.#root);
        throw new OxiError(
          'INPUT_MISSING',
          `step "${this.#step}": ${path}: no such file (looked in ${this.#root})${hint}`,
          { place: { step: this.#step, field: 'path', file: path } },
        );
      }
      files.push(...found);
    }
    return files.map((file, index) => ({ index, ...file }));
  }

  async recorded(splits: readonly Split[]): Promise<Split[]> {
    const now: Split[] = [];
    const meant = await this.#meant(splits);
    for (const { index, name } of splits) {
      const unmeant = new OxiError(
        'INPUT_CHANGED',
        `step "${this.#step}": the run reads ${name}, and "path" does not name that; --fresh starts over`,
        { place: { step: this.#step, field: 'path', file: name } },
      );
      // Not even whether it is there is told of what nobody named. What a pattern named may be gone, and then that is said.
      if (!meant.has(name) && !this.#paths.some((path) => isUnder(path, name))) throw unmeant;
      const info = await stat(resolve(this.#root, name)).catch((error) => {
        throw ioError(error, name, { step: this.#step, file: name });
      });
      if (!meant.has(name)) throw unmeant;
      now.push({ index, name, size: info.size });
    }
    return now;
  }

  /** Names that its configuration means: whoever may write the state chooses no other file. */
  async #meant(splits: readonly Split[]): Promise<ReadonlySet<string>> {
    const names = new Set(this.#paths);
    if (splits.every(({ name }) => names.has(name))) return names;
    for (const path of this.#paths)
      if (isPattern(path)) for await (const name of glob(path, { cwd: this.#root })) names.add(name);
    return names;
  }

  /** The file itself, where there is one of exactly this name. */
  async #statOf(path: string): Promise<{ name: string; size: number }[] | undefined> {
    try {
      const info = await stat(resolve(this.#root, path));
      if (info.isDirectory())
        throw new OxiError(
          'CONFIG_INVALID',
          `step "${this.#step}": ${path} is a folder; name a file in it, or a pattern such as "${path}/*.json"`,
          {
            place: { step: this.#step, field: 'path', file: path },
          },
        );
      // A pipe gives its bytes once, and whoever looks at the first ones takes them away.
      if (!info.isFile())
        throw new OxiError(
          'CONFIG_INVALID',
          `step "${this.#step}": ${path} is a pipe or a device; use read_stdin and redirect it: oxiflow run NAME < ${path}`,
          { place: { step: this.#step, field: 'path', file: path } },
        );
      return [{ name: path, size: info.size }];
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
      if (errno === 'ENAMETOOLONG') {
        if (isPattern(path)) return undefined;
        throw tooLong(path, this.#step);
      }
      throw ioError(error, `step "${this.#step}": ${path}`, { step: this.#step, file: path });
    }
  }

  async #match(pattern: string): Promise<{ name: string; size: number }[]> {
    const names: string[] = [];
    for await (const name of glob(pattern, { cwd: this.#root })) names.push(name);
    names.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    const files: { name: string; size: number }[] = [];
    for (const name of names) {
      const info = await stat(resolve(this.#root, name)).catch((error) => {
        throw this.#unreadable(error, name);
      });
      if (info.isFile()) files.push({ name, size: info.size });
    }
    if (files.length > 0) return files;
    throw new OxiError('INPUT_MISSING', `step "${this.#step}": no file matches ${pattern} (looked in ${this.#root})`, {
      place: { step: this.#step, field: 'path', file: pattern },
    });
  }

  /** A file that the pattern matches and that nobody can look at. */
  #unreadable(error: unknown, name: string): unknown {
    const place = { step: this.#step, field: 'path', file: name };
    // Bytes that are no UTF-8 have come as U+FFFD, a name that no file has.
    if (errnoOf(error) === 'ENOENT' && name.includes('\ufffd'))
      return new OxiError(
        'INPUT_MISSING',
        `step "${this.#step}": ${name}: the name of this file is not UTF-8 text; rename it, or choose a pattern that leaves it out`,
        { place, cause: error },
      );
    return ioError(error, `step "${this.#step}": ${name}`, place);
  }

  async #open(split: Split): Promise<FileHandle> {
    try {
      return await open(resolve(this.#root, split.name), 'r');
    } catch (error) {
      throw ioError(error, `step "${this.#step}": ${split.name}`, { step: this.#step, file: split.name });
    }
  }

  async *open(split: Split, from: number, signal: AbortSignal): AsyncGenerator<RawBlock> {
    const file = await this.#open(split);
    let next: Promise<Uint8Array> | undefined;
    let opened: OpenedFile | undefined;
    try {
      opened = await this.#noteOpened(split, file);
      // The next piece is on its way while the last one is worked on.
      next = this.#read(file, split, from);
      while (!signal.aborted) {
        const bytes = await next;
        if (bytes.length === 0) {
          // Before anybody takes what is missing for the end of the text.
          await opened.check();
          return;
        }
        opened.noteRead(from, bytes);
        const after = from + bytes.length;
        next = this.#read(file, split, after);
        from = after;
        yield { bytes, after, headroom: READ_HEADROOM };
      }
    } finally {
      await next?.catch(() => undefined);
      opened?.closed();
      await file.close();
    }
  }

  async #direct(split: Split): Promise<DirectInput> {
    const file = await this.#open(split);
    const opened = await this.#noteOpened(split, file).catch(async (error) => {
      await file.close();
      throw error;
    });
    let room = Buffer.alloc(0);
    return {
      fd: file.fd,
      read: (at, length) => {
        if (room.byteLength < length) room = Buffer.allocUnsafeSlow(length);
        try {
          const bytes = room.subarray(0, readSync(file.fd, room, 0, length, at));
          if (bytes.length > 0) opened.noteRead(at, bytes);
          return bytes;
        } catch (error) {
          throw ioError(error, split.name, { step: this.#step, file: split.name, offset: at });
        }
      },
      check: async () => {
        await opened.check();
      },
      close: async () => {
        opened.closed();
        await file.close();
      },
    };
  }

  /** What the file is that reading begins with: what it became is compared with that. Throws OxiError INPUT_REWRITTEN. */
  async #noteOpened(split: Split, handle: FileHandle): Promise<OpenedFile> {
    const now = await handle.stat({ bigint: true });
    const before = this.#opened.get(split.index);
    if (before !== undefined) {
      before.reopen(handle, now);
      return before;
    }
    const { name, size = 0 } = split;
    if (now.size < size)
      throw new OxiError(
        'INPUT_REWRITTEN',
        `${name}: it had ${size} bytes when the run began and has ${now.size} now: another program wrote it anew or cut it off. Nothing of it is published; start again when it is whole`,
        { place: { step: this.#step, file: name } },
      );
    const opened = new OpenedFile({ name, path: resolve(this.#root, name), step: this.#step }, handle, now);
    this.#opened.set(split.index, opened);
    this.#opened.get(split.index - KEPT_SAMPLES)?.forget();
    const [oldest] = this.#opened.keys();
    if (this.#opened.size > KEPT_FILES && oldest !== undefined) this.#opened.delete(oldest);
    return opened;
  }

  async recheck(split: Split): Promise<string | undefined> {
    return this.#opened.get(split.index)?.check();
  }

  async #read(file: FileHandle, split: Split, at: number): Promise<Uint8Array> {
    const memory = takeBuffer(MEMORY_BYTES);
    const buffer = memory.subarray(READ_HEADROOM, READ_HEADROOM + READ_BYTES);
    try {
      const length = Math.min(READ_BYTES, Math.max(0, (split.range?.to ?? at + READ_BYTES) - at));
      const { bytesRead } = await file.read(buffer, 0, length, at);
      return bytesRead === READ_BYTES ? buffer : buffer.subarray(0, bytesRead);
    } catch (error) {
      throw ioError(error, split.name, { step: this.#step, file: split.name, offset: at });
    }
  }

  async peek(split: Split, length: number): Promise<Uint8Array> {
    return this.#range(split, 0, length);
  }

  async #range(split: Split, from: number, length: number): Promise<Uint8Array> {
    const file = await this.#open(split);
    return this.#rangeOf(file, split, from, length).finally(() => file.close());
  }

  async #rangeOf(file: FileHandle, split: Split, from: number, length: number): Promise<Uint8Array> {
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, from);
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw ioError(error, split.name, { step: this.#step, file: split.name, offset: from });
    }
  }

  /** Of the file that was read: another one may have taken its name meanwhile, and nobody must go on in that. */
  async fingerprint(split: Split, offset: number): Promise<string> {
    const from = Math.max(0, offset - FINGERPRINT_BYTES);
    const opened = this.#opened.get(split.index);
    const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
    if (opened?.handle !== undefined) return hash(await this.#rangeOf(opened.handle, split, from, offset - from));
    const file = await this.#open(split).catch((error) => {
      // Read to its end, and gone since.
      if (opened !== undefined && error instanceof OxiError && error.code === 'INPUT_MISSING') return undefined;
      throw error;
    });
    if (file === undefined) return REPLACED;
    try {
      if (opened !== undefined && !opened.is(await file.stat({ bigint: true }))) return REPLACED;
      return hash(await this.#rangeOf(file, split, from, offset - from));
    } finally {
      await file.close();
    }
  }

  async places(splits: readonly Split[]): Promise<FilePlace[]> {
    const places: FilePlace[] = [];
    for (const { name } of splits) {
      // What was not found a moment ago is told by whoever reads it.
      const info = await stat(resolve(this.#root, name), { bigint: true }).catch(() => undefined);
      if (info !== undefined) places.push({ name, keys: [fileKey(info)] });
    }
    return places;
  }

  async metadata(split: Split): Promise<Record<string, string | number>> {
    const info = await stat(resolve(this.#root, split.name));
    const filename = basename(split.name);
    const format = formatOf(filename);
    return { path: split.name, filename, size: info.size, modified: info.mtime.toISOString(), format };
  }

  async close(): Promise<void> {}
}

/** What a file holds, by the ending of its name without that of its packing; empty where it has none. */
function formatOf(filename: string): string {
  return extname(filename.replace(/\.(gz|zst)$/i, ''))
    .slice(1)
    .toLowerCase();
}

/** A file of that name may be one that the pattern once found: it is in the folder in which that looks. */
function isUnder(pattern: string, name: string): boolean {
  if (!isPattern(pattern) || name.split('/').includes('..') || isAbsolute(pattern) !== isAbsolute(name)) return false;
  const plain = pattern.slice(0, pattern.search(WILD));
  return name.startsWith(plain.slice(0, plain.lastIndexOf('/') + 1));
}

function isPattern(path: string): boolean {
  return WILD.test(path);
}

/** What may have been meant: the nearest name in the folder, or that the folder is not there. */
async function hintFor(path: string, root: string): Promise<string> {
  const folder = dirname(path);
  let names: string[];
  try {
    names = await readdir(resolve(root, folder));
  } catch {
    // Nothing can be told of a folder that may not be read, and there is nothing to tell of a file in its place.
    return `; the folder ${folder} is not there`;
  }
  // Without the endings, which most of them share.
  const stem = (name: string): string => name.replace(/(?<=.)\..*$/, '');
  const stems = new Map(names.slice(0, MOST_NAMES).map((name) => [stem(name), name]));
  const near = stems.get(nearest(stem(basename(path)), stems.keys()) ?? '');
  return near === undefined ? '; correct "path", or put the file there' : `; did you mean "${join(folder, near)}"?`;
}
