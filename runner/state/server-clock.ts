/**
 * The clock of the server that keeps a shared folder, read from the time that a file gets which is written at that moment. Wall
 * clocks of clients have no say in it. It is asked for once a second at most: in between this boot's own clock goes on as fast.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { errnoOf } from '../engine/errors.ts';
import * as chain from './chain.ts';
import { hasOneClock } from './file-system.ts';
import { processTag } from './host.ts';

const ASK_AGAIN_MS = 1000;
/** Some file systems keep whole seconds; and a server may be slewed a little. */
const SLACK_MS = 2000;

/** Where nothing new can be written there is no clock to be read. */
const NO_PROBE = new Set(['EROFS', 'EACCES', 'EPERM', 'ENOSPC', 'EDQUOT', 'ENOENT']);

export class ServerClock {
  readonly #folder: string;
  readonly #monotonic: () => number;
  #known: Promise<boolean> | undefined;
  /** The server's time, and this boot's at the same moment. */
  #last: { server: number; here: number } | undefined;
  /** Files that are older are of no use: the server's clock has been put forward since. */
  #steadySince = Number.NEGATIVE_INFINITY;

  constructor(folder: string, monotonicMs: () => number) {
    this.#folder = folder;
    this.#monotonic = monotonicMs;
  }

  /**
   * How long ago the server gave a file this time. Undefined where that can't be told: clients stamp the files by their own clocks,
   * the folder can't be written, the file is from the future (the clock was put back), or from before the clock was put forward.
   */
  async ageOf(fileMs: number): Promise<number | undefined> {
    this.#known ??= hasOneClock(this.#folder);
    if (!(await this.#known)) return undefined;
    const now = await this.now();
    if (now === undefined || fileMs > now + SLACK_MS || fileMs < this.#steadySince) return undefined;
    return Math.max(0, now - fileMs);
  }

  /** Undefined where nothing can be written there. */
  async now(): Promise<number | undefined> {
    const here = this.#monotonic();
    const last = this.#last;
    if (last !== undefined && here - last.here < ASK_AGAIN_MS) return last.server + here - last.here;
    const server = await this.#probe();
    if (server === undefined) return undefined;
    if (last !== undefined && server - last.server > (here - last.here) * 1.001 + SLACK_MS)
      this.#steadySince = server - SLACK_MS;
    this.#last = { server, here };
    return server;
  }

  async #probe(): Promise<number | undefined> {
    const path = join(this.#folder, `tmp.other.0.${processTag()}.${randomBytes(6).toString('hex')}`);
    try {
      // Not empty: an exclusive creation may keep something else than a time in that field.
      await chain.writeWhole(path, '.', 'soft');
      return await chain.modifiedMs(path);
    } catch (error) {
      if (NO_PROBE.has(errnoOf(error) ?? '')) return undefined;
      throw error;
    } finally {
      await chain.remove(path).catch(() => undefined);
    }
  }
}
