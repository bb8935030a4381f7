import { once } from 'node:events';
import { hash } from 'node:crypto';
import { Redis } from 'ioredis';
import { sealDocument } from '../../runner/state/redis/rows.ts';
import { RedisServer } from '../servers/redis.ts';
import { median } from './report.ts';
import { checkpointOf } from './state-commits.ts';
await using server = await RedisServer.start();
const bare = new Redis(server.port, '127.0.0.1', { protocol: 2, enableReadyCheck: false, disableClientInfo: true });
await once(bare, 'connect');
const docs = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => sealDocument('w1', 'split-0', 1, checkpointOf(n + 1)).text);
const sha = hash('sha1', docs[0] as string);
const key = 'oxiflow:state:{w1-123123123123123123}:run';
const headOf = (v: number) => `abcdef12 1 ${v} 1 1780432443343434 1 30000 abcdefghijkl.${v.toString(36)} abcdefghijkl.1 ${sha}`;
const S: Record<string, string> = {
noop: 'return 1',
now: `
local k, part = KEYS[1], ARGV[1]
local found = redis.call('HMGET', k, 'h:' .. part, '0:' .. part)
if found[1] ~= ARGV[2] or not found[2] or found[2] == '' then return 0 end
local t = redis.call('TIME')
local at = t[1] .. string.sub(1000000 + t[2], 2, 4)
redis.call('HSET', k, 'h:' .. part, ARGV[3], 't:' .. part, at .. ' ' .. at, '1:' .. part, ARGV[4])
return 1`,
rawtime: `
local k, part = KEYS[1], ARGV[1]
local found = redis.call('HMGET', k, 'h:' .. part, '0:' .. part)
if found[1] ~= ARGV[2] or not found[2] or found[2] == '' then return 0 end
local t = redis.call('TIME')
local at = t[1] .. ' ' .. t[2]
redis.call('HSET', k, 'h:' .. part, ARGV[3], 't:' .. part, at .. ' ' .. at, '1:' .. part, ARGV[4])
return 1`,
strlen: `
local k, part, call = KEYS[1], ARGV[1], redis.call
local name = 'h:' .. part
if call('HGET', k, name) ~= ARGV[2] or call('HSTRLEN', k, '0:' .. part) == 0 then return 0 end
local t = call('TIME')
local at = t[1] .. ' ' .. t[2]
call('HSET', k, name, ARGV[3], 't:' .. part, at .. ' ' .. at, '1:' .. part, ARGV[4])
return 1`,
nolen: `
local k, part, call = KEYS[1], ARGV[1], redis.call
local name = 'h:' .. part
if call('HGET', k, name) ~= ARGV[2] then return 0 end
local t = call('TIME')
local at = t[1] .. ' ' .. t[2]
call('HSET', k, name, ARGV[3], 't:' .. part, at .. ' ' .. at, '1:' .. part, ARGV[4])
return 1`,
nolennotime: `
local k, part, call = KEYS[1], ARGV[1], redis.call
local name = 'h:' .. part
if call('HGET', k, name) ~= ARGV[2] then return 0 end
call('HSET', k, name, ARGV[3], '1:' .. part, ARGV[4])
return 1`,
names: `
local a, call = ARGV, redis.call
if call('HGET', KEYS[1], a[1]) ~= a[4] or call('HSTRLEN', KEYS[1], a[5]) == 0 then return 0 end
local t = call('TIME')
local at = t[1] .. ' ' .. t[2]
call('HSET', KEYS[1], a[1], a[6], a[2], at, a[3], a[7])
return 1`,
hsetonly: `redis.call('HSET', KEYS[1], 'h:' .. ARGV[1], ARGV[3], '1:' .. ARGV[1], ARGV[4]) return 1`,
timeonly: `local t = redis.call('TIME') return 1`,
hlenonly: `local t = redis.call('HSTRLEN', KEYS[1], 'h:split-0') return 1`,
};
const shas: Record<string, any> = {};
for (const [n, s] of Object.entries(S)) shas[n] = await bare.script('LOAD', s);
await bare.hset(key, 'h:split-0', headOf(0), '0:split-0', docs[0] as string);
let v = 0;
const res: Record<string, number[]> = {}; const lat: Record<string, number[]> = {};
const kinds = ['set', ...Object.keys(S)];
for (let r = 0; r < 8; r++) for (const n of r % 2 ? kinds : kinds.toReversed()) {
  const one = async (i: number): Promise<void> => {
    const doc = docs[i % 8] as string;
    if (n === 'set') { await bare.set('bare', doc); return; }
    const args = n === 'names' ? ['h:split-0', 't:split-0', '1:split-0', headOf(v), '0:split-0', headOf(v + 1), doc] : ['split-0', headOf(v), headOf(v + 1), doc];
    const a = await bare.evalsha(shas[n], 1, key, ...args); if (a !== 1) throw new Error(n);
    if (!['noop', 'timeonly', 'hlenonly'].includes(n)) v++;
  };
  for (let i = 0; i < 200; i++) await one(i);
  await bare.config('RESETSTAT');
  const t: number[] = [];
  for (let i = 0; i < 600; i++) { const a = performance.now(); await one(i); t.push(1000 * (performance.now() - a)); }
  const st = await bare.info('commandstats');
  const u = Number(new RegExp(`cmdstat_${n === 'set' ? 'set' : 'evalsha'}:.*?usec_per_call=([0-9.]*)`).exec(st)?.[1]);
  (res[n] ??= []).push(u); (lat[n] ??= []).push(median(t));
}
for (const n of kinds) console.log(n.padEnd(14), 'server min', Math.min(...res[n] as number[]), 'med', median(res[n] as number[]).toFixed(1), ' latency min', Math.min(...lat[n] as number[]).toFixed(1), 'med', median(lat[n] as number[]).toFixed(1));
bare.disconnect();
