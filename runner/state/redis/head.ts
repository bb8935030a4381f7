/**
 * The head of a part: a checksum of the rest, format, "1" where there is a document, token, lease (0: none, 1: held, 2: given back,
 * 3: removed), its length in milliseconds, when it was renewed, nonce of the last acquisition. The scripts pack and unpack it, too;
 * they know nothing that is not in `PRELUDE`.
 */
import { hash } from 'node:crypto';

/** Of heads and of the layout; that of documents is in their seal. In format 1 the documents were in the hash, and a commit a script. */
export const FORMAT = 2;

const SHAPE = /^([01]) \d+ [0-3] \d+ \d+ \S+$/;

export type Opened = { kind: 'good'; present: boolean } | { kind: 'damaged' } | { kind: 'foreign'; format: number };

export function unpackHead(raw: string): Opened {
  const [, sum, format = '', rest = ''] = /^([0-9a-f]+) (\d+) (.*)$/s.exec(raw) ?? [];
  if (sum === undefined || hash('sha1', `${format} ${rest}`).slice(0, 8) !== sum) return { kind: 'damaged' };
  if (Number(format) !== FORMAT) return { kind: 'foreign', format: Number(format) };
  const [, present] = SHAPE.exec(rest) ?? [];
  return present === undefined ? { kind: 'damaged' } : { kind: 'good', present: present === '1' };
}
