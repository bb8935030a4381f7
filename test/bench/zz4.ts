import { once } from 'node:events';
import { hash } from 'node:crypto';
import { Redis } from 'ioredis';
import { thisHolder } from '../../runner/state/host.ts';
import { sealDocument } from '../../runner/state/redis/rows.ts';
import { nextHead, writtenHead } from '../../runner/state/redis/head.ts';
import * as scripts from '../../runner/state/redis/scripts.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import { RedisServer } from '../servers/redis.ts';
import { keys, settingsFor } from '../state/redis-open.ts';
import { median } from './report.ts';
import { checkpointOf } from './state-commits.ts';
const mode = process.argv[2];
await using server = await RedisServer.start();
await using store = openRedisStore(settingsFor(server.url));
const bare = new Redis(server.port, '127.0.0.1', { protocol: 2, enableReadyCheck: false, disableClientInfo: true });
await once(bare, 'connect');
const sealed = sealDocument('w1', 'split-0', 1, checkpointOf(1)).text;
const key = keys.run('w1');
const taken = await store.acquire('w1', 'split-0', thisHolder('bench'), 30_000);
if (!taken.acquired) throw 1;
const { token } = taken.lease;
let version = 0;
const commit = async (body: any) => { const r: any = await store.write('w1', 'split-0', { expected: version, token, body, grade: 'soft' }); if (!r.written) throw r; version = r.version; };
if (mode === 'prof') {
  for (let i = 0; i < 20000; i++) await commit(checkpointOf(i % 500));
  process.exit(0);
}
for (let i = 0; i < 3; i++) await commit(checkpointOf(i));
const t2 = await store.acquire('w1', 'split-1', thisHolder('bench'), 30_000); if (!t2.acquired) throw 1;
await bare.script('LOAD', scripts.WRITE.lua); await bare.script('LOAD', scripts.NEXT[0].lua); await bare.script('LOAD', scripts.NEXT[1].lua);
const sum = hash('sha1', sealed);
let head = writtenHead((await bare.evalsha(scripts.WRITE.sha, 1, key, 'split-1', 0, t2.lease.token, 'abcdefghijkl.0', '', '0', '', sum, sealed) as any)[3]);
let v2 = 1;
const raw = async () => { const next = nextHead(head, v2 + 1, `abcdefghijkl.${v2.toString(36)}`, sum);
  const a = await bare.evalsha(scripts.NEXT[v2 % 2 as 0 | 1].sha, 1, key, 'split-1', head.raw, next.raw, sealed); if (a !== 1) throw a; v2++; head = next; };
import { Connections } from '../../runner/state/redis/connection.ts';
import { Place } from '../../runner/state/redis/place.ts';
const conn = new Connections(settingsFor(server.url)); await conn.info('memory');
const place = new Place(conn, keys.store, () => 0); await place.begin();
const viaConn = async () => { const next = nextHead(head, v2 + 1, `abcdefghijkl.${v2.toString(36)}`, sum);
  const a = await conn.call(scripts.NEXT[v2 % 2 as 0 | 1], [key], ['split-1', head.raw, next.raw, sealed]); if (a !== 1) throw a; v2++; head = next; };
const viaPlace = async () => { const next = nextHead(head, v2 + 1, `abcdefghijkl.${v2.toString(36)}`, sum);
  const a = await place.call('w1', scripts.NEXT[v2 % 2 as 0 | 1], [key], ['split-1', head.raw, next.raw, sealed]); if (a !== 1) throw a; v2++; head = next; };
const rawSeal = async (b: any) => { const {text, sum} = sealDocument('w1', 'split-1', v2 + 1, b); const next = nextHead(head, v2 + 1, `abcdefghijkl.${v2.toString(36)}`, sum);
  const a = await bare.evalsha(scripts.NEXT[v2 % 2 as 0 | 1].sha, 1, key, 'split-1', head.raw, next.raw, text); if (a !== 1) throw a; v2++; head = next; };
const fixed = checkpointOf(7);
const kinds: [string, (b: any) => any, number[]][] = [
 ['set', () => bare.set('bare', sealed), []],
 ['json+set', (b) => bare.set('bare', JSON.stringify(b)), []],
 ['raw next', raw, []],
 ['conn.try set', () => conn.try((c) => c.set('bare', sealed)), []],
 ['raw seal next', rawSeal, []],
 ['via conn', viaConn, []],
 ['via place', viaPlace, []],
 ['store.write fixed body', () => commit(fixed), []],
 ['store.write', commit, []],
];
if (mode === 'insp') {
  const { Session } = await import('node:inspector/promises');
  const { writeFileSync } = await import('node:fs');
  const f = kinds[Number(process.argv[3])][1];
  const bodies = Array.from({ length: 8000 }, (_, i) => checkpointOf(i));
  for (let i = 0; i < 3000; i++) await f(bodies[i]);
  const s = new Session(); s.connect();
  await s.post('Profiler.enable'); await s.post('Profiler.setSamplingInterval', { interval: 100 }); await s.post('Profiler.start');
  for (const b of bodies) await f(b);
  const { profile } = await s.post('Profiler.stop');
  writeFileSync('/tmp/sb/insp.json', JSON.stringify(profile)); process.exit(0);
}
if (mode === 'cpu') {
  for (let r = 0; r < 3; r++) for (const [name, f] of kinds) {
    const bodies = Array.from({ length: 2000 }, (_, i) => checkpointOf(i));
    for (let i = 0; i < 300; i++) await f(bodies[i]);
    const c = process.cpuUsage(); const t0 = performance.now();
    for (const b of bodies) await f(b);
    const d = process.cpuUsage(c);
    if (r) console.log(name.padEnd(24), 'user', (d.user / 2000).toFixed(1), 'sys', (d.system / 2000).toFixed(1), 'wall', (1000 * (performance.now() - t0) / 2000).toFixed(1));
  }
  process.exit(0);
}
const S = Number(process.argv[2] ?? 15);
for (let r = -3; r < S; r++) for (const [, f, m] of r % 2 ? kinds : kinds.toReversed()) {
  const t: number[] = [];
  for (let i = 0; i < 400; i++) { const b = checkpointOf(i); const a = performance.now(); const p = f(b); if (p?.then) await p; t.push(1000 * (performance.now() - a)); }
  if (r >= 0) m.push(median(t));
}
for (const [name, , m] of kinds) console.log(name.padEnd(28), Math.min(...m).toFixed(1), median(m).toFixed(1), median(m.map((v, i) => v / kinds[0][2][i])).toFixed(2));
for (const [name, f] of kinds) { await bare.config('RESETSTAT'); for (let i = 0; i < 2000; i++) await f(checkpointOf(i)); 
console.log(name, (await bare.info('commandstats')).match(/cmdstat_(evalsha|set|hset|hmget|time|hget|hstrlen).*?usec_per_call=[0-9.]*/g)?.map(s => s.replace(/cmdstat_|calls.*call=/g, '')).join(' ')); }
bare.disconnect();
