/** The history of runs: one sorted set of the whole store, by the instant at which they ended. */
import { hash } from 'node:crypto';
import { corrupt, finishedMs } from '../faults.ts';
import { parseHistory } from '../history.ts';
import type { HistoryEntry, Json, StateStore } from '../store.ts';
import { makeNonce } from './nonce.ts';
import type { Place } from './place.ts';
import { script } from './prelude.ts';

/** key: the history; nonce, milliseconds since the epoch, checksum, entry */
const APPEND = script(`
for _, one in ipairs(redis.call('ZRANGEBYSCORE', K, ARGV[2], ARGV[2])) do
  if string.find(one, ' ' .. ARGV[1] .. ' ', 1, true) then return 0 end
end
local t = redis.call('TIME')
redis.call('ZADD', K, ARGV[2], string.format('%016.0f ', t[1] * 1000000 + t[2]) .. ARGV[1] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
return 1
`);

/** key: the history; first and last position -> entries, newest first */
const HISTORY = script(`return redis.call('ZREVRANGE', K, ARGV[1], ARGV[2])`);

/** key: the history; milliseconds since the epoch -> how many went */
const PRUNE = script(`return redis.call('ZREMRANGEBYSCORE', K, '-inf', ARGV[1])`);

export type HistoryFilter = NonNullable<Parameters<StateStore['history']>[0]>;

const PAGE = 500;

export class History {
  readonly #place: Place;
  readonly #key: string;
  readonly #location: string;

  constructor(place: Place, key: string, location: string) {
    this.#place = place;
    this.#key = key;
    this.#location = location;
  }

  async append(entry: HistoryEntry): Promise<void> {
    await this.#place.begin();
    const text = JSON.stringify(entry);
    const args = [makeNonce(), finishedMs(entry), hash('sha1', text), text];
    await this.#place.call(entry.runKey, APPEND, [this.#key], args);
  }

  async newest({ runKey, pipeline, limit = Number.POSITIVE_INFINITY }: HistoryFilter): Promise<HistoryEntry[]> {
    const found: HistoryEntry[] = [];
    // What is added meanwhile moves the others on, to the next page.
    const seen = new Set<string>();
    for (let first = 0; found.length < limit; first += PAGE) {
      const page = (await this.#place.call(runKey, HISTORY, [this.#key], [first, first + PAGE - 1])) as string[];
      for (const text of page) {
        if (seen.has(text)) continue;
        seen.add(text);
        const entry = entryOf(text);
        if (entry === undefined) throw corrupt(this.#location, 'a history entry is damaged', runKey);
        if (runKey !== undefined && entry.runKey !== runKey) continue;
        if (pipeline !== undefined && entry.pipeline !== pipeline) continue;
        if (found.length < limit) found.push(entry);
      }
      if (page.length < PAGE) break;
    }
    return found;
  }

  /** Those that ended up to then, in milliseconds since the epoch; says how many went. */
  async prune(cutoffMs: number): Promise<number> {
    return Number(await this.#place.call(undefined, PRUNE, [this.#key], [cutoffMs]));
  }
}

/** undefined where it is damaged. */
function entryOf(text: string): HistoryEntry | undefined {
  const [, sum, json = ''] = /^\d+ \S+ (\S+) (.*)$/s.exec(text) ?? [];
  if (sum !== hash('sha1', json)) return undefined;
  try {
    return parseHistory(JSON.parse(json) as Json);
  } catch {
    return undefined;
  }
}
