/**
 * `npm run bench -- --state`: a fenced commit on Redis beside a bare SET; what soft checkpoints cost on SQLite and Redis; two
 * workers beside one; many workers that keep their leases on one Redis. Prints Markdown and writes it to STATE.md. Only some
 * parts: `--state commits checkpoints`; the others stay as they were.
 * Options: --size 300MB (for checkpoints) --shared-size 800MB --rounds 3 --pairs 12 --series 30 --each 500 --workers 200
 * --seconds 60 --runner FILE --out FILE
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { generateFile } from '../fixtures/generate.ts';
import { RedisServer } from '../servers/redis.ts';
import {
  bytesOf,
  count,
  diskFolder,
  fail,
  processor,
  RUNNER,
  SEED,
  say,
  tools,
  untilTheEnd,
  workFolder,
} from './ground.ts';
import { measureBeats } from './state-beats.ts';
import { measureCommits } from './state-commits.ts';
import { PARTS, type PartOfState, stateMarkdown } from './state-report.ts';
import { compareCheckpoints, compareWorkers } from './state-runs.ts';

/** Room, in sizes of an input: itself, three outputs, their parts, and one joined from parts. */
const COPIES = 7;
/** Room for states, which are small. */
const STATE_BYTES = 100e6;
const PROCESSES = 4;
const TTL_MS = 5000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: 'string', default: '300MB' },
    'shared-size': { type: 'string', default: '800MB' },
    rounds: { type: 'string', default: '3' },
    pairs: { type: 'string', default: '12' },
    series: { type: 'string', default: '30' },
    each: { type: 'string', default: '500' },
    workers: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '60' },
    runner: { type: 'string', default: RUNNER },
    out: { type: 'string', default: join(import.meta.dirname, 'STATE.md') },
  },
});
const unknown = positionals.find((name) => !PARTS.some((part) => part === name));
if (unknown !== undefined) fail(`${unknown}: write some of ${PARTS.join(' ')}`);
const isWanted = (part: PartOfState): boolean => positionals.length === 0 || positionals.includes(part);
const size = bytesOf(values.size);
const sharedSize = bytesOf(values['shared-size']);
const rounds = count('rounds', values.rounds);
const pairs = count('pairs', values.pairs);
const series = count('series', values.series);
const each = count('each', values.each);
const workers = count('workers', values.workers);
const seconds = count('seconds', values.seconds);
const { runner, node, python } = tools(values.runner);

const largest = Math.max(isWanted('checkpoints') ? size : 0, isWanted('workers') ? sharedSize : 0);
const work = untilTheEnd(workFolder(largest * COPIES));
const disk = untilTheEnd(diskFolder(STATE_BYTES));

const input = join(work, 'events.ndjson');
function makeInput(bytes: number): string {
  say(`making ${(bytes / 1e6).toFixed(1)} MB of events in ${work}`);
  const made = generateFile(input, { seed: SEED, bytes });
  return `${(made.bytes / 1e6).toFixed(0)} MB, ${made.records} records`;
}
const ground = { python, node, work, disk, input };

async function commits() {
  say('a commit on Redis');
  return { measured: await measureCommits(series, each), how: `${today}, ${series} series of ${each} of each.` };
}

async function checkpoints() {
  await using server = await RedisServer.start();
  const events = makeInput(size);
  const measured = compareCheckpoints(ground, server.url, pairs);
  return { measured, how: `${today}, ${pairs} pairs, ${events}, ${where}.` };
}

async function shared() {
  const events = makeInput(sharedSize);
  return {
    measured: await compareWorkers(ground, runner, rounds),
    how: `${today}, ${rounds} rounds, ${events}, ${where}.`,
  };
}

async function beats() {
  say(`${workers} workers for ${seconds} seconds`);
  const measured = await measureBeats({ workers, processes: PROCESSES, durationMs: 1000 * seconds, ttlMs: TTL_MS });
  return { measured, how: `${today}, ${seconds} seconds.` };
}

const today = new Date().toISOString().slice(0, 10);
const where = `inputs and outputs ${work.startsWith('/dev/shm') ? 'in memory' : 'on disk'}, state on disk`;
const measured = {
  commits: isWanted('commits') ? await commits() : undefined,
  checkpoints: isWanted('checkpoints') ? await checkpoints() : undefined,
  workers: isWanted('workers') ? await shared() : undefined,
  beats: isWanted('beats') ? await beats() : undefined,
};
const redis = /v=(\S+)/.exec(spawnSync('redis-server', ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1];
const head: [string, string][] = [
  ['processor', processor()],
  ['system', `${process.platform} ${process.arch}`],
  ['versions', `Node ${execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()}, Redis ${redis ?? 'none'}`],
];
const text = stateMarkdown({ head, ...measured }, existsSync(values.out) ? readFileSync(values.out, 'utf8') : '');
writeFileSync(values.out, text);
process.stdout.write(text);
const kept = measured.beats?.measured;
const broken =
  (measured.workers?.measured.differences.length ?? 0) + (kept === undefined ? 0 : kept.missed + kept.lost);
if (broken > 0) process.exitCode = 1;
