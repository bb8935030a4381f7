/** The backend `redis` as the contract suite takes it, and what the tests of Redis do to stored state behind its back. */
import { Redis } from 'ioredis';
import { PRELUDE } from '../../runner/state/redis/prelude.ts';
import type { Part, StateStore } from '../../runner/state/store.ts';
import type { Bench, Damage } from '../contract/store-suite.ts';
import type { RedisServer } from '../servers/redis.ts';
import { keys, openRedisAt, PREFIX } from './redis-open.ts';

/** Changes what is stored by a script that knows its form. */
export async function tamper(
  server: RedisServer,
  runKey: string,
  lua: string,
  ...args: (string | number)[]
): Promise<unknown> {
  const client = new Redis(server.port, { enableReadyCheck: false });
  try {
    const named = [keys.run(runKey), ...(await client.keys(`${keys.run(runKey)}:*`))];
    return await client.eval(`${PRELUDE}\n${lua}`, named.length, ...named, ...args);
  } finally {
    client.disconnect();
  }
}

const OLDER = `
for _, part in ipairs(heads('')) do
  local h = head(part)
  h.renewed = math.max(0, h.renewed - tonumber(ARGV[1]))
  redis.call('HSET', K, 'h:' .. part, packHead(h))
end`;

const NEWER = `
local raw = redis.call('HGET', K, 'h:' .. ARGV[1])
local text = string.gsub(string.match(raw, '^%x+ (.*)$'), '^%d+', '9')
redis.call('HSET', K, 'h:' .. ARGV[1], string.sub(redis.sha1hex(text), 1, 8) .. ' ' .. text)`;

/** The newest document becomes what ARGV[2] says, in an entry of the same id. */
export const REPLACE = `
local part = ARGV[1]
local last = newest(part)
local entries = redis.call('XRANGE', stream(part), '-', '+')
redis.call('DEL', stream(part))
for _, entry in ipairs(entries) do
  local text = entry[1] == last.id and ARGV[2] or entry[2][2]
  redis.call('XADD', stream(part), entry[1], entry[2][1], text)
end`;

const NEWEST = `return newest(ARGV[1]).text`;

async function damageRun(server: RedisServer, runKey: string, part: Part, damage: Damage): Promise<void> {
  const text = String(await tamper(server, runKey, NEWEST, part));
  const put = (value: string): Promise<unknown> => tamper(server, runKey, REPLACE, part, value);
  switch (damage) {
    case 'empty':
      return void (await put(''));
    case 'truncated':
      return void (await put(text.slice(0, text.length / 2)));
    case 'nul bytes':
      return void (await put('\0'.repeat(text.length)));
    case 'bit flip':
      return void (await put(text.replace('second-ride', 'recond-ride')));
    case 'wrong shape':
      return void (await put(text.replace(/\{.*/s, '[]')));
    case 'duplicate keys':
      return void (await put(text.replace('"body":', '"body":{},"body":')));
  }
}

/** `serverOf`: the one that has a run. */
export function redisBench(
  url: string,
  clusterMode: boolean,
  serverOf: (runKey: string) => Promise<RedisServer>,
  flush: () => Promise<unknown>,
): Bench {
  const stores: StateStore[] = [];
  const location = `${url} (${PREFIX})`;
  return {
    location,
    open: (options) => {
      const store = openRedisAt(location, clusterMode, options);
      stores.push(store);
      return store;
    },
    damage: async (runKey, part, damage) => {
      await damageRun(await serverOf(runKey), runKey, part, damage);
      return { restorable: true };
    },
    makeNewer: async (runKey, part) => void (await tamper(await serverOf(runKey), runKey, NEWER, part)),
    elapse: async (ms) => void (await tamper(await serverOf('rides'), 'rides', OLDER, ms)),
    [Symbol.asyncDispose]: async () => {
      for (const store of stores.splice(0)) await store.close();
      await flush();
    },
  };
}
