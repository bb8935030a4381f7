/**
 * Are two outputs the same: as bytes, as parsed rows in order, or as a bag of parsed rows. Files are read as streams, since
 * they may be larger than memory.
 */
import { createHash, hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Same } from './contenders.ts';

async function bytesDigest(path: string): Promise<string> {
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) digest.update(chunk);
  return digest.digest('hex');
}

/** The value with sorted keys, so that two spellings of one row are one text. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, canonical(inner)]),
  );
}

interface Rows {
  count: number;
  ordered: string;
  /** Sums of parts of each row's hash: the same for the same rows in any order. */
  bag: string;
}

async function rowsDigest(path: string): Promise<Rows> {
  const ordered = createHash('sha256');
  let count = 0;
  let high = 0;
  let low = 0;
  const row = (line: string): void => {
    if (line === '') return;
    const digest = hash('sha256', JSON.stringify(canonical(JSON.parse(line))), 'buffer');
    ordered.update(digest);
    high = (high + digest.readUInt32BE(0)) >>> 0;
    low = (low + digest.readUInt32BE(4)) >>> 0;
    count += 1;
  };
  let rest = '';
  for await (const chunk of createReadStream(path, { encoding: 'utf8', highWaterMark: 1 << 20 })) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) row(line);
  }
  row(rest);
  return { count, ordered: ordered.digest('hex'), bag: `${high}:${low}` };
}

export interface Output {
  name: string;
  same: Same;
  path: string;
}

/** Compares every output with the first; a sentence for each that differs. */
export async function differences(outputs: readonly Output[]): Promise<string[]> {
  const [first, ...others] = outputs;
  if (first === undefined) return [];
  const bytes = await bytesDigest(first.path);
  const rows = others.some((other) => other.same !== 'bytes') ? await rowsDigest(first.path) : undefined;
  const found: string[] = [];
  for (const { name, same: how, path } of others) {
    let same: boolean;
    if (how === 'bytes') same = (await bytesDigest(path)) === bytes;
    else {
      const own = await rowsDigest(path);
      const key = how === 'rows' ? 'ordered' : 'bag';
      same = own.count === rows?.count && own[key] === rows[key];
    }
    if (!same) found.push(`${name}: its output differs from that of ${first.name} (${how})`);
  }
  return found;
}
