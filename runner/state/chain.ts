/**
 * A document as a chain of files `PART.N.json` of which the one with the highest N counts. Making the link N + 1 to a
 * finished temporary file is the compare-and-set: it fails where somebody was faster. Old links are removed, but never the
 * highest, nor one that a writer's temporary file aims at; so a writer that slept for hours between looking and linking
 * still finds the name taken. An empty file `PART.N.hard` says that version N was synced.
 *
 * On a shared folder this needs no lock folders: one has to be broken when its holder died, and whoever breaks it can't know that
 * he does not break that of a successor, nor keep a holder that merely slept from writing. A name that is taken stays taken. What
 * a client has cached stands in nobody's way either: a folder and a file are looked at anew when they are opened, a link is made
 * by the server. An answer that got lost (the repeated request then fails with "exists" or "not there") is looked up.
 */
import { randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import { link, open, readdir, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, OxiError } from '../engine/errors.ts';
import { makeFolders } from '../engine/folders.ts';
import { isTagProvenDead, processTag } from './host.ts';
import { PART_NAME } from './parts.ts';
import type { Grade, Part } from './store.ts';

/** Versions behind the newest that stay: one for `repair`, the others so that a slow reader seldom has to look again. */
const KEPT = 4;
/** How often what is stale is looked up anew. */
const STALE_TIMES = 4;
/** Old versions are removed once there are so many. */
const PRUNED_AT = 12;

const VERSION_NAME = new RegExp(`^(${PART_NAME})\\.(\\d+)\\.(json|hard)$`);
/** Of a document's version, or of another file (SQLite adds its own endings). */
const TEMPORARY_NAME = new RegExp(
  `^tmp\\.(${PART_NAME}|other)\\.(\\d+)\\.([0-9a-z-]+)\\.[0-9a-f]+(-wal|-shm|-journal)?$`,
);

/** Everything that we ever put into the folder of a run, but for temporary files. */
const OWN_NAME = new RegExp(`^(key|(lease|request)-.+\\.json|(${PART_NAME})\\.\\d+\\.(json|hard))(\\.corrupt-.+)?$`);

export interface Chain {
  /** Version numbers, ascending. */
  numbers: number[];
  hard: Set<number>;
  /** Numbers that temporary files aim at. */
  aimed: Set<number>;
}

/** The chains of a run's folder, and its other files; empty where there is no folder. */
export async function scan(folder: string): Promise<{ chains: Map<Part, Chain>; others: string[] }> {
  const chains = new Map<Part, Chain>();
  const others: string[] = [];
  const chainOf = (part: Part): Chain => {
    const chain = chains.get(part) ?? { numbers: [], hard: new Set(), aimed: new Set() };
    chains.set(part, chain);
    return chain;
  };
  const aims: { part: Part; number: number }[] = [];
  for (const name of await listFolder(folder)) {
    const version = VERSION_NAME.exec(name);
    const temporary = TEMPORARY_NAME.exec(name);
    if (version !== null) {
      const chain = chainOf(version[1] as Part);
      if (version[3] === 'hard') chain.hard.add(Number(version[2]));
      else chain.numbers.push(Number(version[2]));
    } else if (temporary !== null && temporary[1] !== 'other') {
      aims.push({ part: temporary[1] as Part, number: Number(temporary[2]) });
    } else others.push(name);
  }
  for (const { part, number } of aims) chains.get(part)?.aimed.add(number);
  for (const [part, chain] of chains) {
    if (chain.numbers.length === 0) chains.delete(part);
    chain.numbers.sort((a, b) => a - b);
  }
  return { chains, others };
}

export async function listFolder(folder: string): Promise<string[]> {
  try {
    return await whileStale(() => readdir(folder));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** What another client removed or replaced while we had it in hand is stale: the name may lead to something new. */
async function whileStale<T>(work: () => Promise<T>): Promise<T> {
  for (let again = STALE_TIMES; ; again--) {
    try {
      return await work();
    } catch (error) {
      if (errnoOf(error) !== 'ESTALE' || again === 0) throw error;
    }
  }
}

export function versionFile(folder: string, part: Part, number: number): string {
  return join(folder, `${part}.${number}.json`);
}

/**
 * Puts `text` in place as version `after + 1`; false where `after` (0: none) is not the newest version any more. When it
 * returns true, the version survives what `grade` says. If the process dies inside, the version is there whole or not at all.
 */
export async function extend(folder: string, part: Part, after: number, text: string, grade: Grade): Promise<boolean> {
  const number = after + 1;
  const temporary = join(folder, temporaryName(part, number));
  try {
    await writeWhole(temporary, text, grade);
    // From here on nobody removes the name that we aim at: either we find it taken, or it was free all along.
    const before = (await scan(folder)).chains.get(part);
    if ((before?.numbers.at(-1) ?? 0) !== after) return false;
    if (!(await linkOnce(temporary, versionFile(folder, part, number)))) return false;
    if (grade === 'hard') {
      await writeFile(join(folder, `${part}.${number}.hard`), '');
      await syncFolder(folder);
    }
    if (before !== undefined && before.numbers.length >= PRUNED_AT) await dropOld(folder, part);
    return true;
  } catch (error) {
    // The folder was pruned away since it was made, here or by another client: the caller makes it again, or finds out what is wrong.
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ESTALE') return false;
    throw error;
  } finally {
    await remove(temporary);
  }
}

async function dropOld(folder: string, part: Part): Promise<void> {
  const chain = (await scan(folder)).chains.get(part);
  if (chain === undefined) return;
  const lastHard = Math.max(0, ...chain.hard);
  const old = chain.numbers.slice(0, -KEPT - 1).filter((number) => number !== lastHard && !chain.aimed.has(number));
  for (const number of old) {
    await remove(versionFile(folder, part, number));
    if (chain.hard.has(number)) await remove(join(folder, `${part}.${number}.hard`));
  }
}

/** False where the name is taken by somebody else. Whatever the answer says: a second name of our file is our own success. */
async function linkOnce(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (((await statusOf(from))?.nlink ?? 0) > 1) return true;
    if (errnoOf(error) !== 'EEXIST') throw error;
    return false;
  }
}

/** As the server has it now: to open a file is to ask. Undefined where it is gone or can't be told. */
async function statusOf(path: string): Promise<Stats | undefined> {
  try {
    const file = await open(path, 'r');
    try {
      return await file.stat();
    } finally {
      await file.close();
    }
  } catch (error) {
    // The reason why we ask is told instead.
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}

/** When the file was last written, by the clock of whoever keeps it; undefined where it is gone. */
export async function modifiedMs(path: string): Promise<number | undefined> {
  return (await statusOf(path))?.mtimeMs;
}

/** Writes a small file that only this process writes; readers see the old content or the new. */
export async function replaceFile(folder: string, name: string, text: string): Promise<void> {
  const temporary = join(folder, temporaryName('other', 0));
  try {
    await writeWhole(temporary, text, 'soft');
    await rename(temporary, join(folder, name));
  } catch (error) {
    // A repeated request finds nothing to rename any more where the first one did it. The texts of no two writes are the same.
    if (errnoOf(error) === 'ENOENT' && (await readOrNothing(join(folder, name))) === text) return;
    await remove(temporary);
    throw error;
  }
}

/** Our names of a whole run in the order in which they may go: of each chain the newest last, so no old one ever counts. */
export function removalOrder(names: readonly string[]): string[] {
  const rank = (name: string): number => Number(VERSION_NAME.exec(name)?.[2] ?? Number.POSITIVE_INFINITY);
  return names.filter((name) => OWN_NAME.test(name)).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** Makes the folder, and its name durable. Throws OxiError STATE_UNREACHABLE where the file system takes no folders. */
export async function makeFolder(folder: string): Promise<void> {
  const isNew = await makeFolders(folder).catch((cause) => {
    if (errnoOf(cause) !== 'ENOENT') throw cause;
    throw new OxiError('STATE_UNREACHABLE', `${folder}: the folder for the state can't be made there (ENOENT)`, {
      place: { file: folder },
      cause,
    });
  });
  if (isNew) await syncFolder(join(folder, '..'));
}

/**
 * Removes what processes that are proven dead left half-written, and with `isOld` what is half-written for so long: a writer that
 * slept over it finds its file gone and begins again. Says how many files.
 */
export async function dropLeftovers(folder: string, isOld?: (path: string) => Promise<boolean>): Promise<number> {
  let dropped = 0;
  for (const name of await listFolder(folder)) {
    const tag = TEMPORARY_NAME.exec(name)?.[3];
    const path = join(folder, name);
    if (tag === undefined || !(isTagProvenDead(tag) || (await isOld?.(path)))) continue;
    await remove(path);
    dropped++;
  }
  return dropped;
}

export async function remove(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ESTALE') throw error;
  }
}

/** The text of a file, or undefined where there is none. */
export async function readOrNothing(path: string): Promise<string | undefined> {
  try {
    return await whileStale(() => readFile(path, 'utf8'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** An error of `close` counts: some file systems tell only then that there is no room. */
export async function writeWhole(path: string, text: string, grade: Grade): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(text);
    if (grade === 'hard') await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems sync names on their own and refuse the call.
    if (errnoOf(error) !== 'EINVAL' && errnoOf(error) !== 'ENOTSUP') throw error;
  } finally {
    await handle.close();
  }
}

function temporaryName(part: Part | 'other', number: number): string {
  return `tmp.${part}.${number}.${processTag()}.${randomBytes(6).toString('hex')}`;
}
