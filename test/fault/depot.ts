/**
 * The story of shared runs: parcels come into a depot in many small files and a large one, are weighed by a slow scale and written
 * down, the heavy ones in a list of their own. Several workers share the work; what they have published is counted by sequence
 * numbers, compared with the bytes of one worker alone, and held to the balance of the counters.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { parseRunDocument, type RunDocument } from '../../runner/engine/documents.ts';
import type { RunSummary } from '../../runner/engine/report.ts';
import { openStore, type StoreSettings } from '../../runner/state/open.ts';
import type { StateStore } from '../../runner/state/store.ts';
import { RedisServer, until } from '../servers/redis.ts';
import { randomOf } from './random.ts';
import { Attempt, type AttemptOptions, type Ended } from './runner.ts';
import { expectSame, perStep } from './scene.ts';

export const SHARED_BACKENDS = ['sqlite', 'file', 'redis'] as const;
export type SharedBackend = (typeof SHARED_BACKENDS)[number];

export const KEY = 'parcels';
/** While it is there, every scale stands still, as long as its worker lives. */
const HOLD = 'hold';
const SCALE = `
$| = 1; my $worker = getppid;
while (<STDIN>) {
  while (-e "hold") { exit if getppid != $worker; select(undef, undef, undef, .01) }
  print;
  select(undef, undef, undef, $ENV{PACE}) if $ENV{PACE} && $. % 25 == 0 && !-e "quick";
}`;
const SMALL_FILES = 36;

interface Parcel {
  seq: number;
  kg: number;
  to: string;
  note: string;
}

/** One server for all the depots of a test file, started for the first of them. */
let server: Promise<RedisServer> | undefined;
function redis(): Promise<RedisServer> {
  server ??= RedisServer.start({ args: ['--appendonly', 'yes', '--appendfsync', 'everysec'] });
  return server;
}

/** Folders of depots that are still open: those of tests that failed. */
const open = new Set<string>();
/** Attempts that are not over: those of tests that failed. */
const living = new Set<Attempt>();
afterAll(async () => {
  for (const attempt of living) attempt.kill();
  await Promise.allSettled([...living].map(({ ended }) => ended));
  for (const root of open) rmSync(root, { recursive: true, force: true });
  await (await server)?.[Symbol.asyncDispose]();
});

/** The parcels of a day, about half of them in small files, and what one worker alone makes of them. */
export class Parcels {
  readonly files: Readonly<Record<string, string>>;
  readonly all: readonly Parcel[];
  #undisturbed: Promise<{ summary: RunSummary; weighed: string; heavy: string }> | undefined;

  constructor(seed: number, bytes: number, smallFiles = SMALL_FILES) {
    const random = randomOf(seed);
    const all: Parcel[] = [];
    const files: Record<string, string> = {};
    const name = (i: number): string => `in/${String(i).padStart(3, '0')}.ndjson`;
    const small = bytes / 2 / smallFiles;
    for (let i = 0; i <= smallFiles; i++) {
      const lines: string[] = [];
      const most = i === smallFiles ? bytes / 2 : small;
      for (let held = 0; held < most; held += lines.at(-1)?.length ?? 0) {
        const to = random.pick(['Łódź', 'Hamburg', 'Malmö', 'Brno']);
        const parcel = { seq: all.length, kg: random.below(100), to, note: 'fragile '.repeat(random.below(40)) };
        all.push(parcel);
        lines.push(`${JSON.stringify(parcel)}\n`);
      }
      files[name(i)] = lines.join('');
    }
    this.files = files;
    this.all = all;
  }

  /** Sequence numbers of what has to be in each output. */
  get weighed(): number[] {
    return this.all.filter(({ kg }) => kg >= 3).map(({ seq }) => seq);
  }

  get heavy(): number[] {
    return this.all.filter(({ kg }) => kg >= 90).map(({ seq }) => seq);
  }

  undisturbed(): Promise<{ summary: RunSummary; weighed: string; heavy: string }> {
    this.#undisturbed ??= this.#run();
    return this.#undisturbed;
  }

  async #run(): Promise<{ summary: RunSummary; weighed: string; heavy: string }> {
    const depot = await Depot.open(this, { backend: 'sqlite', pace: 0 });
    const ended = await depot.attempt([]).ended;
    expect(ended.code, ended.stderr).toBe(0);
    const [weighed, heavy] = [depot.read('weighed.ndjson'), depot.read('heavy.ndjson')];
    expect(seqsIn(weighed)).toEqual(this.weighed);
    expect(seqsIn(heavy)).toEqual(this.heavy);
    const summary = depot.summaries().at(-1) as RunSummary;
    depot.remove();
    return { summary, weighed, heavy };
  }
}

export interface DepotOptions {
  backend: SharedBackend;
  /** Seconds that the scale takes for 25 parcels. */
  pace?: number;
  lockTimeout?: string;
  /** In place of the server's own. */
  redisUrl?: string;
  /** That one is a cluster. */
  cluster?: boolean;
  /** Of the server. */
  timeoutMs?: number;
  /** Steps in front of the scale. */
  before?: readonly object[];
}

export class Depot {
  readonly root = mkdtempSync(join(tmpdir(), 'oxiflow-depot-'));
  readonly parcels: Parcels;
  readonly #settings: StoreSettings;
  #attempts = 0;

  private constructor(parcels: Parcels, settings: Omit<StoreSettings, 'projectRoot'>, options: DepotOptions) {
    open.add(this.root);
    this.parcels = parcels;
    const { backend, lockTimeout, pace = 0.004, before = [] } = options;
    const { redis: ofRedis } = settings;
    this.#settings = {
      ...settings,
      projectRoot: this.root,
      ...(ofRedis === undefined ? {} : { redis: { ...ofRedis, keyPrefix: `test:${basename(this.root)}` } }),
    };
    for (const name of ['in', 'out', 'pipelines', 'summaries']) mkdirSync(join(this.root, name));
    const { connectionUrl, keyPrefix, timeoutMs, clusterMode } = this.#settings.redis ?? {};
    const section = {
      ...(lockTimeout === undefined ? {} : { lock_timeout: lockTimeout }),
      ...(connectionUrl === undefined
        ? {}
        : { connection_url: `\${DEPOT_STATE:-${connectionUrl}}`, key_prefix: keyPrefix }),
      ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }),
      ...(clusterMode === undefined ? {} : { cluster_mode: clusterMode }),
    };
    this.write({
      ...parcels.files,
      'oxiflow.yaml': JSON.stringify({ project: { name: 'depot' }, state_manager: { backend, [backend]: section } }),
      'pipelines/parcels.yaml': JSON.stringify({
        pipeline: [
          { name: 'read_file', config: { path: 'in/*.ndjson' } },
          { name: 'parse_json', config: { framing: 'lines' } },
          { name: 'filter', config: { where: 'kg >= 3' } },
          ...before,
          { name: 'exec', id: 'scale', config: { command: ['perl', '-e', SCALE], env: { PACE: String(pace) } } },
          {
            name: 'tee',
            config: {
              steps: [
                { name: 'filter', id: 'is_heavy', config: { where: 'kg >= 90' } },
                { name: 'write_file', id: 'heavy', config: { path: 'out/heavy.ndjson' } },
              ],
            },
          },
          { name: 'write_file', id: 'weighed', config: { path: 'out/weighed.ndjson', merge: true } },
        ],
      }),
    });
  }

  static async open(parcels: Parcels, options: DepotOptions): Promise<Depot> {
    const { backend, redisUrl, timeoutMs, cluster: clusterMode } = options;
    if (backend !== 'redis') return new Depot(parcels, { backend }, options);
    const connectionUrl = redisUrl ?? (await redis()).url;
    return new Depot(parcels, { backend, redis: { connectionUrl, timeoutMs, clusterMode } }, options);
  }

  /** A worker that shares the run. */
  worker(args: readonly string[] = [], options: AttemptOptions = {}): Attempt {
    return this.attempt(['--join', '--splits', '12', '--invocation', 'nightly', ...args], options);
  }

  attempt(args: readonly string[], options: AttemptOptions = {}): Attempt {
    const summary = join(this.root, 'summaries', `${String(this.#attempts++).padStart(4, '0')}.json`);
    return this.#start(['run', KEY, '--events', 'fd:3', '--summary', summary, ...args], options);
  }

  /** Another verb on this project. */
  ask(...args: string[]): Promise<Ended> {
    return this.#start(args, {}).ended;
  }

  /** What it prints. */
  async verb(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.ask(...args);
    expect(code, `${args.join(' ')}: ${stderr}`).toBe(0);
    return stdout;
  }

  #start(args: readonly string[], options: AttemptOptions): Attempt {
    const attempt = new Attempt([...args, '--project', this.root], {
      ...options,
      env: { OXIFLOW_SOFT_INTERVAL_MS: '0', ...options.env },
    });
    living.add(attempt);
    void attempt.ended.catch(() => undefined).then(() => living.delete(attempt));
    return attempt;
  }

  /** More settings of steps, by name. */
  change(more: Readonly<Record<string, object>>): void {
    const path = 'pipelines/parcels.yaml';
    const { pipeline } = JSON.parse(readFileSync(join(this.root, path), 'utf8')) as { pipeline: { name: string }[] };
    this.write({ [path]: JSON.stringify({ pipeline: pipeline.map((step) => ({ ...step, ...more[step.name] })) }) });
  }

  /** Nothing is weighed until `goOn`. */
  hold(): void {
    this.write({ [HOLD]: '' });
  }

  goOn(): void {
    unlinkSync(join(this.root, HOLD));
  }

  /** From now on the scale takes no time. */
  quicken(): void {
    this.write({ quick: '' });
  }

  write(files: Readonly<Record<string, string>>): void {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.root, name), text);
  }

  read(output: string): string {
    return readFileSync(join(this.root, 'out', output), 'utf8');
  }

  /** Names in the folder of the outputs, hidden ones too. */
  outputs(): string[] {
    return readdirSync(join(this.root, 'out')).sort();
  }

  /** Of the workers that got so far, in the order of their start. */
  summaries(): RunSummary[] {
    const folder = join(this.root, 'summaries');
    return readdirSync(folder)
      .sort()
      .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as RunSummary);
  }

  async look<T>(at: (store: StateStore) => Promise<T>): Promise<T> {
    await using store = await openStore(this.#settings);
    return await at(store);
  }

  /** The run's document; undefined where there is none. */
  async run(): Promise<RunDocument | undefined> {
    const stored = await this.look((store) => store.read(KEY, 'run'));
    return stored && parseRunDocument(stored.body);
  }

  /** Polls the run's document. */
  async untilRun(what: string, seen: (run: RunDocument) => boolean): Promise<RunDocument> {
    return until(what, async () => {
      const run = await this.run();
      return run !== undefined && seen(run) && run;
    });
  }

  /** Numbers of the split groups that nobody has finished. */
  async left(): Promise<number[]> {
    const groups = (await this.run())?.shared?.groups ?? [];
    return [...groups.keys()].filter((index) => groups[index]?.done === undefined);
  }

  /** Attempts at split groups, and how many of them went on from a checkpoint. */
  async groups(): Promise<{ attempts: number; resumed: number }> {
    return this.look(async (store) => {
      const found = { attempts: 0, resumed: 0 };
      for (const { part } of await store.parts(KEY, 'group-')) {
        const stored = await store.read(KEY, part);
        if (stored === undefined) continue;
        const { attempt, resumed_from } = parseRunDocument(stored.body);
        found.attempts += attempt;
        if (resumed_from !== undefined) found.resumed += 1;
      }
      return found;
    });
  }

  /** The workers that are alive, as people see them. */
  async workers(): Promise<{ worker_id: string; state: string; pid: number }[]> {
    const { workers } = JSON.parse(await this.verb('worker', 'list', '--json')) as {
      workers: { worker_id: string; state: string; pid: number; alive: boolean }[];
    };
    return workers.filter(({ alive }) => alive);
  }

  /** Everybody has heard that it is to end, or has ended. */
  async untilDraining(): Promise<void> {
    await until('nobody reads on', async () => (await this.workers()).every(({ state }) => state === 'draining'));
  }

  /** Everything that a worker might change: the files of the outputs, the run's document, the history. */
  async footprint(): Promise<unknown> {
    const files = this.outputs().map((name) => {
      const { size, mtimeMs, ino } = statSync(join(this.root, 'out', name));
      return `${name} ${size} ${mtimeMs} ${ino}`;
    });
    return this.look(async (store) => {
      const { version, body } = (await store.read(KEY, 'run')) ?? {};
      return { files, version, body, history: await store.history({ runKey: KEY }) };
    });
  }

  /** The run has finished as if nothing had happened: every parcel once, every byte, and the counters of all workers together. */
  async expectDone(hint: string): Promise<void> {
    const run = await this.run();
    expect(run?.status, hint).toBe('finished');
    const groups = run?.shared?.groups ?? [];
    expect(
      groups.filter(({ done }) => done === undefined),
      hint,
    ).toEqual([]);
    const parts = groups.map((_, i) => `heavy-${five(i)}-of-${five(groups.length)}.ndjson`);
    expect(this.outputs(), hint).toEqual([...parts, 'weighed.ndjson'].sort());
    const weighed = this.read('weighed.ndjson');
    const heavy = parts.map((name) => this.read(name)).join('');
    expect(differenceOf(seqsIn(weighed), this.parcels.weighed), hint).toEqual({ missing: [], extra: [] });
    expect(differenceOf(seqsIn(heavy), this.parcels.heavy), hint).toEqual({ missing: [], extra: [] });
    const alone = await this.parcels.undisturbed();
    expectSame(weighed, alone.weighed, `${hint}: weighed.ndjson`);
    expectSame(heavy, alone.heavy, `${hint}: heavy.ndjson`);
    const { counters, status } = (run as { summary?: unknown }).summary as RunSummary;
    expect(status, hint).toBe('succeeded');
    expect(counters.total, hint).toEqual(alone.summary.counters.total);
    expect(perStep(counters), hint).toEqual(perStep(alone.summary.counters));
  }

  remove(): void {
    open.delete(this.root);
    rmSync(this.root, { recursive: true, force: true });
  }
}

function five(n: number): string {
  return String(n).padStart(5, '0');
}

export function seqsIn(text: string): number[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as Parcel).seq);
}

/** Which numbers are not there, and which are there and should not be, or too often. */
export function differenceOf(
  found: readonly number[],
  expected: readonly number[],
): { missing: number[]; extra: number[] } {
  const left = new Set(expected);
  const extra = found.filter((seq) => !left.delete(seq));
  return { missing: [...left].slice(0, 20), extra: extra.slice(0, 20) };
}
