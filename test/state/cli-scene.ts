/**
 * A shop whose state is kept in one of the backends, the verbs on it, and runs that stand still for as long as a test wants: their
 * records pass a program that waits for a file. Every verb goes through the whole command line, in this process; workers are
 * processes of their own.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, vi } from 'vitest';
import { main } from '../../runner/cli/main.ts';
import { openProject } from '../../runner/cli/open-project.ts';
import type { WorkerReport } from '../../runner/cli/worker-known.ts';
import { noCounters } from '../../runner/engine/counters.ts';
import type { RunDocument } from '../../runner/engine/documents.ts';
import { openStore } from '../../runner/state/open.ts';
import type { Json, Part, StateStore } from '../../runner/state/store.ts';
import { type Ended, folder, pipelineOf, type Started, start } from '../cli/program.ts';
import { RedisServer } from '../servers/redis.ts';

export interface Backend {
  name: string;
  /** What is saved moves there. */
  other: string;
  /** What `state_manager` says of it in the project of a test; a server is started when it is first asked for. */
  section(): Promise<object>;
}

const LOCK = { lock_timeout: '3s' };

let redis: Promise<RedisServer> | undefined;
let prefixes = 0;
afterAll(async () => {
  await (await redis)?.[Symbol.asyncDispose]();
});

async function redisSection(): Promise<object> {
  redis ??= RedisServer.start();
  return { connection_url: (await redis).url, key_prefix: `shop-${prefixes++}` };
}

export const BACKENDS: readonly Backend[] = [
  { name: 'sqlite', other: 'file', section: async () => ({}) },
  { name: 'file', other: 'sqlite', section: async () => ({}) },
  { name: 'redis', other: 'sqlite', section: redisSection },
];

const LONGEST_MS = 30_000;
/** With what each of them weighs more than all buffers between the input and the program hold. */
const ORDERS = 64_000;
const NOTE = 'to be left at the door of the house behind the harbour, where the dog sleeps; ring twice'.padEnd(
  150,
  '.',
);
/** Waits for the file `go`, or for `go-PID` with the process id of its worker; then lets everything pass. */
const GATE = 'until [ -e go ] || [ -e go-$PPID ]; do sleep 0.05; done; exec cat';

export interface Said {
  code: number;
  stdout: string;
  stderr: string;
}

export class Shop {
  readonly root: string;
  readonly #started: Started[] = [];

  private constructor(root: string) {
    this.root = root;
  }

  /** Eight files of orders, so that several workers can share a run. */
  static async open(backend: Backend): Promise<Shop> {
    const section = {
      backend: backend.name,
      sqlite: LOCK,
      file: LOCK,
      [backend.name]: { ...LOCK, ...(await backend.section()) },
    };
    const files = Array.from({ length: 8 }, (_, file) => [
      `input/orders-${file}.ndjson`,
      Array.from({ length: ORDERS / 8 }, (_, i) => `{"order":${(file * ORDERS) / 8 + i},"note":"${NOTE}"}\n`).join(''),
    ]);
    return new Shop(
      folder({
        'oxiflow.yaml': JSON.stringify({
          project: { name: 'shop' },
          state_manager: { heartbeat_interval: '500ms', ...section },
        }),
        'pipelines/orders.yaml': pipelineOf([
          ['read_file', { path: 'input/orders-*.ndjson' }],
          ['parse_json'],
          ['exec', { command: ['sh', '-c', GATE] }],
          ['write_file', { path: 'output/orders.ndjson', merge: true }],
        ]),
        ...Object.fromEntries(files),
      }),
    );
  }

  /** A verb in this process. */
  async say(...words: string[]): Promise<Said> {
    const said: Said = { code: 0, stdout: '', stderr: '' };
    const take = (stream: NodeJS.WriteStream, name: 'stdout' | 'stderr') =>
      vi.spyOn(stream, 'write').mockImplementation((text, ...more: unknown[]) => {
        said[name] += text;
        const done = more.at(-1);
        if (typeof done === 'function') done();
        return true;
      });
    const spies = [take(process.stdout, 'stdout'), take(process.stderr, 'stderr')];
    try {
      process.exitCode = undefined;
      said.code = await main([...words, '--project', this.root]);
      return said;
    } finally {
      process.exitCode = undefined;
      for (const spy of spies) spy.mockRestore();
    }
  }

  /** What a verb says as JSON; it has to succeed. */
  async ask<T = Record<string, unknown>>(...words: string[]): Promise<T> {
    const { code, stdout, stderr } = await this.say(...words, '--json');
    if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout);
  }

  /** The store that the verbs see. */
  async with<T>(work: (store: StateStore) => Promise<T>, stateBackend?: string): Promise<T> {
    const { state } = await openProject({ project: this.root, stateBackend });
    await using store = await openStore(state);
    return await work(store);
  }

  /** `oxiflow run orders` in a process of its own. */
  run(...args: string[]): Worker {
    const started = start(['run', 'orders', ...args], { cwd: this.root });
    this.#started.push(started);
    return new Worker(started);
  }

  /** Lets all runs go on, or those of one worker. */
  go(worker?: Worker): void {
    writeFileSync(join(this.root, worker === undefined ? 'go' : `go-${worker.pid}`), '');
  }

  /** From now on runs stand still again. */
  halt(): void {
    rmSync(join(this.root, 'go'));
  }

  async workers(...words: string[]): Promise<WorkerReport[]> {
    return (await this.ask<{ workers: WorkerReport[] }>('worker', 'list', ...words)).workers;
  }

  /** A run that stands still, with its lease held. */
  async held(...args: string[]): Promise<Worker> {
    const worker = this.run(...args);
    await until('the worker is registered', async () => {
      if (worker.over) throw new Error(`the run ended before: ${worker.stderr}`);
      return (await this.workers()).some(({ pid }) => pid === worker.pid);
    });
    return worker;
  }

  /** A run that was cancelled: it has a checkpoint, and is not finished. */
  async interrupted(runKey = 'orders'): Promise<void> {
    const worker = await this.held('--run-key', runKey);
    await this.ask('cancel', '--run-key', runKey);
    await until('it drains', async () => (await this.workers()).every(({ state }) => state === 'draining'));
    this.go();
    const { code } = await worker.ended;
    this.halt();
    if (code !== 143) throw new Error(`the run ended with ${code}: ${worker.stderr}`);
  }

  /** The numbers of the orders that were written, as they stand there. */
  orders(): number[] {
    const path = join(this.root, 'output/orders.ndjson');
    if (!existsSync(path)) return [];
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    return lines.map((line) => (JSON.parse(line) as { order: number }).order);
  }

  async close(): Promise<void> {
    for (const { child } of this.#started) if (child.exitCode === null) child.kill('SIGKILL');
    await Promise.all(this.#started.map(({ ended }) => ended));
  }
}

export class Worker {
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  #stderr = '';

  constructor({ child, ended }: Started) {
    this.#child = child;
    this.ended = ended;
    child.stderr?.on('data', (part: Buffer) => {
      this.#stderr += part.toString();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get over(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  get stderr(): string {
    return this.#stderr;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

export const ALL_ORDERS = Array.from({ length: ORDERS }, (_, order) => order);

/** Polls until `look` gives something. */
export async function until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  const end = performance.now() + LONGEST_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`it did not come to pass: ${what}`);
    await sleep(50);
  }
}

const shops: Shop[] = [];
afterEach(async () => {
  await Promise.all(shops.splice(0).map((shop) => shop.close()));
});

/** A shop whose workers are gone after the test. */
export async function openShop(backend: Backend): Promise<Shop> {
  const shop = await Shop.open(backend);
  shops.push(shop);
  return shop;
}

// ---------------------------------------------------------------- documents, as a runner would have left them

export async function save(store: StateStore, runKey: string, part: Part, body: object, token = 1): Promise<void> {
  const expected = (await store.read(runKey, part))?.version ?? 0;
  const result = await store.write(runKey, part, {
    expected,
    token,
    body: body as { [key: string]: Json },
    grade: 'soft',
  });
  if (!result.written) throw new Error(`${part} of ${runKey} was not written: ${result.reason}`);
}

export function runDocument(runKey: string, fields: Partial<RunDocument> = {}): RunDocument {
  return {
    run_key: runKey,
    run_id: `id of ${runKey}`,
    pipeline: 'orders',
    attempt: 1,
    status: 'running',
    plan: {
      steps: ['read', 'price', 'write'].map((id) => ({ id, hash: `hash of ${id}` })),
      parameters_hash: 'none',
    },
    stream: { framing: 'lines', selected: false },
    splits: [{ index: 0, name: 'input/orders-0.ndjson', size: 70 }],
    started_at: '2026-03-01T10:00:00.000Z',
    worker_id: 'till-1',
    ...fields,
  };
}

/** `n`: of its checkpoint, which has read ten orders for each. */
export function splitDocument(runKey: string, n: number, at = '2026-03-01T10:00:05.000Z'): object {
  const passed = { ...noCounters(), in: 10 * n, out: 10 * n };
  const checkpoint = {
    n,
    grade: 'hard',
    boot_id: 'boot',
    host: 'till',
    at,
    position: { split: 0, offset: 100 * n, ordinal: 10 * n, framer: null, fingerprint: 'print', finished: '' },
    snapshots: {},
    marks: {},
    encoders: {},
    counters: { read: passed, price: { ...passed, out: 10 * n - 1, failed: 1 }, write: noCounters() },
    records: 10 * n,
    bytes: 100 * n,
    elapsed_ms: 5,
  };
  return { run_id: `id of ${runKey}`, checkpoint: { hard: checkpoint } };
}
