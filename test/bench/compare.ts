/**
 * Are two outputs the same: as bytes, as parsed rows in order, or as a bag of parsed rows. Files are read piece by piece, since
 * they may be larger than memory.
 */
import { createHash, hash } from 'node:crypto';
import { closeSync, createReadStream, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import type { Same } from './contenders.ts';

const PIECE_BYTES = 1 << 20;
/** As many digits as tell any two doubles apart. */
const EXACT = 17;
/** Characters shown around the first difference of two rows. */
const SHOWN = 120;

async function bytesDigest(path: string): Promise<string> {
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: PIECE_BYTES })) digest.update(chunk);
  return digest.digest('hex');
}

/** Every line that is not empty. */
function* linesOf(path: string): Generator<string, undefined> {
  const file = openSync(path, 'r');
  try {
    const decoder = new StringDecoder('utf8');
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    let rest = '';
    for (let length = -1; length !== 0; ) {
      length = readSync(file, piece);
      const lines = (rest + decoder.write(piece.subarray(0, length))).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line !== '') yield line;
    }
    if (rest !== '') yield rest;
  } finally {
    closeSync(file);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> => value !== null && typeof value === 'object';

/** Equal JSON values, in whatever order their keys are; numbers to so many digits. */
function isEqual(a: unknown, b: unknown, digits: number): boolean {
  if (a === b) return true;
  if (typeof a === 'number' && typeof b === 'number')
    return digits < EXACT && a.toPrecision(digits) === b.toPrecision(digits);
  if (!isObject(a) || !isObject(b) || Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && isEqual(a[key], b[key], digits));
}

/** What two lines are from a little before their first difference on. */
function apart(own: string, first: string): string {
  let at = 0;
  while (at < own.length && own[at] === first[at]) at += 1;
  const from = Math.max(0, at - SHOWN / 2);
  return `${own.slice(from, from + SHOWN)}, not ${first.slice(from, from + SHOWN)}`;
}

/** The first difference of two files of rows in order, as a clause; undefined where they are the same. */
function rowsApart(own: string, first: string, digits: number): string | undefined {
  const others = linesOf(first);
  let count = 0;
  for (const line of linesOf(own)) {
    const { value: other, done } = others.next();
    if (done === true) return `it has more than ${count} rows`;
    count += 1;
    if (line !== other && !isEqual(JSON.parse(line), JSON.parse(other), digits))
      return `row ${count} has ${apart(line, other)}`;
  }
  const isAll = others.next().done === true;
  others.return(undefined);
  return isAll ? undefined : `it ends behind row ${count}`;
}

/** The value as text with sorted keys, so that two spellings of one row are one text. */
function canonical(value: unknown): string {
  if (!isObject(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`).join(',')}}`;
}

/** The count of rows, and sums of parts of each one's hash: the same for the same rows in any order. */
function bagDigest(path: string): string {
  let count = 0;
  let high = 0;
  let low = 0;
  for (const line of linesOf(path)) {
    const digest = hash('sha256', canonical(JSON.parse(line)), 'buffer');
    high = (high + digest.readUInt32BE(0)) >>> 0;
    low = (low + digest.readUInt32BE(4)) >>> 0;
    count += 1;
  }
  return `${count}:${high}:${low}`;
}

export interface Output {
  name: string;
  same: Same;
  path: string;
}

/** How `path` differs from `first`, as a clause that may be empty; undefined where it does not. */
async function differenceOf(path: string, first: string, how: Same): Promise<string | undefined> {
  switch (how) {
    case 'bytes':
      return (await bytesDigest(path)) === (await bytesDigest(first)) ? undefined : '';
    case 'rows in any order':
      return bagDigest(path) === bagDigest(first) ? undefined : '';
    case 'rows':
      return rowsApart(path, first, EXACT);
    case 'rows to 15 digits':
      return rowsApart(path, first, 15);
  }
}

/** Compares every output with the first; a sentence for each that differs. */
export async function differences(outputs: readonly Output[]): Promise<string[]> {
  const [first, ...others] = outputs;
  if (first === undefined) return [];
  const found: string[] = [];
  for (const { name, same: how, path } of others) {
    const difference = await differenceOf(path, first.path, how);
    if (difference === undefined) continue;
    found.push(
      `${name}: its output differs from that of ${first.name} (${how})${difference === '' ? '' : `: ${difference}`}`,
    );
  }
  return found;
}
