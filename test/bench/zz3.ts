import { once } from 'node:events';
import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { Redis } from 'ioredis';
import { sealDocument } from '../../runner/state/redis/rows.ts';
import { RedisServer } from '../servers/redis.ts';
import { median } from './report.ts';
import { checkpointOf } from './state-commits.ts';
await using server = await RedisServer.start();
const bare = new Redis(server.port, '127.0.0.1', { protocol: 2, enableReadyCheck: false, disableClientInfo: true });
await once(bare, 'connect');
const sealed = sealDocument('w1', 'split-0', 1, checkpointOf(1)).text;
const sha = hash('sha1', sealed);
const load = (s: string): Promise<any> => bare.script('LOAD', s) as any;
const key = 'oxiflow:state:{w1-123123123123123123}:run';
const headOf = (v: number) => `abcdef12 1 ${v} 1 1780432443343434 1 30000 abcdefghijkl.${v.toString(36)} abcdefghijkl.1 ${sha}`;
const cas = await load(`local k, part = KEYS[1], ARGV[1]
local found = redis.call('HGET', k, 'h:' .. part)
if found == ARGV[2] then
local t = redis.call('TIME')
redis.call('HSET', k, 'h:' .. part, ARGV[3], 'r:' .. part, t[1] .. '.' .. t[2], '1:' .. part, ARGV[4])
return 1 end return 0`);
const casnames = await load(`local k, name = KEYS[1], ARGV[1]
if redis.call('HGET', k, name) == ARGV[4] then
local t = redis.call('TIME')
redis.call('HSET', k, name, ARGV[5], ARGV[2], t[1] .. '.' .. t[2], ARGV[3], ARGV[6])
return 1 end return 0`);
const caslen = await load(`local k, part = KEYS[1], ARGV[1]
local found = redis.call('HGET', k, 'h:' .. part)
if found == ARGV[2] and redis.call('HSTRLEN', k, '0:' .. part) > 0 then
local t = redis.call('TIME')
redis.call('HSET', k, 'h:' .. part, ARGV[3], 'r:' .. part, t[1] .. '.' .. t[2], '1:' .. part, ARGV[4])
return 1 end return 0`);
const casNoTime = await load(`local k, part = KEYS[1], ARGV[1]
local found = redis.call('HGET', k, 'h:' .. part)
if found == ARGV[2] then
redis.call('HSET', k, 'h:' .. part, ARGV[3], 'r:' .. part, '12312312321', '1:' .. part, ARGV[4])
return 1 end return 0`);
await bare.hset(key, 'h:split-0', headOf(0), '0:split-0', sealed);
let v = 0;
const noop = await load('return 1');
const doCas = (script: string) => async () => { const a = await bare.evalsha(script, 1, key, 'split-0', headOf(v), headOf(v + 1), sealed); if (a !== 1) throw 1; v++; };
const doNames = async () => { const a = await bare.evalsha(casnames, 1, key, 'h:split-0', 'r:split-0', '1:split-0', headOf(v), headOf(v + 1), sealed); if (a !== 1) throw 1; v++; };
const kinds: [string, (b: any) => any, number[]][] = [
 ['set', () => bare.set('bare', sealed), []],
 ['eval return 1, one arg', () => bare.evalsha(noop, 1, key, sealed), []],
 ['eval return 1, 4 args', () => bare.evalsha(noop, 1, key, 'split-0', headOf(1), headOf(2), sealed), []],
 ['cas', doCas(cas), []],
 ['cas with names', doNames, []],
 ['cas with len', doCas(caslen), []],
 ['cas no time', doCas(casNoTime), []],
 ['sync: stringify', (b) => JSON.stringify(b), []],
 ['sync: sha1', () => hash('sha1', sealed), []],
 ['sync: sha256', () => hash('sha256', sealed), []],
 ['sync: crc32', () => crc32(sealed), []],
 ['sync: seal', (b) => sealDocument('w1', 'split-0', 1, b), []],
 ['sync: timer', () => clearTimeout(setTimeout(() => 1, 3000)), []],
];
const S = Number(process.argv[2] ?? 15);
for (let r = -3; r < S; r++) for (const [, f, m] of r % 2 ? kinds : kinds.toReversed()) {
  const t: number[] = [];
  for (let i = 0; i < 400; i++) { const b = checkpointOf(i); const a = performance.now(); const p = f(b); if (p?.then) await p; t.push(1000 * (performance.now() - a)); }
  if (r >= 0) m.push(median(t));
}
for (const [name, , m] of kinds) console.log(name.padEnd(28), median(m).toFixed(1), (median(m) / median(kinds[0][2])).toFixed(2));
for (const [name, f] of kinds.slice(0, 7)) { await bare.config('RESETSTAT'); for (let i = 0; i < 2000; i++) await f(0); 
console.log(name, (await bare.info('commandstats')).match(/cmdstat_(evalsha|set|hset|hmget|time|hget|hstrlen).*?usec_per_call=[0-9.]*/g)?.map(s => s.replace(/cmdstat_|calls.*call=/g, '')).join(' ')); }
bare.disconnect();
