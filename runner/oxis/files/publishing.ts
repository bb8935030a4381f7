/**
 * Puts a staged file in place of the output, or joins it to the output. A crash between any two lines leaves the old output or
 * the new one, and a redo ends well; whoever slept beyond its lease finds its staged file gone before it touches the output.
 */
import { constants } from 'node:fs';
import { copyFile, link, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crashpoint } from '../../engine/crashpoint.ts';
import { errnoOf, OxiError } from '../../engine/errors.ts';
import { remove, syncFolder } from './staging.ts';

export interface Publication {
  /** Absolute path of the output, and what messages call it. */
  target: string;
  name: string;
  step: string;
  staged: string;
  /** Bytes of the staged file. */
  bytes: number;
  append: boolean;
  overwrite: boolean;
  backup: boolean;
  /** Size of an output that is appended to, at the last checkpoint. */
  base: number;
}

/** Behind the name of the output: what was there before. */
export const BACKUP = '.bak';

/** Throws OxiError OUTPUT_EXISTS, IO_FAILED. */
export async function publish(p: Publication): Promise<void> {
  crashpoint('publish');
  if (p.append) await joinTo(p);
  else await putInPlace(p);
  await syncFolder(dirname(p.target));
  crashpoint('published');
}

async function putInPlace(p: Publication): Promise<void> {
  const old = await stat(p.target).catch(() => undefined);
  if (old !== undefined && !old.isFile())
    throw failed(p, `step "${p.step}": ${p.name} is no file any more; what was made is kept in ${p.staged}`);
  if (old !== undefined) {
    const staged = await open(p.staged, 'r+');
    await staged.chmod(old.mode & 0o777).finally(() => staged.close());
  }
  if (old !== undefined && p.backup) {
    // Under a name of our token, which a successor clears away.
    const backup = `${p.staged}.copy`;
    await remove(backup);
    await link(p.target, backup);
    crashpoint('backing');
    // No successor has published yet, so the link holds the old output and not its new one.
    await mustBeOurs(p);
    await rename(backup, `${p.target}${BACKUP}`);
    // Where both are the same file already, a rename does nothing at all.
    await remove(backup);
    crashpoint('backup');
  }
  if (p.overwrite) return rename(p.staged, p.target);
  // A link refuses an existing name, which a rename would not.
  await link(p.staged, p.target).catch((error) => {
    throw errnoOf(error) === 'EEXIST' ? existsError(p) : error;
  });
  crashpoint('linked');
  await unlink(p.staged);
}

/** Appends what was staged at the size that the output had at the last checkpoint; begun before, it goes on. */
async function joinTo(p: Publication): Promise<void> {
  const { base, bytes } = p;
  const from = await open(p.staged, 'r');
  const to = await open(p.target, constants.O_RDWR | constants.O_CREAT, 0o666);
  try {
    const size = (await to.stat()).size;
    if (size < base || size > base + bytes) throw changed(p);
    // Larger than it was, the output holds some of ours already, and its backup was made before that. An empty one may be ours.
    if (p.backup && size === base && base > 0) await backUpCopy(p);
    const mine = Buffer.alloc(1 << 18);
    const theirs = Buffer.alloc(1 << 18);
    for (let at = 0; at < bytes; ) {
      const { bytesRead } = await from.read(mine, 0, Math.min(mine.length, bytes - at), at);
      if (bytesRead === 0) throw changed(p);
      const there = Math.max(0, Math.min(bytesRead, size - base - at));
      if (there > 0) {
        await to.read(theirs, 0, there, base + at);
        if (mine.compare(theirs, 0, there, 0, there) !== 0) throw changed(p);
      }
      // A successor has taken the staged file away before it appends.
      await mustBeOurs(p);
      if (there < bytesRead) await to.write(mine, there, bytesRead - there, base + at + there);
      crashpoint('join');
      at += bytesRead;
    }
    await to.sync();
  } finally {
    await from.close();
    await to.close();
  }
  await unlink(p.staged);
}

/** An output that is written to in place keeps its backup as a copy, under its name only when it is whole. */
async function backUpCopy(p: Publication): Promise<void> {
  const copy = `${p.staged}.copy`;
  await mustBeOurs(p);
  await copyFile(p.target, copy, constants.COPYFILE_FICLONE);
  const written = await open(copy, 'r+');
  await written.sync().finally(() => written.close());
  crashpoint('backing');
  await mustBeOurs(p);
  await rename(copy, `${p.target}${BACKUP}`);
  await syncFolder(dirname(p.target));
  crashpoint('backup');
}

/** Throws OxiError IO_FAILED where the staged file is gone. */
export async function mustBeOurs(p: Pick<Publication, 'staged' | 'name' | 'step'>): Promise<void> {
  await stat(p.staged).catch((cause) => {
    throw failed(p, `step "${p.step}": ${p.staged} is gone; ${p.name} is left alone`, cause);
  });
}

export function existsError(p: { name: string; step: string }): OxiError {
  return new OxiError(
    'OUTPUT_EXISTS',
    `step "${p.step}": ${p.name} exists and "overwrite" is false: move it away, or set "overwrite: true"`,
    { place: { step: p.step, field: 'overwrite', file: p.name } },
  );
}

function changed(p: Publication): OxiError {
  return failed(
    p,
    `${p.name}: another program changed it while this run was appending; its records are kept in ${p.staged}`,
  );
}

function failed(p: { name: string; step: string }, message: string, cause?: unknown): OxiError {
  return new OxiError('IO_FAILED', message, { place: { step: p.step, file: p.name }, cause });
}
