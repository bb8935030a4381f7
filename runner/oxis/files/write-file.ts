/** `write_file`: a file that is either the old one or the new one, whole, at every moment. */
import { lstat, mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import * as z from 'zod/mini';
import type { Held, Mark, Output, Sink, SinkRun } from '../../engine/contracts.ts';
import { errnoOf, ioError, OxiError } from '../../engine/errors.ts';
import type { Grade } from '../../state/store.ts';
import { defineSink, field, only } from '../define.ts';
import { jsonFormat } from '../formats/format-json.ts';
import { isTooLong, refuseNul, tooLong } from './path.ts';
import { BACKUP, existsError, StagedFile, type StagedOptions } from './staged-file.ts';

const config = () =>
  z.strictObject({
    path: field(z.string().check(z.minLength(1)), 'Where the output goes.'),
    append: field(
      z._default(z.boolean(), false),
      'Join the output to the end of what is there, once the run has succeeded.',
    ),
    create_dirs: field(z._default(z.boolean(), true), 'Make missing folders.'),
    overwrite: field(z._default(z.boolean(), true), 'Replace what is there; false refuses to start.'),
    backup: field(z._default(z.boolean(), false), 'Keep what is there as PATH.bak.'),
    encoding: field(only('utf-8'), 'How text is encoded.'),
  });

export const writeFile = defineSink({
  name: 'write_file',
  kind: 'sink',
  summary: 'Writes a file: staged beside it, put in place when the run has succeeded.',
  limits: { maxMemoryMb: 512, concurrentOperations: 1 },
  config,
  aliases: { create_directories: 'create_dirs' },
  make: (c, context) => {
    refuseNul(c.path, context.stepId);
    return new FileSink(
      {
        path: resolve(context.projectRoot, c.path),
        name: c.path,
        step: context.stepId,
        append: c.append,
        overwrite: c.overwrite || c.append,
        backup: c.backup,
      },
      c.create_dirs,
    );
  },
  implicitFormat: () => jsonFormat({}),
});

class FileSink implements Sink {
  readonly guarantee = 'truncate';
  readonly target: string;
  readonly #o: StagedOptions;
  readonly #createFolders: boolean;
  readonly #file: StagedFile;
  #records = 0;

  constructor(options: StagedOptions, createFolders: boolean) {
    this.#o = options;
    this.target = options.path;
    this.#createFolders = createFolders;
    this.#file = new StagedFile(options);
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
      await mkdir(dirname(this.#o.path), { recursive: true }).catch((error) => {
        throw ioError(error, `step "${this.#o.step}": folder of ${this.#o.name}`, {
          step: this.#o.step,
          file: this.#o.name,
        });
      });
    }
    this.#records = mark?.records ?? 0;
    return this.#file.open(run, mark);
  }

  async write(bytes: Uint8Array, records: number): Promise<void> {
    await this.#file.write(bytes);
    this.#records += records;
  }

  async prepare(n: number, grade: Grade): Promise<Mark> {
    const data = await this.#file.prepare(grade === 'hard');
    return { n, records: this.#records, bytes: this.#file.bytes, data };
  }

  async finish(mark: Mark): Promise<Output> {
    await this.#file.publish(mark);
    return { path: this.#o.path, rows: mark.records, bytes: mark.bytes };
  }

  async abort(): Promise<void> {
    await this.#file.discard();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

async function isLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (info) => info.isSymbolicLink(),
    () => false,
  );
}
