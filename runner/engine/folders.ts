/**
 * Makes folders one by one: Node's own way of making all that are missing asks for ever where a folder can't be made in one that is
 * there (/proc).
 */
import { mkdirSync, statSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from './errors.ts';

/** True where a folder was made, false where it was there. Throws what the system says. */
export async function makeFolders(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST' && (await stat(path)).isDirectory()) return false;
    if (errnoOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
  }
  await makeFolders(dirname(path));
  await mkdir(path).catch(async (error) => {
    if (errnoOf(error) !== 'EEXIST' || !(await stat(path)).isDirectory()) throw error;
  });
  return true;
}

/** The same, at once. */
export function makeFoldersSync(path: string): void {
  try {
    mkdirSync(path);
    return;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST' && statSync(path).isDirectory()) return;
    if (errnoOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
  }
  makeFoldersSync(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST' || !statSync(path).isDirectory()) throw error;
  }
}
