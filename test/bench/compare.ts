/**
 * Are two outputs the same: as bytes, as parsed rows in order, or as a bag of parsed rows. Files are read as streams, since
 * they may be larger than memory; a sample of the rows is kept, to show where two files part.
 */
import { createHash, hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Same } from './contenders.ts';

async function bytesDigest(path: string): Promise<string> {
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) digest.update(chunk);
  return digest.digest('hex');
}

/** The value as text with sorted keys, so that two spellings of one row are one text. */
function canonical(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`).join(',')}}`;
}

/** Of so many rows, one is in the sample; the first is. */
const SAMPLE_EVERY = 997;
const SHOWN = 300;

interface Rows {
  count: number;
  ordered: string;
  /** Sums of parts of each row's hash: the same for the same rows in any order. */
  bag: string;
  sample: string[];
}

async function rowsDigest(path: string): Promise<Rows> {
  const ordered = createHash('sha256');
  let count = 0;
  let high = 0;
  let low = 0;
  const sample: string[] = [];
  const row = (line: string): void => {
    if (line === '') return;
    const text = canonical(JSON.parse(line));
    if (count % SAMPLE_EVERY === 0) sample.push(text);
    const digest = hash('sha256', text, 'buffer');
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
  return { count, ordered: ordered.digest('hex'), bag: `${high}:${low}`, sample };
}

export interface Output {
  name: string;
  same: Same;
  path: string;
}

/** How two orders or bags of rows differ, as a clause behind the sentence. */
function where(own: Rows, first: Rows, how: Same): string {
  if (own.count !== first.count) return `: ${own.count} rows, not ${first.count}`;
  const at = how === 'rows' ? own.sample.findIndex((text, i) => text !== first.sample[i]) : -1;
  const shown = (text: string | undefined): string => text?.slice(0, SHOWN) ?? 'nothing';
  return at < 0 ? '' : `: row ${at * SAMPLE_EVERY + 1} is ${shown(own.sample[at])}, not ${shown(first.sample[at])}`;
}

/** Compares every output with the first; a sentence for each that differs. */
export async function differences(outputs: readonly Output[]): Promise<string[]> {
  const [first, ...others] = outputs;
  if (first === undefined) return [];
  const bytes = others.some((other) => other.same === 'bytes') ? await bytesDigest(first.path) : undefined;
  const rows = others.some((other) => other.same !== 'bytes') ? await rowsDigest(first.path) : undefined;
  const found: string[] = [];
  for (const { name, same: how, path } of others) {
    const sentence = `${name}: its output differs from that of ${first.name} (${how})`;
    if (how === 'bytes') {
      if ((await bytesDigest(path)) !== bytes) found.push(sentence);
    } else if (rows !== undefined) {
      const own = await rowsDigest(path);
      const key = how === 'rows' ? 'ordered' : 'bag';
      if (own.count !== rows.count || own[key] !== rows[key]) found.push(sentence + where(own, rows, how));
    }
  }
  return found;
}
