/** `write_file`: a file that is either the old one or the new one, whole, at every moment. */
import { readdirSync, statSync } from 'node:fs';
import { lstat, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import * as z from 'zod/mini';
import type {
  EarlierOutput,
  FilePlace,
  Held,
  Mark,
  Output,
  Rewrite,
  Share,
  Sink,
  SinkRun,
} from '../../engine/contracts.ts';
import { errnoOf, ioError, OxiError } from '../../engine/errors.ts';
import { makeFolders } from '../../engine/folders.ts';
import { partName } from '../../engine/part-name.ts';
import { codecOfName } from '../../engine/source-text.ts';
import type { Codec } from '../../kernel/unpack.ts';
import type { Grade } from '../../state/store.ts';
import { defineSink, field } from '../define.ts';
import { jsonFormat } from '../formats/format-json.ts';
import { partsBeside, removeEarlier, sweepParts } from './earlier-parts.ts';
import { hiddenPart, mergeFiles } from './merging.ts';
import { isTooLong, refuseNul, tooLong } from './path.ts';
import { behindLinks, keysOf, pathKey } from './place.ts';
import { BACKUP, existsError } from './publishing.ts';
import { StagedText, type TextOptions } from './staged-text.ts';
import { compressionField, encodingField, encodingOf } from './text-fields.ts';

const config = () =>
  z.strictObject({
    path: field(z.string().check(z.minLength(1)), 'Where the output goes.'),
    append: field(
      z._default(z.boolean(), false),
      'Join the output to the end of what is there, once the run has succeeded.',
    ),
    create_dirs: field(z._default(z.boolean(), true), 'Make missing folders.'),
    overwrite: field(z._default(z.boolean(), true), 'Replace what is there; false refuses to start.'),
    merge: field(
      z._default(z.boolean(), false),
      'Where several workers share a run, their parts become one file, in order; otherwise each stays a file of its own, NAME-00003-of-00008.ext.',
    ),
    backup: field(z._default(z.boolean(), false), 'Keep what is there as PATH.bak.'),
    encoding: encodingField('How text is encoded; utf-16 is little-endian with a byte order mark.'),
    compression: compressionField(
      'How the file is packed; auto goes by the ending of its name, .gz or .zst. It is made of members of 1 MB each.',
    ),
    compression_level: field(
      z.optional(z.int().check(z.gte(1), z.lte(22))),
      'How hard to pack: gzip 1 to 9 (6 where left out), zstd 1 to 22 (3 where left out).',
    ),
  });

export const writeFile = defineSink({
  name: 'write_file',
  kind: 'sink',
  summary: 'Writes a file: staged beside it, put in place when the run has succeeded.',
  limits: { maxMemoryMb: 512, concurrentOperations: 1 },
  config,
  alone: {
    why: 'appends to one file: set "merge: true", and the parts of all workers are appended together',
    when: (c: { append: boolean; merge: boolean }) => c.append && !c.merge,
  },
  aliases: { create_directories: 'create_dirs' },
  make: (c, context) => {
    refuseNul(c.path, context.stepId);
    const codec = c.compression === 'auto' ? codecOfName(c.path) : c.compression === 'none' ? undefined : c.compression;
    refuseLevel(c.compression_level, codec, context.stepId);
    const { share } = context;
    const isPart = share !== undefined && !c.merge;
    const name = isPart ? partName(c.path, share) : c.path;
    return new FileSink(
      {
        path: resolve(context.projectRoot, name),
        name,
        step: context.stepId,
        append: c.append,
        overwrite: c.overwrite || c.append,
        backup: c.backup,
        encoding: encodingOf(c.encoding),
        codec,
        level: c.compression_level,
      },
      {
        createFolders: c.create_dirs,
        merged: c.merge ? (share ?? 'all') : undefined,
        others: isPart ? otherParts(c.path, share) : [],
      },
    );
  },
  implicitFormat: () => jsonFormat({}),
});

/** Names of the parts that other workers make. */
function otherParts(path: string, { index, of }: Share): string[] {
  return partsOf(path, of).filter((_, i) => i !== index);
}

function partsOf(path: string, of: number): string[] {
  return Array.from({ length: of }, (_, index) => partName(path, { index, of }));
}

interface SinkOptions {
  createFolders: boolean;
  /** Which part of a merged output it makes, or that it is the whole of one. */
  merged: Share | 'all' | undefined;
  /** Names of other parts of the same output. */
  others: readonly string[];
}

class FileSink implements Sink {
  readonly guarantee = 'truncate';
  readonly target: string;
  readonly #o: TextOptions;
  readonly #createFolders: boolean;
  readonly #others: readonly string[];
  /** It makes one part, which waits to be merged with the others. */
  readonly #part: Share | undefined;
  readonly merge: Sink['merge'];
  /** Absent where others can't write there as it is. */
  readonly direct: Sink['direct'];
  #text: StagedText;
  #records = 0;

  constructor(options: TextOptions, { createFolders, merged, others }: SinkOptions) {
    this.#o = options;
    this.#others = others;
    this.target = options.path;
    this.#createFolders = createFolders;
    this.#text = new StagedText(options);
    if (options.codec === undefined && options.encoding === 'utf-8') this.direct = () => this.#text.direct();
    this.#part = merged === 'all' ? undefined : merged;
    this.merge = merged === 'all' ? (run, parts, how) => mergeFiles(options, run, parts, how) : undefined;
  }

  places(): FilePlace[] {
    const { path, name, backup } = this.#o;
    const kept: FilePlace[] = backup
      ? [{ name: `${name}${BACKUP}`, keys: keysOf(`${behindLinks(path)}${BACKUP}`), backup: true }]
      : [];
    return [{ name, keys: keysOf(path) }, ...this.#partPlaces(), ...kept];
  }

  /** Of other workers' parts: all of them lie in the same folder. */
  #partPlaces(): FilePlace[] {
    if (this.#others.length === 0) return [];
    const folder = behindLinks(dirname(this.#o.path));
    const there = new Set(namesIn(folder));
    return this.#others.map((name) => {
      const path = join(folder, basename(name));
      return { name, keys: there.has(basename(name)) ? keysOf(path) : [pathKey(path)] };
    });
  }

  get pending(): string | undefined {
    return this.#text.pending;
  }

  get continues(): boolean {
    return this.#o.append && (statSync(this.#o.path, { throwIfNoEntry: false })?.size ?? 0) > 0;
  }

  async check(): Promise<void> {
    const place = { step: this.#o.step, field: 'path', file: this.#o.name };
    if (this.#o.name.endsWith('/'))
      throw new OxiError('CONFIG_INVALID', `step "${this.#o.step}": ${this.#o.name} names a folder; name a file`, {
        place,
      });
    if (isTooLong(this.#o.path, this.#o.backup ? BACKUP : '')) throw tooLong(this.#o.name, this.#o.step);
    const there = await stat(this.#o.path).catch((error) => {
      if (errnoOf(error) === 'ENAMETOOLONG') throw tooLong(this.#o.name, this.#o.step);
      if (errnoOf(error) !== 'ENOTDIR') return undefined;
      throw new OxiError('CONFIG_INVALID', `step "${this.#o.step}": ${this.#o.name} lies below a file; name a folder`, {
        place,
      });
    });
    // A rename would put a file in place of the link, and leave what it means without one.
    if (there === undefined && (await isLink(this.#o.path)))
      throw new OxiError(
        'CONFIG_INVALID',
        `step "${this.#o.step}": ${this.#o.name} is a link to nothing; remove it, or make the file it points to`,
        { place },
      );
    if (there?.isDirectory())
      throw new OxiError('CONFIG_INVALID', `step "${this.#o.step}": ${this.#o.name} is a folder; name a file`, {
        place,
      });
    // The output takes the place of what is there: of a device or a pipe that would be a file instead, for the whole machine.
    if (there !== undefined && !there.isFile())
      throw new OxiError(
        'CONFIG_INVALID',
        `step "${this.#o.step}": ${this.#o.name} is a device or a pipe; name a file, or use write_stdout`,
        { place },
      );
    if (there !== undefined && !this.#o.overwrite) throw existsError(this.#o);
    if (this.#createFolders) return;
    const folder = await stat(dirname(this.#o.path)).catch(() => undefined);
    if (folder === undefined)
      throw new OxiError(
        'CONFIG_INVALID',
        `step "${this.#o.step}": the folder of ${this.#o.name} does not exist and "create_dirs" is false`,
        { place },
      );
  }

  async open(run: SinkRun, mark: Mark | undefined): Promise<Held> {
    if (this.#createFolders) {
      await makeFolders(dirname(this.#o.path)).catch((error) => {
        throw ioError(error, `step "${this.#o.step}": folder of ${this.#o.name}`, {
          step: this.#o.step,
          file: this.#o.name,
        });
      });
    }
    this.#records = mark?.records ?? 0;
    if (this.#part !== undefined) {
      const path = hiddenPart(this.#o.path, run, this.#part);
      this.#text = new StagedText({ ...this.#o, path, append: false, overwrite: true, backup: false });
    }
    return this.#text.open(run, mark);
  }

  async write(bytes: Uint8Array, records: number): Promise<void> {
    await this.#text.write(bytes);
    this.#records += records;
  }

  advance(bytes: number, records: number): void {
    this.#text.advance(bytes);
    this.#records += records;
  }

  async prepare(n: number, grade: Grade): Promise<Mark> {
    return { n, records: this.#records, ...(await this.#text.prepare(n, grade === 'hard')) };
  }

  async published(n: number): Promise<void> {
    await this.#text.published(n);
  }

  async rewrite(rewrite: Rewrite): Promise<void> {
    await this.#text.rewrite(rewrite);
  }

  async finish(mark: Mark): Promise<Output> {
    await this.#text.finish(mark);
    return { path: this.#o.path, rows: mark.records, bytes: mark.bytes };
  }

  async abort(): Promise<void> {
    await this.#text.discard();
  }

  /** Called on the whole output, not on a part of it. */
  async clearEarlier(
    known: readonly EarlierOutput[],
    { of, dry }: { of: number | undefined; dry: boolean },
  ): Promise<string[]> {
    const { path, name, overwrite, append, backup } = this.#o;
    // Where nothing may be lost, nothing is taken away.
    const byPath = new Map(overwrite && !append && !backup ? known.map((one) => [one.path, one]) : []);
    const parts = of === undefined || this.merge !== undefined ? [] : partsOf(path, of);
    const made = new Set(parts.length === 0 ? [path] : parts);
    const left: string[] = [];
    for (const beside of await partsBeside(path)) {
      const at = join(dirname(path), beside);
      if (!made.has(at) && !(await removeEarlier(at, byPath.get(at), dry))) left.push(join(dirname(name), beside));
    }
    // The whole output of an earlier run: whose it is where nobody knows is no matter of parts.
    if (!made.has(path)) await removeEarlier(path, byPath.get(path), dry);
    return left;
  }

  async sweepParts(run: SinkRun, of: number): Promise<void> {
    await sweepParts(this.#o.path, run, of);
  }

  async close(): Promise<void> {
    await this.#text.close();
  }
}

function refuseLevel(level: number | undefined, codec: Codec | undefined, step: string): void {
  if (level === undefined || codec === 'zstd' || (codec === 'gzip' && level <= 9)) return;
  const why = codec === undefined ? 'has no effect on a file that is not packed' : 'goes to 9 for gzip';
  throw new OxiError('CONFIG_INVALID', `step "${step}", field "compression_level": ${why}`, {
    place: { step, field: 'compression_level' },
  });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // One that is not there holds nothing.
    return [];
  }
}

async function isLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (info) => info.isSymbolicLink(),
    () => false,
  );
}
