/**
 * The text of a split: unpacked and decoded to UTF-8, between a source and the framer. Offsets of records count bytes of this
 * text. A packed or decoded text can't be entered anywhere: a position names the last place where reading can begin (a member of
 * a packed file, a piece of a file that is only decoded) and how much of the text behind it is known already.
 */
import { giveBuffer, takeBuffer } from '../kernel/buffers.ts';
import { READ_HEADROOM } from '../kernel/lines.ts';
import { Decoder, type Encoding } from '../kernel/transcode.ts';
import { type Codec, type Unpacked, unpack } from '../kernel/unpack.ts';
import type { Compression, RawBlock, Source, Split, TextEncoding } from './contracts.ts';
import { OxiError } from './errors.ts';

/** Where reading goes on in a text that is not the bytes of the split themselves. */
export interface TextPlace {
  /** Bytes of the text before it. */
  at: number;
  /** The place where reading begins: its offset in the split, and bytes of the text before that. */
  raw: number;
  start: number;
  /** What the decoder had taken and not given out there. */
  carry: string;
}

/** `offset`: bytes of the split that were read; where reading goes on, too, unless there is a `text`. */
export interface SplitPosition {
  offset: number;
  text?: TextPlace;
}

/** Expansion that no file of records has: gzip at its best reaches 1032. */
export const MAX_EXPANSION = 200;
/** Bytes of a block, as a source reads them. */
const BLOCK_BYTES = 448 * 1024;
const MEMORY_BYTES = READ_HEADROOM + BLOCK_BYTES + 128 * 1024;
/** A block of fewer bytes waits for more, while there are any at hand. */
const SMALL_BYTES = 256 << 10;
/** Packed bytes that are looked at first, where a source gives its bytes only once and slowly. */
const LOOKS = [1 << 10, 8 << 10];
/** Between two places where reading can begin: what is nearer is not worth remembering. */
const APART_BYTES = 64 << 10;

export class SourceText {
  readonly #source: Source;
  readonly #split: Split;
  readonly #codec: Codec | undefined;
  readonly #encoding: TextEncoding;
  readonly #isParsed: boolean;
  /** Places where reading can begin, the last of them that can serve a position first. */
  #places: Omit<TextPlace, 'at'>[] = [];
  /** Bytes of the split that were read for what was given out. */
  raw = 0;
  #ended = false;

  /** `isParsed`: a parser reads it, so it has to be text. */
  constructor(source: Source, split: Split, isParsed: boolean) {
    this.#source = source;
    this.#split = split;
    this.#isParsed = isParsed && source.binary !== true;
    this.#encoding = source.binary === true ? 'utf-8' : (source.encoding ?? 'utf-8');
    this.#codec = codecOf(source, split);
  }

  /** The text is the bytes of the split. */
  get #isPlain(): boolean {
    return this.#codec === undefined && this.#encoding === 'utf-8';
  }

  /** Reading can begin at any byte of it. */
  get isOpenAnywhere(): boolean {
    return this.#isPlain && this.#source.binary !== true;
  }

  /** All of it was given out. */
  get ended(): boolean {
    return this.#ended || (this.#isPlain && this.raw === (this.#split.range?.to ?? this.#split.size));
  }

  /** The place of byte `at` of the text, which lies before the first place that the reading will come to. */
  begin(at: number): SplitPosition {
    return this.#isPlain ? { offset: at } : { offset: 0, text: { at, raw: 0, start: 0, carry: '' } };
  }

  /** The position of byte `at` of the text, where that is not before one that was asked for earlier. */
  position(at: number): SplitPosition {
    if (this.#isPlain) return { offset: at };
    while (this.#places.length > 1 && (this.#places[1] as TextPlace).start <= at) this.#places.shift();
    const [place] = this.#places;
    return { offset: this.raw, text: { at, ...(place ?? { raw: 0, start: 0, carry: '' }) } };
  }

  /** The first bytes of the text, at most `length`. Throws OxiError DOCUMENT_BROKEN where a parser could make nothing of it. */
  async peek(length: number): Promise<Uint8Array> {
    if (this.#isPlain) {
      const first = await this.#source.peek(this.#split, length);
      if (this.#isParsed) this.#checkPlain(first);
      return first;
    }
    for (const look of this.#source.kind === 'once' ? LOOKS : []) {
      const { bytes, isAll } = await this.#look(look, length);
      if (isAll || hasLine(bytes)) return bytes;
    }
    return (await this.#look(length, length)).bytes;
  }

  /** What comes out of the first `rawLength` bytes of the split. */
  async #look(rawLength: number, length: number): Promise<{ bytes: Uint8Array; isAll: boolean }> {
    const raw = Uint8Array.from(await this.#source.peek(this.#split, rawLength));
    const isAll = raw.length < rawLength;
    const parts: Uint8Array[] = [];
    let size = 0;
    const at = { raw: 0, start: 0, carry: '' };
    for await (const { bytes } of this.#blocks(piecesOnce(raw), at, await this.#order(raw), () => true)) {
      parts.push(bytes);
      size += bytes.length;
      if (size >= length) break;
    }
    const bytes = Buffer.concat(parts).subarray(0, length);
    if (this.#isParsed && this.#encoding === 'utf-8') this.#checkMark(bytes, 'utf-8');
    return { bytes, isAll };
  }

  /** Reads from `from` to the end of the split; `after` counts bytes of the text. Ends early once `signal` is aborted. */
  async *open(from: SplitPosition, signal: AbortSignal): AsyncGenerator<RawBlock> {
    this.raw = from.offset;
    if (this.#isPlain) {
      for await (const block of this.#source.open(this.#split, from.offset, signal)) {
        this.raw = block.after;
        yield block;
      }
      this.#ended = !signal.aborted;
      return;
    }
    const { text } = from;
    if (text === undefined) throw new Error(`a position in ${this.#split.name} without its text`);
    const { at, ...place } = text;
    this.#places = [place];
    let drop = at - place.start;
    const encoding = this.#encoding === 'utf-8' ? 'utf-8' : await this.#firstOrder();
    const read = this.#source.open(this.#split, place.raw, signal);
    for await (const block of this.#blocks(read, place, encoding, () => signal.aborted)) {
      if (signal.aborted) return;
      const { bytes } = block;
      const known = Math.min(drop, bytes.length);
      drop -= known;
      if (known === bytes.length) giveBuffer(bytes);
      else yield { ...block, bytes: bytes.subarray(known), headroom: READ_HEADROOM + known };
    }
    if (signal.aborted) return;
    if (drop > 0) throw this.#broken(`its text ends before byte ${at}, where reading was to go on`);
    this.#ended = true;
  }

  /** Text in blocks, from a place on. `places` are noted as they are passed. */
  async *#blocks(
    read: AsyncIterable<RawBlock>,
    place: Omit<TextPlace, 'at'>,
    encoding: Encoding,
    stopped: () => boolean,
  ): AsyncGenerator<RawBlock> {
    const decoder = new Decoder(encoding, place.carry);
    let block = newBlock();
    let filled = 0;
    let after = place.start;
    const give = (): RawBlock => {
      const given = { bytes: block.subarray(0, filled), after, headroom: READ_HEADROOM };
      block = newBlock();
      filled = 0;
      return given;
    };
    const pieces =
      this.#codec === undefined
        ? piecesOf(read)
        : unpack(read, {
            codec: this.#codec,
            name: this.#split.name,
            at: { raw: place.raw, text: place.start },
            maxExpansion: this.#source.maxExpansion ?? MAX_EXPANSION,
            stopped,
          });
    for await (const { bytes, raw, member } of pieces) {
      if (member === true) this.#note({ raw, start: after, carry: decoder.carry });
      else if (bytes.length === 0 && filled > 0) yield give();
      for (let p = 0; p < bytes.length; p += decoder.read) {
        if (block.length - filled < 8) yield give();
        decoder.decode(bytes, p, block, filled);
        filled += decoder.written;
        after += decoder.written;
      }
      this.raw = Math.max(this.raw, raw);
      if (filled >= SMALL_BYTES) yield give();
    }
    if (block.length - filled < 8) yield give();
    const left = stopped() ? 0 : decoder.end(block, filled);
    filled += left;
    after += left;
    if (filled > 0) yield give();
  }

  #note(place: Omit<TextPlace, 'at'>): void {
    const last = this.#places.at(-1);
    if (last !== undefined && place.start - last.start < APART_BYTES && place.raw - last.raw < APART_BYTES) return;
    this.#places.push(place);
  }

  async #firstOrder(): Promise<Encoding> {
    return this.#order(Uint8Array.from(await this.#source.peek(this.#split, LOOKS[0] as number)));
  }

  /** The encoding with its byte order, by the first bytes of the split. */
  async #order(raw: Uint8Array): Promise<Encoding> {
    if (this.#encoding === 'utf-8') return 'utf-8';
    const first: number[] = [];
    const options = {
      name: this.#split.name,
      at: { raw: 0, text: 0 },
      maxExpansion: MAX_EXPANSION,
      stopped: () => true,
    };
    const bytes = piecesOnce(Uint8Array.from(raw));
    const pieces = this.#codec === undefined ? piecesOf(bytes) : unpack(bytes, { codec: this.#codec, ...options });
    for await (const piece of pieces) {
      first.push(...piece.bytes.subarray(0, 4));
      if (first.length >= 4) break;
    }
    const mark = markOf(first);
    if (this.#encoding === 'utf-16') return mark === 'utf-16be' ? mark : 'utf-16le';
    if (this.#isParsed) this.#checkMark(Uint8Array.from(first), this.#encoding);
    return this.#encoding;
  }

  #checkPlain(first: Uint8Array): void {
    this.#checkMark(first, 'utf-8');
    if (this.#source.compression !== 'auto') return;
    const codec =
      first[0] === 0x1f && first[1] === 0x8b
        ? 'gzip'
        : first[0] === 0x28 && first[1] === 0xb5 && first[2] === 0x2f && (first.length < 4 || first[3] === 0xfd)
          ? 'zstd'
          : undefined;
    if (codec !== undefined)
      throw this.#broken(
        `is packed with ${codec}, and its name does not say so: set "compression: ${codec}" on the source`,
      );
  }

  /** A byte order mark of another encoding than `encoding` says more than the pipeline does. */
  #checkMark(first: Uint8Array, encoding: Encoding): void {
    const mark = markOf(first);
    if (mark === undefined || mark === encoding) return;
    throw this.#broken(
      `begins with the byte order mark of ${mark}, and the source reads it as ${encoding}: set "encoding: ${mark}" on the source`,
    );
  }

  #broken(what: string): OxiError {
    const { name } = this.#split;
    return new OxiError('DOCUMENT_BROKEN', `${name}: ${what}`, { place: { file: name, offset: 0 } });
  }
}

function codecOf({ binary, compression = 'none' }: Source, { name }: Split): Codec | undefined {
  if (binary === true || compression === 'none') return undefined;
  return compression === 'auto' ? codecOfName(name) : compression;
}

/** By the ending of a name. */
export function codecOfName(name: string): Exclude<Compression, 'auto' | 'none'> | undefined {
  return /\.gz$/i.test(name) ? 'gzip' : /\.zst$/i.test(name) ? 'zstd' : undefined;
}

function newBlock(): Uint8Array {
  return takeBuffer(MEMORY_BYTES).subarray(READ_HEADROOM, READ_HEADROOM + BLOCK_BYTES);
}

/** What is not packed: reading can begin at each piece. */
async function* piecesOf(read: AsyncIterable<RawBlock>): AsyncGenerator<Unpacked> {
  for await (const { bytes, after } of read) {
    yield { bytes: NOTHING, raw: after - bytes.length, member: true };
    yield { bytes, raw: after };
    giveBuffer(bytes);
    yield { bytes: NOTHING, raw: after };
  }
}

const NOTHING = new Uint8Array();

async function* piecesOnce(bytes: Uint8Array): AsyncGenerator<RawBlock> {
  if (bytes.length > 0) yield { bytes, after: bytes.length };
}

function markOf(first: ArrayLike<number>): Encoding | undefined {
  if (first[0] === 0xff && first[1] === 0xfe) return 'utf-16le';
  if (first[0] === 0xfe && first[1] === 0xff) return 'utf-16be';
  return first[0] === 0xef && first[1] === 0xbb && first[2] === 0xbf ? 'utf-8' : undefined;
}

/** A line feed behind the first sign that is no white space. */
function hasLine(bytes: Uint8Array): boolean {
  const first = bytes.findIndex((c) => c > 0x20 && c < 0x80);
  return first >= 0 && bytes.indexOf(0x0a, first) >= 0;
}
