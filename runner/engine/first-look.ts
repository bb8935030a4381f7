/** What the first bytes of an input tell before it is read: how its records stand, and the names of its columns. */
import type { ParserOxi, SelectPath, Source, Split, StreamInfo } from './contracts.ts';
import { SourceText } from './source-text.ts';

/** How much of a split is looked at to find out how its records stand. */
export const PEEK_BYTES = 64 * 1024;

/** How records stand in the input, by the first split that holds anything but white space. */
export async function detectStream(
  source: Source,
  splits: readonly Split[],
  parser: { oxi: ParserOxi; config: unknown; select: SelectPath | undefined } | undefined,
): Promise<StreamInfo> {
  const [first] = splits;
  if (parser === undefined || first === undefined) return { framing: 'lines', selected: false };
  const detect = (bytes: Uint8Array, { name }: Split): StreamInfo =>
    parser.oxi.detect(parser.config as never, bytes, name, parser.select);
  for (const split of splits) {
    const bytes = await new SourceText(source, split, true).peek(PEEK_BYTES);
    if (!isBlank(bytes)) return detect(bytes, split);
  }
  return detect(new Uint8Array(), first);
}

/** The longest header that is looked for before the run. */
const HEADER_BYTES = 1 << 20;

/** Names of the columns of a split, where its beginning tells them. */
export async function columnsOf(
  source: Source,
  split: Split,
  { oxi, config }: { oxi: ParserOxi; config: unknown },
): Promise<readonly string[] | undefined> {
  for (const length of [PEEK_BYTES, HEADER_BYTES]) {
    const first = await new SourceText(source, split, true).peek(length);
    const text = source.binary !== true && hasByteOrderMark(first) ? first.subarray(3) : first;
    const columns = oxi.columns?.(config as never, split.name, text, first.length < length);
    if (columns !== undefined || first.length < length) return columns;
  }
  return undefined;
}

export function hasByteOrderMark(bytes: Uint8Array): boolean {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
}

export function isBlank(bytes: Uint8Array): boolean {
  const start = hasByteOrderMark(bytes) ? 3 : 0;
  return bytes.subarray(start).every((c) => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09);
}
