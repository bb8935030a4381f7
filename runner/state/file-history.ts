/** The history of the backend `file`: a folder a day, a file an entry, named so that the newest comes last. */
import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as chain from './chain.ts';
import { corrupt, finishedMs, newer } from './faults.ts';
import { parseHistory } from './history.ts';
import { FORMAT, seal, unseal } from './seal.ts';
import type { HistoryEntry } from './store.ts';

const DAY_MS = 86_400_000;
/** Others in the folder are not ours. */
const DAY_NAME = /^\d{4}-\d\d-\d\d$/;
const ENTRY_NAME = /^(\d{8}T\d{9}Z)-\d+-\d+\.json$/;

export class FileHistory {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async append(entry: HistoryEntry): Promise<void> {
    const at = new Date(finishedMs(entry)).toISOString();
    const folder = join(this.#folder, at.slice(0, 10));
    await chain.makeFolder(folder);
    // Entries of one instant stay in the order in which this boot wrote them.
    const order = String(process.hrtime.bigint()).padStart(20, '0');
    await chain.replaceFile(folder, `${at.replaceAll(/[-:.]/g, '')}-${order}-${process.pid}.json`, seal(entry));
  }

  async read(filter: { runKey?: string; pipeline?: string; limit?: number }): Promise<HistoryEntry[]> {
    const found: HistoryEntry[] = [];
    const limit = filter.limit ?? Number.POSITIVE_INFINITY;
    for (const path of await this.#files()) {
      if (found.length >= limit) break;
      const text = await chain.readOrNothing(path);
      // Pruned since we looked.
      if (text === undefined) continue;
      const opened = unseal(text);
      if (opened.kind === 'newer') throw newer(path, opened.format, FORMAT);
      const entry = opened.kind === 'good' ? parseHistory(opened.payload) : undefined;
      if (entry === undefined) {
        throw corrupt(path, opened.kind === 'damaged' ? opened.reason : 'it holds no history entry', filter.runKey);
      }
      if (filter.runKey !== undefined && filter.runKey !== entry.runKey) continue;
      if (filter.pipeline !== undefined && filter.pipeline !== entry.pipeline) continue;
      found.push(entry);
    }
    return found;
  }

  async prune(cutoffMs: number): Promise<number> {
    const cutoff = new Date(cutoffMs).toISOString().replaceAll(/[-:.]/g, '');
    let removed = 0;
    for (const day of await this.#days()) {
      if (!(Date.parse(day) <= cutoffMs)) continue;
      const folder = join(this.#folder, day);
      for (const name of await chain.listFolder(folder)) {
        const at = ENTRY_NAME.exec(name)?.[1];
        if (at === undefined || at > cutoff) continue;
        await chain.remove(join(folder, name));
        removed++;
      }
      // Refused while anything is left in it.
      if (Date.parse(day) + DAY_MS <= cutoffMs) await rmdir(folder).catch(() => undefined);
    }
    return removed;
  }

  async damaged(): Promise<string[]> {
    const found: string[] = [];
    for (const path of await this.#files()) {
      const text = await chain.readOrNothing(path);
      if (text !== undefined && unseal(text).kind === 'damaged') found.push(path);
    }
    return found;
  }

  /** What dead processes left half-written. */
  async dropLeftovers(): Promise<number> {
    let dropped = 0;
    for (const day of await this.#days()) dropped += await chain.dropLeftovers(join(this.#folder, day));
    return dropped;
  }

  async #days(): Promise<string[]> {
    return (await chain.listFolder(this.#folder)).filter((name) => DAY_NAME.test(name));
  }

  /** Newest first. */
  async #files(): Promise<string[]> {
    const files: string[] = [];
    for (const day of (await this.#days()).sort().reverse()) {
      const folder = join(this.#folder, day);
      const names = (await chain.listFolder(folder)).filter((name) => ENTRY_NAME.test(name));
      files.push(
        ...names
          .sort()
          .reverse()
          .map((name) => join(folder, name)),
      );
    }
    return files;
  }
}
