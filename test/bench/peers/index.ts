/**
 * `npm run bench -- --peers`: the works of the runner on two threads, of DuckDB (order kept), of Polars and of a naive Node
 * script, in one alternating run, inputs and outputs in memory; whether cost grows linearly and memory not at all; start-up.
 * Prints Markdown; when all works are there, writes it to RESULTS.md and a picture to peers.svg.
 * Options: --size 500MB --rounds 5 --starts 20 --works w1,w1js --parts works,growth,start,memory,profile (to measure in pieces: what
 * other runs of this build measured stays) --large (memory at ten times the size, too) --offline (without DuckDB and Polars)
 * --runner dist/oxiflow.mjs --out FOLDER (write there, also where works are missing)
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Contender, DATA, duckdb, naive, oxiflow, polars } from '../contenders.ts';
import { bytesOf, count, fail, processor, RUNNER, SEED, tools, untilTheEnd, workFolder } from '../ground.ts';
import { peersPython, versionOf } from '../python.ts';
import { largePeaks, makeInput, race, startUps } from '../race.ts';
import { putSection } from '../sections.ts';
import { ALL_WORKLOADS, inputOf, type Workload } from '../works.ts';
import { measureGrowth } from './growth.ts';
import { type Kept, keep, type PeersRace, type Role } from './kept.ts';
import { picture } from './picture.ts';
import { measureProfile, type Profile } from './profile.ts';
import { peersMarkdown } from './report.ts';

/** Room, in sizes of an input: the inputs of the growth and the largest output of W2, or one input and four outputs of W2. */
const COPIES = 19;
const LARGE = 10;
const PARTS = ['works', 'growth', 'start', 'memory', 'profile'] as const;
/** Of events and of rides; the other works differ in what they do with a record. */
const GROWTH_WORKS: readonly Workload[] = ['w1', 'w2'];

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '500MB' },
    rounds: { type: 'string', default: '5' },
    starts: { type: 'string', default: '20' },
    works: { type: 'string', default: ALL_WORKLOADS.join(',') },
    parts: { type: 'string', default: 'works,growth,start,profile' },
    large: { type: 'boolean', default: false },
    offline: { type: 'boolean', default: false },
    runner: { type: 'string', default: RUNNER },
    out: { type: 'string' },
  },
});

/** Those of `all` that are named in the option. */
function some<T extends string>(option: string, text: string, all: readonly T[]): T[] {
  const names = text.split(',');
  const chosen = all.filter((one) => names.includes(one));
  if (chosen.length !== names.length) fail(`--${option} ${text}: write some of ${all.join(',')}`);
  return chosen;
}

const size = bytesOf(values.size);
const rounds = count('rounds', values.rounds);
const starts = count('starts', values.starts);
const works = some('works', values.works, ALL_WORKLOADS);
const parts = some('parts', values.parts, PARTS);
const { runner, node, python } = tools(values.runner);
const work = untilTheEnd(workFolder(size * COPIES));
const ground = { python, node, work };

const project = join(work, 'project');
const twoThreads = oxiflow(node, runner, project, 2);
const oneThread = oxiflow(node, runner, project, 1);
const field: [Role, Contender][] = [
  ['Node script', naive(node)],
  ['oxiflow', { ...twoThreads, same: (workload) => (workload === 'w2' ? 'rows' : 'bytes') }],
  ['one thread', { ...oneThread, workloads: ['w5'] }],
];
const versions = [`Node ${execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()}`];
if (!values.offline) {
  const own = peersPython(python);
  const threads = Math.min(2, availableParallelism());
  field.push(['DuckDB', duckdb(own, 'ordered', threads)], ['Polars', polars(own, threads)]);
  versions.push(`DuckDB ${versionOf(own, 'duckdb')}`, `Polars ${versionOf(own, 'polars')} (Python packages)`);
}

/** What tells two builds apart: a hash of what runs. */
function build(): string {
  const hash = createHash('sha256');
  const folder = dirname(runner);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) hash.update(entry.name).update(readFileSync(join(entry.parentPath, entry.name)));
  }
  return hash.digest('hex').slice(0, 12);
}

/** "2026-11-30 (7de366f)": the day and the commit; the day alone outside a repository. */
function today(): string {
  const git = spawnSync('git', ['-C', import.meta.dirname, 'describe', '--always', '--dirty'], { encoding: 'utf8' });
  return `${new Date().toISOString().slice(0, 10)}${git.status === 0 ? ` (${git.stdout.trim()})` : ''}`;
}

async function races(): Promise<Kept['races']> {
  const done: Kept['races'] = {};
  for (const kind of ['events', 'taxi'] as const) {
    const those = works.filter((workload) => inputOf(workload) === kind);
    if (those.length === 0) continue;
    const input = makeInput(work, kind, size);
    for (const workload of those) {
      // The Node script is the first, with which the others are compared.
      const runners = field.filter(([, contender]) => contender.workloads.includes(workload));
      const contenders = runners.map(([, contender]) => contender);
      const one = await race(ground, workload, contenders, input, rounds);
      done[workload] = { ...one, roles: runners.map(([role]) => role) } satisfies PeersRace;
    }
    rmSync(input.path);
  }
  return done;
}

function profiles(): Profile[] {
  return (['events', 'taxi'] as const).flatMap((kind) => {
    const those = works.filter((workload) => inputOf(workload) === kind);
    if (those.length === 0) return [];
    const input = makeInput(work, kind, size);
    const done = those.map((workload) => measureProfile(ground, twoThreads, workload, input.path));
    rmSync(input.path);
    return done;
  });
}

const inMemory = work.startsWith('/dev/shm');
const kept = keep(
  join(values.out ?? DATA, 'peers.json'),
  [
    ['processor', processor()],
    ['system', `${process.platform} ${process.arch}`],
    ['versions', versions.join(', ')],
    ['build', build()],
    ['inputs', `${(size / 1e6).toFixed(1)} MB, seed ${SEED}, inputs and outputs ${inMemory ? 'in memory' : 'on disk'}`],
  ],
  size,
  today(),
  {
    // Start-up first: it warms the compile cache and shows a broken set-up before the long part.
    ...(parts.includes('start') ? { start: startUps(ground, oneThread, starts) } : {}),
    ...(parts.includes('works') ? { races: await races() } : {}),
    ...(parts.includes('growth')
      ? {
          growth: GROWTH_WORKS.filter((workload) => works.includes(workload)).map((workload) =>
            measureGrowth(ground, twoThreads, workload, size, rounds),
          ),
        }
      : {}),
    ...(parts.includes('profile') ? { profiles: profiles() } : {}),
    ...(parts.includes('memory') || values.large
      ? {
          large: {
            bytes: size * LARGE,
            peaks: Object.fromEntries(largePeaks(python, [twoThreads], works, size * LARGE).get(twoThreads.name) ?? []),
          },
        }
      : {}),
  },
);

const text = peersMarkdown(kept);
const all = ALL_WORKLOADS.every((workload) => kept.races[workload] !== undefined) && !values.offline;
const out = values.out ?? (all ? join(import.meta.dirname, '..') : undefined);
if (out !== undefined) {
  mkdirSync(out, { recursive: true });
  putSection(join(out, 'RESULTS.md'), 'peers', text);
  writeFileSync(join(out, 'peers.svg'), picture(kept));
}
process.stdout.write(text);
if (Object.values(kept.races).some((one) => one.differences.length > 0)) process.exitCode = 1;
