import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { sealAs } from '../../runner/state/seal.ts';
import { nextHead } from '../../runner/state/redis/head.ts';
import { checkpointOf } from './state-commits.ts';
import { median } from './report.ts';
const head = nextHead('abcdef12 1 1 1 1780432443343434 1 30000 abcdefghijkl.1 abcdefghijkl.1 ' + hash('sha1', 'x'), 2, 'a.b', 'c');
const json = JSON.stringify(checkpointOf(4));
let n = 0; let sink: any;
const buf = Buffer.allocUnsafe(8192);
const K: Record<string, (b: any, fresh: string) => any> = {
  nothing: () => 1,
  stringify: (b) => JSON.stringify(b),
  'stringify wrapped': (b) => JSON.stringify({ run_key: 'w1', part: 'split-0', version: 3, body: b }),
  'sealAs sha1': (b) => sealAs('sha1', { run_key: 'w1', part: 'split-0', version: 3, body: b }),
  'hash 1.7k flat': (_b, f) => hash('sha1', f),
  'hash256 1.7k flat': (_b, f) => hash('sha256', f),
  'md5 1.7k flat': (_b, f) => hash('md5', f),
  'hash 1.7k cons': (_b, f) => hash('sha1', `2\n${f}`),
  'hash 1.7k buf': (_b, f) => hash('sha1', buf.subarray(0, buf.latin1Write(f))),
  'crc 1.7k flat': (_b, f) => crc32(f),
  nextHead: () => nextHead(head, n++, `abcdefghijkl.${n}`, 'cccccccccccccccccccccccccccccccccccccccc'),
  'hash head': () => hash('sha1', `${head}${n++}`),
  byteLength: (_b, f) => Buffer.byteLength(f),
  'timer': () => clearTimeout(setTimeout(() => 1, 3000)),
};
const res: Record<string, number[]> = {};
for (let r = 0; r < 6; r++) for (const [name, f] of Object.entries(K)) {
  const t: number[] = [];
  for (let i = 0; i < 2000; i++) { const b = checkpointOf(i); const fresh = (json + i).slice(1); Buffer.byteLength(fresh); const a = performance.now(); sink = f(b, fresh); t.push(1000 * (performance.now() - a)); }
  if (r > 0) (res[name] ??= []).push(median(t));
}
for (const [n, t] of Object.entries(res)) console.log(n.padEnd(20), Math.min(...t).toFixed(2));
