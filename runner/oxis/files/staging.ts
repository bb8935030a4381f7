/**
 * Where staged files stand and what they are called: `.NAME.OWNER.TOKEN.oxiflow-part` beside the output, `TOKEN-GENERATION` once
 * it was rewritten. Finds those of predecessors, and which of them a mark speaks of.
 */
import { createHash } from 'node:crypto';
import { open, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { SinkRun } from '../../engine/contracts.ts';
import { errnoOf } from '../../engine/errors.ts';

const SUFFIX = '.oxiflow-part';
/** Bytes of the output's name that the staged one shows: with what it adds it stays below what a file system takes. */
const SHOWN_BYTES = 64;

export interface Staged {
  path: string;
  token: number;
  generation: number;
  size: number;
  /** Made beside a staged file on the way to something else (a copy, a backup): of no use to anybody else. */
  isUnfinished: boolean;
}

/** How the names of all that this run and step stage for an output of this name begin. */
export function stemOf(name: string, run: SinkRun): string {
  let shown = '';
  for (const character of name) {
    if (Buffer.byteLength(shown + character) > SHOWN_BYTES) break;
    shown += character;
  }
  const owner = `${run.runKey}\0${run.step}${shown === name ? '' : `\0${name}`}`;
  return `.${shown}.${createHash('sha256').update(owner).digest('hex').slice(0, 12)}`;
}

export function stagedName(stem: string, token: number, generation: number): string {
  return `${stem}.${token}${generation === 0 ? '' : `-${generation}`}${SUFFIX}`;
}

/** All that was staged under `stem` with a token up to `token`. */
export async function findStaged(folder: string, stem: string, token: number): Promise<Staged[]> {
  const found: Staged[] = [];
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${stem}.`)) continue;
    const match = /^\.(\d+)(?:-(\d+))?\.oxiflow-part(\.copy)?$/.exec(name.slice(stem.length));
    if (match === null || Number(match[1]) > token) continue;
    const path = join(folder, name);
    found.push({
      path,
      token: Number(match[1]),
      generation: Number(match[2] ?? 0),
      size: await sizeOf(path),
      isUnfinished: match[3] !== undefined,
    });
  }
  return found;
}

/** The youngest that holds everything up to the mark. */
export function lastWhole(files: readonly Staged[], bytes: number): Staged | undefined {
  return files.filter((file) => file.size >= bytes).sort((a, b) => b.token - a.token)[0];
}

export function lostReason(name: string, files: readonly Staged[], bytes: number): string {
  const longest = Math.max(-1, ...files.map((file) => file.size));
  return longest < 0
    ? `what was staged for ${name} is gone`
    : `what was staged for ${name} has ${longest} bytes, the checkpoint speaks of ${bytes}`;
}

export async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw error;
  }
}

export async function remove(path: string): Promise<void> {
  await unlink(path).catch((error) => {
    if (errnoOf(error) !== 'ENOENT') throw error;
  });
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  await folder.sync().finally(() => folder.close());
}
