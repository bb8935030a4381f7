/** The open requests to a run: a list in its slot, in the order in which they came. */
import { checkRunKey, corrupt } from '../faults.ts';
import { isMeant, parseRequest, type RequestFilter } from '../requests.ts';
import { isObject } from '../seal.ts';
import type { Json, RunRequest } from '../store.ts';
import type { Keys } from './keys.ts';
import { makeNonce } from './nonce.ts';
import type { Place } from './place.ts';
import { script } from './prelude.ts';

/** key: the requests; nonce, request, channel */
const REQUEST = script(`
local entry = ARGV[1] .. ' ' .. ARGV[2]
for _, one in ipairs(redis.call('LRANGE', K, 0, -1)) do if one == entry then return 0 end end
redis.call('RPUSH', K, entry)
-- Whoever may not publish is heard by those who look.
redis.pcall('PUBLISH', ARGV[3], '')
return 1
`);

/** key: the requests -> all of them */
const REQUESTS = script(`return redis.call('LRANGE', K, 0, -1)`);

/** key: the requests; those that go */
const CLEAR = script(`
for _, one in ipairs(ARGV) do redis.call('LREM', K, 0, one) end
return 1
`);

export class Requests {
  readonly #place: Place;
  readonly #keys: Keys;
  readonly #location: string;

  constructor(place: Place, keys: Keys, location: string) {
    this.#place = place;
    this.#keys = keys;
    this.#location = location;
  }

  async add(runKey: string, request: RunRequest): Promise<void> {
    checkRunKey(runKey);
    await this.#place.begin();
    const args = [makeNonce(), JSON.stringify(request), this.#keys.channel(runKey)];
    await this.#place.call(runKey, REQUEST, [this.#keys.requests(runKey)], args);
  }

  async all(runKey: string): Promise<RunRequest[]> {
    return (await this.#entries(runKey)).map(({ request }) => request);
  }

  async clear(runKey: string, which: RequestFilter): Promise<void> {
    const meant = (await this.#entries(runKey)).filter(({ request }) => isMeant(request, which));
    if (meant.length === 0) return;
    const args = meant.map(({ entry }) => entry);
    await this.#place.call(runKey, CLEAR, [this.#keys.requests(runKey)], args);
  }

  async #entries(runKey: string): Promise<{ entry: string; request: RunRequest }[]> {
    checkRunKey(runKey);
    const entries = (await this.#place.call(runKey, REQUESTS, [this.#keys.requests(runKey)])) as string[];
    return entries.map((entry) => {
      const request = requestOf(entry.slice(entry.indexOf(' ') + 1));
      if (request === undefined) throw corrupt(this.#location, 'it holds an unknown request', runKey);
      return { entry, request };
    });
  }
}

function requestOf(json: string): RunRequest | undefined {
  try {
    const value = JSON.parse(json) as Json;
    return isObject(value) ? parseRequest(value) : undefined;
  } catch {
    return undefined;
  }
}
