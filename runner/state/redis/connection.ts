/**
 * Connections to a Redis server or cluster. The driver repeats nothing by itself: a connection that broke, or did not answer in
 * time, is given up, and what was asked is asked again on a new one, with growing pauses, within a budget. That is safe since
 * every change carries a nonce (see `prelude.ts`).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisOptions } from 'ioredis';
import { OxiError } from '../../engine/errors.ts';
import { PORT, parseAddress, type RedisAddress, shownNode } from './address.ts';
import type { Cluster, Redis } from './driver.ts';
import { loadDriver } from './load.ts';
import type { Script } from './prelude.ts';
import { judge } from './trouble.ts';

export interface RedisSettings {
  /** With the password in it: revealed for the driver, and for nobody else. */
  readonly connectionUrl: string;
  /** Where that comes from, for messages. */
  readonly addressFrom?: string | undefined;
  readonly keyPrefix: string;
  readonly clusterMode: boolean;
  /** Connections at most, of each thread; one of them listens. */
  readonly poolSize?: number | undefined;
  /** How long one command may take, in milliseconds. */
  readonly timeoutMs?: number | undefined;
  /** How long a lease lives: so long a server that was there is waited for. */
  readonly lockTimeoutMs: number;
  /** The project's folder; paths in the address count from it. */
  readonly projectRoot: string;
}

type Client = Redis | Cluster;
type Options = Omit<RedisOptions, 'host' | 'port' | 'path' | 'retryStrategy' | 'replyMapping'> & {
  replyMapping: 'legacy';
};

interface Line {
  client: Client;
  waiting: Set<Waiting>;
  watch: NodeJS.Timeout | undefined;
  /** Why it broke, as the driver told it. */
  why: Error | undefined;
}

/** A command that has no answer yet. */
interface Waiting {
  /** Times that the watch has come by. */
  seen: number;
  giveUp: (error: Error) => void;
}

const TOUCH = `if redis.call('EXISTS', KEYS[1]) == 1 then redis.pcall('HSET', KEYS[1], 'hard', '1') end`;

const TIMEOUT_MS = 3000;
/** Of a timeout: so often a line with commands on it is looked at. A timer for each would cost more than all else here. */
const WATCHES = 10;
const POOL_SIZE = 2;
/** How long a server is waited for that never answered. */
const START_MS = 10_000;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 1000;
/** The listener's connection may be away for a while: those who look do not depend on it. */
const LISTEN_AGAIN_MS = 1000;

export class Connections {
  readonly location: string;
  readonly #settings: RedisSettings;
  readonly #address: RedisAddress;
  readonly timeoutMs: number;
  readonly #size: number;
  readonly #closing = new AbortController();
  #lines: Line[] = [];
  /** Nodes of the cluster that were seen: the ones in the address may be gone when the next connection is made. */
  #nodes: { host: string; port: number }[];
  #answered = false;
  readonly #warn: (text: string) => void;
  #warned = false;

  /** `warn`: told what people should know of the server, once. */
  constructor(settings: RedisSettings, warn: (text: string) => void = () => undefined) {
    this.#settings = settings;
    this.#warn = warn;
    this.#address = parseAddress(settings.connectionUrl, settings.projectRoot, settings.addressFrom);
    this.timeoutMs = settings.timeoutMs ?? TIMEOUT_MS;
    // One listens, if there may be more than one.
    this.#size = Math.max(1, (settings.poolSize ?? POOL_SIZE) - 1);
    this.#nodes = this.#address.nodes;
    if (settings.clusterMode && this.#address.db !== 0)
      throw new OxiError('CONFIG_INVALID', `${this.#address.location}: a cluster has only the database 0`);
    this.location = `${this.#address.location} (${settings.keyPrefix})`;
  }

  /** Throws OxiError STATE_UNREACHABLE, PERMISSION_DENIED, CONFIG_INVALID; a fault that a script found as the driver's error. */
  async call(script: Script, keys: readonly string[], args: readonly (string | number)[] = []): Promise<unknown> {
    try {
      return await this.try((client) => client.evalsha(script.sha, keys.length, ...keys, ...args));
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return await this.try((client) => client.eval(script.lua, keys.length, ...keys, ...args));
    }
  }

  /** An entry behind the others of a stream: see `Append` in the driver. Throws OxiError as `call`. */
  append(key: string, id: string, field: string, value: string): Promise<unknown> {
    return this.try(
      (client) => client.sendCommand(new (loadDriver().Append)(key, id, field, value)) as Promise<unknown>,
    );
  }

  /** What the server says of itself, or undefined where it may not be asked. Of a cluster: one of its servers. */
  info(): Promise<string | undefined> {
    return this.#info((client) => client.info());
  }

  /** As `info`, of the server that has a key. */
  infoAt(key: string): Promise<string | undefined> {
    return this.#info(async (client) => String(await this.#atKey(client, key, ['INFO'])));
  }

  /**
   * Asks the server that has the hash `key`, which was written, whether that is safe. It answers for what came on the same connection:
   * so something is written there first, unless the hash is gone.
   */
  confirm(key: string, asks: readonly (readonly string[])[]): Promise<unknown[]> {
    return this.try(async (client) => {
      await client.eval(TOUCH, 1, key);
      return await Promise.all(asks.map((words) => this.#atKey(client, key, words)));
    });
  }

  #atKey(client: Client, key: string, words: readonly string[]): Promise<unknown> {
    return client.sendCommand(new (loadDriver().AtKey)(key, words)) as Promise<unknown>;
  }

  async #info(ask: (client: Client) => Promise<string>): Promise<string | undefined> {
    try {
      return await this.try(ask);
    } catch (error) {
      // People take this command away, from users or from all: it is not needed.
      if (error instanceof OxiError && ['PERMISSION_DENIED', 'CONFIG_INVALID'].includes(error.code)) return undefined;
      throw error;
    }
  }

  async try<T>(work: (client: Client) => Promise<T>): Promise<T> {
    const began = performance.now();
    let reason = '';
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      if (this.#closing.signal.aborted) throw this.#unreachable('closed');
      const line = this.#line();
      try {
        const answer = await this.#inTime(line, work);
        this.#answered = true;
        line.why = undefined;
        return answer;
      } catch (failure) {
        const error = this.#why(line, failure);
        const trouble = judge(error, this.location);
        if (trouble.kind === 'final') {
          this.#drop(line);
          throw trouble.error;
        }
        if (trouble.kind !== 'passing') throw error;
        this.#drop(line);
        // A connection that closed tells less than one that could not be made.
        if (reason === '' || !isVague(error)) reason = trouble.reason;
        const budget = this.#answered ? this.#settings.lockTimeoutMs : START_MS;
        const left = began + budget - performance.now();
        if (left <= 0 || this.#closing.signal.aborted) throw this.#unreachable(reason);
        // Many that wait for one server do not come back all at once.
        const wait = Math.min(left, pause * (0.5 + Math.random()));
        await sleep(wait, undefined, { signal: this.#closing.signal }).catch(() => {
          throw this.#unreachable('closed');
        });
      }
    }
  }

  /** Calls `wake` for every message on a channel, as far as one comes through; undefined where there is no connection left for it. */
  listen(channel: string, wake: () => void): AsyncDisposable | undefined {
    if (this.#settings.poolSize === 1) return undefined;
    const { Redis } = loadDriver();
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#closing.signal]);
    let client: Redis | undefined;
    let again: NodeJS.Timeout | undefined;
    let turn = 0;
    const refused = (error: unknown): void => {
      const trouble = judge(error, this.location);
      // Asking again changes nothing.
      if (trouble.kind === 'final') {
        over.abort();
        this.#warn(`requests to a run are seen late, when somebody looks for them: ${trouble.error.message}`);
      }
      client?.disconnect();
    };
    const open = (): void => {
      for (const line of this.#lines) if ('nodes' in line.client) this.#remember(line.client);
      // Any node of a cluster hears what is published at another one.
      const node = this.#nodes[turn++ % Math.max(1, this.#nodes.length)];
      client = new Redis({ ...this.#options(), ...this.#place(node), retryStrategy: () => null });
      client.on('error', () => undefined);
      client.on('message', wake);
      client.on('end', () => {
        if (!signal.aborted) again = setTimeout(open, LISTEN_AGAIN_MS).unref();
      });
      // What was published meanwhile was missed.
      client.subscribe(channel).then(wake, refused);
    };
    const end = (): void => {
      clearTimeout(again);
      client?.disconnect();
    };
    signal.addEventListener('abort', end, { once: true });
    open();
    return { [Symbol.asyncDispose]: async () => over.abort() };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const line of this.#lines.splice(0)) this.#end(line);
  }

  #line(): Line {
    const [first] = this.#lines;
    if (first !== undefined && first.waiting.size === 0 && first.client.status !== 'end') return first;
    this.#lines = this.#lines.filter(({ client }) => client.status !== 'end');
    const idle = this.#lines.find(({ waiting }) => waiting.size === 0);
    if (idle !== undefined) return idle;
    if (this.#lines.length < this.#size) {
      const line: Line = { client: this.#open(), waiting: new Set(), watch: undefined, why: undefined };
      line.client.on('error', (error: Error) => {
        line.why = error;
      });
      this.#lines.push(line);
      return line;
    }
    return this.#lines.reduce((least, line) => (line.waiting.size < least.waiting.size ? line : least));
  }

  #drop(line: Line): void {
    if ('nodes' in line.client) this.#remember(line.client);
    this.#lines = this.#lines.filter((other) => other !== line);
    this.#end(line);
  }

  #end({ client, waiting, watch }: Line): void {
    client.disconnect();
    // Whatever the driver forgets to turn away is still given up in time.
    if (waiting.size === 0) clearInterval(watch);
  }

  #inTime<T>(line: Line, work: (client: Client) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const mine: Waiting = { seen: 0, giveUp: reject };
      line.waiting.add(mine);
      line.watch ??= setInterval(() => this.#watch(line), this.timeoutMs / WATCHES);
      work(line.client).then(
        (answer) => {
          line.waiting.delete(mine);
          resolve(answer);
        },
        (error) => {
          line.waiting.delete(mine);
          reject(error);
        },
      );
    });
  }

  #watch(line: Line): void {
    if (line.waiting.size === 0) {
      clearInterval(line.watch);
      line.watch = undefined;
    }
    for (const one of line.waiting) {
      if (one.seen++ < WATCHES) continue;
      line.waiting.delete(one);
      one.giveUp(new Error(`timed out after ${this.timeoutMs} ms`));
    }
  }

  /** A connection that could not be made tells why by an event; whoever waited for it only learns that it is closed. */
  #why({ why }: Line, failure: unknown): unknown {
    // What was sent is in there, too.
    if (failure instanceof Error && 'command' in failure) delete failure.command;
    return isVague(failure) && why !== undefined ? why : failure;
  }

  #remember(cluster: Cluster): void {
    const seen = cluster.nodes().flatMap(({ options: { host, port } }) => (host && port ? [{ host, port }] : []));
    const all = new Map([...this.#address.nodes, ...seen].map((node) => [shownNode(node), node]));
    if (seen.length > 0) this.#nodes = [...all.values()];
  }

  #open(): Client {
    const { Cluster, Redis, NEEDLESS_PASSWORD } = loadDriver();
    const needless = (): void => {
      if (!this.#warned) this.#warn(`${this.location} asks for no password: the one in its address is not needed`);
      this.#warned = true;
    };
    if (!this.#settings.clusterMode) {
      const client = new Redis({ ...this.#options(), ...this.#place(this.#nodes[0]), retryStrategy: () => null });
      return client.on(NEEDLESS_PASSWORD, needless);
    }
    const { tls } = this.#address;
    const cluster = new Cluster(this.#nodes, {
      clusterRetryStrategy: () => null,
      enableReadyCheck: false,
      slotsRefreshTimeout: this.timeoutMs,
      redisOptions: this.#options(),
      // Names are left as they are where certificates are held against them.
      ...(tls === undefined ? {} : { dnsLookup: (name, done) => done(null, name) }),
    });
    return cluster.on('+node', (node: Redis) => node.on(NEEDLESS_PASSWORD, needless));
  }

  #place(node: { host: string; port: number } | undefined): { host: string; port: number } | { path: string } {
    const { path } = this.#address;
    return path === undefined ? (node ?? { host: 'localhost', port: PORT }) : { path };
  }

  #options(): Options {
    const { username, password, db, tls } = this.#address;
    return {
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      db,
      ...(tls === undefined ? {} : { tls }),
      connectTimeout: this.timeoutMs,
      protocol: 2,
      replyMapping: 'legacy',
      // The server says by itself that it is loading.
      enableReadyCheck: false,
      disableClientInfo: true,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
    };
  }

  #unreachable(reason: string): OxiError {
    // A server without TLS waits for the rest of what it takes for a command.
    const isTls = this.#address.tls !== undefined && /^(ETIMEDOUT|ECONNRESET|EPROTO|timed out)/.test(reason);
    const hint = isTls && !this.#answered ? '; rediss:// is for a port that speaks TLS, redis:// for one without' : '';
    return new OxiError('STATE_UNREACHABLE', `the state in ${this.location} is out of reach: ${reason}${hint}`);
  }
}

/** Tells that something is wrong, and not what. */
function isVague(error: unknown): boolean {
  return error instanceof Error && /^(Connection is closed|timed out|None of startup)/.test(error.message);
}
