/** The text of an output on its way into the staged file: encoded, packed, and rewritten where what came first has to change. */
import { open } from 'node:fs/promises';
import type { Held, JsonObject, RawBlock, Rewrite, SinkRun, Source, TextEncoding } from '../../engine/contracts.ts';
import { crashpoint } from '../../engine/crashpoint.ts';
import { ioError, OxiError } from '../../engine/errors.ts';
import { SourceText } from '../../engine/source-text.ts';
import { Encoder, type Encoding, EncodingError } from '../../kernel/transcode.ts';
import type { Codec } from '../../kernel/unpack.ts';
import { Members } from './members.ts';
import { type StagedAt, StagedFile, type StagedOptions } from './staged-file.ts';
import { sizeOf } from './staging.ts';

export interface TextOptions extends StagedOptions {
  encoding: TextEncoding;
  codec: Codec | undefined;
  level: number | undefined;
}

/** What a mark says: bytes of the output if it ended there, and the state. */
export interface TextMark {
  bytes: number;
  data: JsonObject;
}

const BOM = Buffer.from('\ufeff');
const NOTHING = Buffer.alloc(0);
const NEVER = new AbortController().signal;

export class StagedText {
  readonly #o: TextOptions;
  readonly #file: StagedFile;
  #members: Members | undefined;
  #encoder: Encoder | undefined;
  #order: Encoding = 'utf-8';
  /** The output begins with a byte order mark. */
  #hasMark = false;
  /** The last mark is a hard one, and its number. */
  #hard: number | undefined;

  constructor(options: TextOptions) {
    this.#o = options;
    this.#file = new StagedFile(options);
  }

  async open(run: SinkRun, mark: TextMark | undefined): Promise<Held> {
    const end = mark === undefined ? NOTHING : endOf(mark);
    const held = await this.#file.open(run, mark === undefined ? undefined : stagedAt(mark, end));
    await this.#findOrder();
    this.#begin(typeof mark?.data.carry === 'string' ? mark.data.carry : '');
    if (held.at === 'mark' && end.length > 0) await this.#members?.restore(end);
    return held;
  }

  #begin(carry: string): void {
    const { codec, level } = this.#o;
    this.#encoder = this.#order === 'utf-8' ? undefined : new Encoder(this.#order, carry);
    this.#members = codec && new Members(codec, level, (member) => this.#file.write(member));
  }

  /** utf-16 goes on in the order of an output that is appended to; a new one says its own by a byte order mark. */
  async #findOrder(): Promise<void> {
    const { encoding, append } = this.#o;
    this.#order = encoding === 'utf-16' ? 'utf-16le' : encoding;
    this.#hasMark = encoding === 'utf-16';
    const { target } = this.#file;
    if (encoding !== 'utf-16' || !append || (await sizeOf(target)) === 0) return;
    this.#hasMark = false;
    const first = await this.#firstOf(target);
    if (first[0] === 0xfe && first[1] === 0xff) this.#order = 'utf-16be';
  }

  /** The first bytes of a file, unpacked. */
  async #firstOf(path: string): Promise<Uint8Array> {
    const place = { step: this.#o.step, file: this.#o.name };
    try {
      const file = await open(path, 'r');
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
        const first = buffer.subarray(0, bytesRead);
        const source = { ...sourceOf(() => readOnce(first), this.#o.codec, 'utf-8'), peek: async () => first };
        return await new SourceText(source, { index: 0, name: this.#o.name }, false).peek(2);
      } finally {
        await file.close();
      }
    } catch (error) {
      throw ioError(error, `step "${this.#o.step}": ${this.#o.name}`, place);
    }
  }

  /** Takes UTF-8. Throws OxiError RECORD_INVALID where the encoding can't hold it. */
  async write(utf8: Uint8Array): Promise<void> {
    if (this.#encoder === undefined) return this.#put(utf8);
    if (utf8.length === 0) return;
    try {
      if (this.#hasMark && this.#isEmpty) for (const bytes of this.#encoder.encode(BOM)) await this.#put(bytes);
      for (const bytes of this.#encoder.encode(utf8)) await this.#put(bytes);
    } catch (error) {
      if (error instanceof EncodingError) throw this.#refused(error.message, error);
      throw error;
    }
  }

  /** The staged file, where its bytes are the text as it comes. */
  direct(): { fd: number; at: number } | undefined {
    return this.#encoder === undefined && this.#members === undefined ? this.#file.direct() : undefined;
  }

  advance(bytes: number): void {
    this.#file.advance(bytes);
  }

  get #isEmpty(): boolean {
    return this.#file.stored === 0 && (this.#members?.size ?? 0) === 0;
  }

  #put(bytes: Uint8Array): Promise<void> {
    return this.#members === undefined ? this.#file.write(bytes) : this.#members.write(bytes);
  }

  async prepare(n: number, hard: boolean): Promise<TextMark> {
    await this.#members?.settle();
    const { stored, ...at } = await this.#file.prepare(hard);
    const end = await this.#end(at.base);
    const carry = this.#encoder?.carry ?? '';
    this.#hard = hard ? n : undefined;
    return {
      bytes: stored + end.length,
      data: {
        inode: at.inode,
        base: at.base,
        ...(at.generation === 0 ? {} : { generation: at.generation }),
        ...(end.length === 0 ? {} : { end: end.toString('base64') }),
        ...(carry === '' ? {} : { carry }),
      },
    };
  }

  /** What ends a packed output here: the open member, or the one of an output that holds nothing. */
  async #end(base: number): Promise<Buffer> {
    if (this.#members === undefined) return NOTHING;
    const isNeeded = this.#members.size > 0 || (this.#file.stored === 0 && base === 0);
    return isNeeded ? this.#members.end() : NOTHING;
  }

  /** What a hard mark does not speak of is not needed any more; a soft one may be forgotten with the machine. */
  async published(n: number): Promise<void> {
    if (n === this.#hard) await this.#file.dropOlder();
  }

  /** The text so far goes through `rewrite`, into a file of its own; the one of before stays until a checkpoint speaks of the new one. */
  async rewrite(rewrite: Rewrite): Promise<void> {
    await this.#members?.settle();
    const end = (await this.#members?.end()) ?? NOTHING;
    const carry = Buffer.from(this.#encoder?.carry ?? '', 'hex');
    const order = this.#order;
    const hasMark = this.#hasMark && !this.#isEmpty;
    const old = await this.#file.renew(end);
    try {
      this.#begin('');
      const source = sourceOf(old.read, this.#o.codec, order);
      for await (const bytes of rewrite(textOf(source, this.#o.name, hasMark, carry))) await this.write(bytes);
      crashpoint('rewritten');
    } finally {
      await old.close();
    }
  }

  async finish({ bytes, data }: TextMark): Promise<void> {
    if (typeof data.carry === 'string') throw this.#refused('it ends inside a character');
    const end = endOf({ bytes, data });
    await this.#file.dropOlder();
    await this.#file.publish(stagedAt({ bytes, data }, end), end);
  }

  async discard(): Promise<void> {
    await this.#members?.settle().catch(() => undefined);
    await this.#file.discard();
  }

  get pending(): string | undefined {
    return this.#file.pending;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #refused(what: string, cause?: Error): OxiError {
    const { step, name, encoding } = this.#o;
    return new OxiError(
      'RECORD_INVALID',
      `step "${step}": ${name}: ${what}, so it can't be written as ${encoding}: set "encoding: utf-8", or mend the records before`,
      { place: { step, field: 'encoding', file: name }, cause },
    );
  }
}

function endOf({ data }: TextMark): Buffer {
  return typeof data.end === 'string' ? Buffer.from(data.end, 'base64') : NOTHING;
}

function stagedAt({ bytes, data }: TextMark, end: Buffer): StagedAt {
  return {
    stored: bytes - end.length,
    whole: bytes,
    inode: String(data.inode ?? ''),
    base: Number(data.base ?? 0),
    generation: Number(data.generation ?? 0),
  };
}

/** The text of a finished output, which has some. */
export function readText(
  { encoding, codec, name }: Pick<TextOptions, 'encoding' | 'codec' | 'name'>,
  read: () => AsyncGenerator<RawBlock>,
): AsyncGenerator<Uint8Array> {
  const hasMark = encoding === 'utf-16';
  return textOf(sourceOf(read, codec, encoding === 'utf-16' ? 'utf-16le' : encoding), name, hasMark, NOTHING);
}

async function* readOnce(bytes: Uint8Array): AsyncGenerator<RawBlock> {
  yield { bytes: Uint8Array.from(bytes), after: bytes.length };
}

/** What was written, as a source whose byte order is known. */
function sourceOf(read: () => AsyncGenerator<RawBlock>, codec: Codec | undefined, encoding: Encoding): Source {
  return {
    kind: 'offset',
    bounded: true,
    encoding,
    compression: codec ?? 'none',
    maxExpansion: Number.MAX_SAFE_INTEGER,
    splits: async () => [],
    recorded: async (splits) => [...splits],
    open: read,
    peek: async () => NOTHING,
    close: async () => {},
  };
}

/** Its text, without the byte order mark; `carry`: UTF-8 behind it that is no whole character. */
async function* textOf(source: Source, name: string, hasMark: boolean, carry: Uint8Array): AsyncGenerator<Uint8Array> {
  const text = new SourceText(source, { index: 0, name }, false);
  for await (const { bytes } of text.open(text.begin(hasMark ? BOM.length : 0), NEVER)) yield bytes;
  if (carry.length > 0) yield carry;
}
