/** Fields that all who read or write files have: how text is encoded, and how the file is packed. */
import * as z from 'zod/mini';
import type { TextEncoding } from '../../engine/contracts.ts';
import { MAX_EXPANSION } from '../../engine/source-text.ts';
import { field } from '../define.ts';

/** The spellings in use; the first is the canonical one. */
const SPELLINGS: Readonly<Record<TextEncoding, readonly string[]>> = {
  'utf-8': ['utf-8', 'utf8', 'UTF-8', 'UTF8'],
  'utf-16': ['utf-16', 'utf16', 'UTF-16', 'UTF16'],
  'utf-16le': ['utf-16le', 'utf16le', 'UTF-16LE', 'utf-16-le'],
  'utf-16be': ['utf-16be', 'utf16be', 'UTF-16BE', 'utf-16-be'],
  latin1: ['latin1', 'latin-1', 'iso-8859-1', 'ISO-8859-1', 'LATIN1'],
};

export const encodingField = (description: string) =>
  field(z._default(z.literal(Object.values(SPELLINGS).flat()), 'utf-8'), description);

export const compressionField = (description: string) =>
  field(z._default(z.literal(['auto', 'none', 'gzip', 'zstd']), 'auto'), description);

export const expansionField = () =>
  field(
    z._default(z.number().check(z.gte(1)), MAX_EXPANSION),
    'Bytes that a packed file may unpack to for each of its own, once more than 100 MB came out; a file that grows further is taken for an attack.',
  );

export function encodingOf(spelling: string): TextEncoding {
  const names = Object.keys(SPELLINGS) as TextEncoding[];
  const encoding = names.find((name) => SPELLINGS[name].includes(spelling));
  if (encoding === undefined) throw new Error(`no encoding ${spelling}`);
  return encoding;
}

/** Bytes without a meaning are neither unpacked nor decoded. */
export const binaryAlone = z.refine<{ binary: boolean; encoding: string; compression: string }>(
  (c) => !c.binary || (encodingOf(c.encoding) === 'utf-8' && c.compression !== 'gzip' && c.compression !== 'zstd'),
  { path: ['binary'], error: 'gives bytes as they are: leave out "encoding" and "compression", or "binary"' },
);
