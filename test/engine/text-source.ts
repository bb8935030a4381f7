/** A source over bytes in memory that come in pieces of any size, for tests of the text behind it; and packed and encoded text. */
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import type { RawBlock, Source, Split, TextEncoding } from '../../runner/engine/contracts.ts';
import { SourceText, type SplitPosition } from '../../runner/engine/source-text.ts';
import { giveBuffer } from '../../runner/kernel/buffers.ts';

export type Settings = Pick<Source, 'encoding' | 'compression' | 'maxExpansion' | 'binary'>;

export function sourceOf(
  bytes: Buffer,
  settings: Settings = {},
  piece: () => number = () => 1 << 16,
  kind: Source['kind'] = 'offset',
): Source {
  return {
    kind,
    bounded: true,
    compression: 'auto',
    ...settings,
    splits: async () => [],
    recorded: async (splits) => [...splits],
    async *open(_split: Split, from: number, signal: AbortSignal): AsyncGenerator<RawBlock> {
      for (let at = from; at < bytes.length && !signal.aborted; ) {
        const end = Math.min(bytes.length, at + piece());
        const block = Buffer.allocUnsafeSlow(end - at);
        bytes.copy(block, 0, at, end);
        at = end;
        yield { bytes: block, after: end };
      }
    },
    peek: async (_split, length) => bytes.subarray(0, length),
    close: async () => {},
  };
}

export function textOf(bytes: Buffer, name: string, settings: Settings = {}, piece?: () => number): SourceText {
  return new SourceText(sourceOf(bytes, settings, piece), { index: 0, name, size: bytes.length }, true);
}

const NEVER = new AbortController().signal;

/** All of the text from `from` on. */
export async function readAll(text: SourceText, from: SplitPosition = text.begin(0)): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const { bytes } of text.open(from, NEVER)) parts.push(Buffer.from(bytes));
  return Buffer.concat(parts);
}

/** Text in an encoding, as other programs would write it; surrogates that stand alone stay so. */
export function encoded(text: string, encoding: TextEncoding): Buffer {
  if (encoding === 'latin1') return Buffer.from(text, 'latin1');
  if (encoding === 'utf-8') return Buffer.from(text);
  const units = Buffer.from(encoding === 'utf-16' ? `\ufeff${text}` : text, 'utf16le');
  return encoding === 'utf-16be' ? units.swap16() : units;
}

export function packed(bytes: Uint8Array, codec: 'gzip' | 'zstd'): Buffer {
  return codec === 'gzip'
    ? gzipSync(bytes)
    : zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
}

/** Bytes of the text; each block is let go at once. */
export async function readAllSizes(text: SourceText): Promise<number> {
  let size = 0;
  for await (const { bytes } of text.open(text.begin(0), NEVER)) {
    size += bytes.length;
    giveBuffer(bytes);
  }
  return size;
}
