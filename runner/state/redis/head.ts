/**
 * The head of a part: a checksum of the rest, format, version of the document, "1" where there is one, token, lease (0: none, 1:
 * held, 2: given back, 3: removed), its length in milliseconds, nonces of the last write and of the last acquisition, checksum of
 * the document. The scripts pack and unpack it, too; they know nothing that is not in `PRELUDE`.
 */
import { hash } from 'node:crypto';

/** Of heads and of the layout; that of documents is in their seal. */
export const FORMAT = 1;

const SHAPE = /^(\d+) ([01]) (\d+ [0-3] \d+) (\S+) (\S+) (\S+)$/;

export interface Head {
  version: number;
  present: boolean;
  /** Of the document; `-` for none. */
  sum: string;
}

export type Opened = { kind: 'good'; head: Head } | { kind: 'damaged' } | { kind: 'newer'; format: number };

export function unpackHead(raw: string): Opened {
  const [, sum, format = '', rest = ''] = /^([0-9a-f]+) (\d+) (.*)$/s.exec(raw) ?? [];
  if (sum === undefined || sumOf(`${format} ${rest}`) !== sum) return { kind: 'damaged' };
  if (Number(format) > FORMAT) return { kind: 'newer', format: Number(format) };
  const [, version, present, , , , docSum = ''] = SHAPE.exec(rest) ?? [];
  if (version === undefined) return { kind: 'damaged' };
  return { kind: 'good', head: { version: Number(version), present: present === '1', sum: docSum } };
}

/** A head as its writer got it, and what of it stays the same in the next one. */
export interface Written {
  raw: string;
  /** Token, lease and its length. */
  lease: string;
  took: string;
}

/** `raw`: as a script has packed it. */
export function writtenHead(raw: string): Written {
  const [, , , , token, lease, ttl, , took = ''] = raw.split(' ');
  return { raw, lease: `${token} ${lease} ${ttl}`, took };
}

/** The head of the next version by the same writer. */
export function nextHead({ lease, took }: Written, version: number, wrote: string, sum: string): Written {
  const text = `${FORMAT} ${version} 1 ${lease} ${wrote} ${took} ${sum}`;
  return { raw: `${sumOf(text)} ${text}`, lease, took };
}

function sumOf(text: string): string {
  return hash('sha1', text).slice(0, 8);
}
