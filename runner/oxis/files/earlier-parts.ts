/**
 * What earlier runs of the same key have left beside an output that several workers make: parts of another cut, put in place or
 * only staged. Nothing is touched but what carries the mark of this run key and step, or what the store knows to be theirs and that
 * is still as they made it.
 */
import { lstat, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { EarlierOutput, Share, SinkRun } from '../../engine/contracts.ts';
import { errnoOf } from '../../engine/errors.ts';
import { partName } from '../../engine/part-name.ts';
import { hiddenPart, MERGE_SUFFIX } from './merging.ts';
import { behindLinks } from './place.ts';
import { remove, stemOf } from './staging.ts';

/** Clocks of a file server and of workers are not the same to the second. */
const CLOCKS_MS = 2000;

/** Names in the folder of the output that are parts of it, of whatever cut. */
export async function partsBeside(path: string): Promise<string[]> {
  return (await namesIn(dirname(path))).filter((name) => isPartOf(basename(path), name));
}

/** Removes what is still as the store knows it was made; whether it is gone. */
export async function removeEarlier(path: string, known: EarlierOutput | undefined, dry: boolean): Promise<boolean> {
  if (known === undefined) return false;
  const there = await lstat(path).catch(() => undefined);
  if (there === undefined) return true;
  const isTheirs = there.isFile() && there.size === known.bytes && there.mtimeMs <= Date.parse(known.at) + CLOCKS_MS;
  if (isTheirs && !dry) await remove(path);
  return isTheirs;
}

/** Takes away what workers of earlier runs have staged for parts; `of`: into how many the last one was cut, where that is known. */
export async function sweepParts(path: string, run: SinkRun, of: number): Promise<void> {
  const target = behindLinks(path);
  const folder = dirname(target);
  const merged = new RegExp(`^${escaped(stemOf(basename(target), run))}-\\d{5,}-of-\\d{5,}${escaped(MERGE_SUFFIX)}$`);
  const long = stemsOf(target, run, of);
  for (const name of await namesIn(folder)) {
    const [, shown = '', owner, token] =
      /^\.(.+)\.([0-9a-f]{12})\.(\d+)(?:-\d+)?\.oxiflow-part(?:\.copy)?$/.exec(name) ?? [];
    const stem = `.${shown}.${owner}`;
    const isPart = merged.test(shown) || isPartOf(basename(target), shown);
    const isStaged = Number(token) <= run.token && ((isPart && stemOf(shown, run) === stem) || long.has(stem));
    if (isStaged || merged.test(name)) await remove(join(folder, name));
  }
}

/** Of parts whose names are too long to be read in what is staged for them. */
function stemsOf(target: string, run: SinkRun, of: number): Set<string> {
  const stems = new Set<string>();
  for (let index = 0; index < of; index++) {
    const share: Share = { index, of };
    stems.add(stemOf(basename(hiddenPart(target, run, share)), run));
    stems.add(stemOf(basename(partName(target, share)), run));
  }
  return stems;
}

function isPartOf(output: string, name: string): boolean {
  const number = /-(\d{5,})-of-(\d{5,})(?=(?:\.[^/.]+){0,2}$)/.exec(name);
  if (number === null) return false;
  return partName(output, { index: Number(number[1]), of: Number(number[2]) }) === name;
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error) => {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return [];
    throw error;
  });
}
