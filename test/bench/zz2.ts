import { once } from 'node:events';
import { hash } from 'node:crypto';
import { Redis } from 'ioredis';
import { thisHolder } from '../../runner/state/host.ts';
import { sealDocument } from '../../runner/state/redis/rows.ts';
import * as scripts from '../../runner/state/redis/scripts.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import { RedisServer } from '../servers/redis.ts';
import { keys, settingsFor } from '../state/redis-open.ts';
import { median } from './report.ts';
import { checkpointOf } from './state-commits.ts';
await using server = await RedisServer.start();
await using store = openRedisStore(settingsFor(server.url));
const bare = new Redis(server.port, '127.0.0.1', { protocol: 2, enableReadyCheck: false, disableClientInfo: true });
await once(bare, 'connect');
const taken = await store.acquire('w1', 'split-0', thisHolder('bench'), 30_000);
if (!taken.acquired) throw 1;
const { token } = taken.lease;
let version = 0;
const sealed = sealDocument('w1', 'split-0', 1, checkpointOf(1)).text;
const commit = async (body: any) => { const r: any = await store.write('w1', 'split-0', { expected: version, token, body, grade: 'soft' }); if (!r.written) throw r; version = r.version; };
for (let i = 0; i < 3; i++) await commit(checkpointOf(i));
const key = keys.run('w1');
const sha = hash('sha1', sealed);
// second run for raw scripts
const t2 = await store.acquire('w1', 'split-1', thisHolder('bench'), 30_000); if (!t2.acquired) throw 1;
const tok2 = t2.lease.token; const born = await bare.hget(key, 'born') as string;
let v2 = 0; let n = 0; let nonce = '';


const noop: any = await bare.script('LOAD', 'return 1');
const noopA: any = await bare.script('LOAD', "return {'written','1','2'}");
const hset: any = await bare.script('LOAD', "redis.call('HSET', KEYS[1], 'x', ARGV[9]) return 1");
const kinds: [string, (b: any) => any, number[]][] = [
 ['set', () => bare.set('bare', sealed), []],
 ['hset', () => bare.hset('bareh', 'a', sealed), []],
 ['eval return 1, one arg', () => bare.evalsha(noop, 1, key, sealed), []],
 ['eval return 1, 9 args', () => bare.evalsha(noop, 1, key, 'split-1', v2, tok2, nonce, nonce, '1', born, sha, sealed), []],
 ['eval return {}, 9 args', () => bare.evalsha(noopA, 1, key, 'split-1', v2, tok2, nonce, nonce, '1', born, sha, sealed), []],
 ['eval hset, 9 args', () => bare.evalsha(hset, 1, 'kk', 'split-1', v2, tok2, nonce, nonce, '1', born, sha, sealed), []],

 ['sync: stringify', (b) => JSON.stringify(b), []],
 ['sync: seal', (b) => sealDocument('w1', 'split-0', 1, b), []],
 ['store.write', commit, []],
];
const S = Number(process.argv[2] ?? 15);
for (let r = -3; r < S; r++) for (const [, f, m] of r % 2 ? kinds : kinds.toReversed()) {
  const t: number[] = [];
  for (let i = 0; i < 400; i++) { const b = checkpointOf(i); const a = performance.now(); const p = f(b); if (p?.then) await p; t.push(1000 * (performance.now() - a)); }
  if (r >= 0) m.push(median(t));
}
for (const [name, , m] of kinds) console.log(name.padEnd(28), median(m).toFixed(1));

console.log((await bare.info('commandstats')).match(/cmdstat_(evalsha|hset|hmget|time).*/g));
await bare.config('RESETSTAT'); for (let i = 0; i < 2000; i++) await bare.set('bare', sealed); 
console.log((await bare.info('commandstats')).match(/cmdstat_(set).*/g));
bare.disconnect();
