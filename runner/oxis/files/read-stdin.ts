/** `read_stdin`: the bytes that another program writes. They can't be read twice, so a run that reads them is never resumed. */
import { fstatSync } from 'node:fs';
import * as z from 'zod/mini';
import type { Compression, FilePlace, RawBlock, Source, Split, TextEncoding } from '../../engine/contracts.ts';
import { ioError, OxiError } from '../../engine/errors.ts';
import { skipSpace } from '../../kernel/grammar.ts';
import { defineSource, field } from '../define.ts';
import { fileKey } from './place.ts';
import { binaryAlone, compressionField, encodingField, encodingOf, expansionField } from './text-fields.ts';

const config = () =>
  z
    .strictObject({
      prompt: field(z.optional(z.string()), 'Text that is shown on a terminal before reading.'),
      timeout_seconds: field(z.optional(z.number().check(z.positive())), 'How long to wait for the first byte.', {
        unit: 'seconds',
      }),
      echo: field(z._default(z.boolean(), false), 'What is read is repeated on stderr.'),
      encoding: encodingField('How text is encoded; what follows reads UTF-8.'),
      compression: compressionField('How the input is packed; auto takes it for plain.'),
      max_expansion: expansionField(),
      binary: field(
        z._default(z.boolean(), false),
        'Bytes without a meaning: nothing is unpacked or decoded, no byte order mark is looked for.',
      ),
      format: field(
        z._default(z.literal(['auto', 'text', 'json']), 'auto'),
        'Kept for older projects; a parser says how the text is read.',
      ),
      buffer_size: field(z.optional(z.int().check(z.gte(1024), z.lte(16777216))), 'Kept for older projects.', {
        unit: 'bytes',
      }),
    })
    .check(binaryAlone);

export const readStdin = defineSource({
  name: 'read_stdin',
  kind: 'source',
  summary: 'Reads standard input.',
  limits: { maxMemoryMb: 512, concurrentOperations: 1 },
  output: 'bytes',
  config,
  alone: { why: 'gives its input once, to one worker' },
  make: (c, context) => new StdinSource(c, context.stepId),
});

class StdinSource implements Source {
  readonly kind = 'once';
  readonly bounded = true;
  readonly binary: boolean;
  readonly encoding: TextEncoding;
  readonly compression: Compression;
  readonly maxExpansion: number;
  /** Lines can be seen in the bytes. */
  readonly #isPlain: boolean;
  readonly #config: z.output<ReturnType<typeof config>>;
  readonly #step: string;
  #chunks: AsyncIterator<Buffer> | undefined;
  /** Bytes that were looked at and not given out. */
  #ahead: Buffer = Buffer.alloc(0);

  constructor(c: z.output<ReturnType<typeof config>>, step: string) {
    this.#config = c;
    this.binary = c.binary;
    this.encoding = encodingOf(c.encoding);
    this.compression = c.compression;
    this.maxExpansion = c.max_expansion;
    this.#isPlain = this.encoding === 'utf-8' && (c.compression === 'auto' || c.compression === 'none');
    this.#step = step;
  }

  async splits(): Promise<Split[]> {
    return [{ index: 0, name: 'stdin' }];
  }

  /** A file that a shell has put there. */
  async places(): Promise<FilePlace[]> {
    const info = fstatSync(0, { bigint: true });
    return info.isFile() ? [{ name: 'the file on standard input', keys: [fileKey(info)] }] : [];
  }

  async recorded(splits: readonly Split[]): Promise<Split[]> {
    return [...splits];
  }

  async #next(): Promise<Buffer | undefined> {
    if (this.#chunks === undefined) {
      if (this.#config.prompt !== undefined && process.stdin.isTTY) process.stderr.write(this.#config.prompt);
      this.#chunks = process.stdin[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
      return this.#first(this.#chunks.next());
    }
    return this.#value(this.#chunks.next());
  }

  async #first(read: Promise<IteratorResult<Buffer>>): Promise<Buffer | undefined> {
    const seconds = this.#config.timeout_seconds;
    if (seconds === undefined) return this.#value(read);
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      reject(
        new OxiError('IO_FAILED', `step "${this.#step}": nothing came on standard input for ${seconds} seconds`, {
          place: { step: this.#step },
        }),
      );
    }, seconds * 1000);
    try {
      return await Promise.race([this.#value(read), promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #value(read: Promise<IteratorResult<Buffer>>): Promise<Buffer | undefined> {
    try {
      const { value, done } = await read;
      if (done === true) return undefined;
      if (this.#config.echo) await shown(value);
      return value;
    } catch (error) {
      throw ioError(error, 'standard input', { step: this.#step });
    }
  }

  async peek(_split: Split, length: number): Promise<Uint8Array> {
    // A first line is enough: a program that writes slowly is not waited for.
    while (this.#ahead.length < length && !(this.#isPlain && hasLine(this.#ahead))) {
      const chunk = await this.#next();
      if (chunk === undefined) break;
      this.#ahead = Buffer.concat([this.#ahead, chunk]);
    }
    return this.#ahead.subarray(0, length);
  }

  async *open(_split: Split, from: number, signal: AbortSignal): AsyncGenerator<RawBlock> {
    let after = from;
    const ahead = this.#ahead.subarray(from);
    this.#ahead = Buffer.alloc(0);
    if (ahead.length > 0) {
      after += ahead.length;
      yield { bytes: Buffer.from(ahead), after };
    }
    let stop = (): void => undefined;
    const onAbort = (): void => stop();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      while (!signal.aborted) {
        // A promise for each read: in a race with one that outlives them all, that one would hold on to every chunk.
        const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
        stop = () => resolve(undefined);
        this.#next().then(resolve, reject);
        const chunk = await promise;
        if (chunk === undefined) return;
        after += chunk.length;
        yield { bytes: chunk, after };
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async close(): Promise<void> {
    process.stdin.destroy();
  }
}

/** Resolves when stderr has taken the bytes, or can't any more: the input is read all the same. */
function shown(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    process.stderr.write(bytes, () => resolve());
  });
}

/** There is a line feed behind the first sign that is no white space. */
function hasLine(bytes: Buffer): boolean {
  const start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  return bytes.indexOf(0x0a, skipSpace(bytes, start, bytes.length)) >= 0;
}
