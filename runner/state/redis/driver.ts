/**
 * The driver, in a chunk of its own: `load.ts` loads it when a store is opened that is in Redis. Two things of it are made stricter:
 * a connection whose database may not be chosen would go on with another one, and a password that is not needed would be told on
 * the console, once for each connection.
 */
import { Cluster, Command, Redis } from 'ioredis';

export { Cluster, Redis };

/** Told by a client that has given a password to a server that asks for none. */
export const NEEDLESS_PASSWORD = 'needless password';

/**
 * One entry behind the others of a stream; of these a few stay. Answered with null where there is no such stream, or the id is not
 * above the last one. As one text: what the driver makes of so many short arguments takes longer than the server's work.
 */
export class Append extends Command {
  readonly #sent: string;

  constructor(key: string, id: string, field: string, value: string) {
    // A cluster's client finds the node by the key.
    super('xadd', [key]);
    const head = `*9\r\n$4\r\nXADD\r\n${bulk(key)}$10\r\nNOMKSTREAM\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$1\r\n2\r\n`;
    const { reject } = this;
    this.reject = (error) => {
      if (/equal or smaller|^WRONGTYPE/.test(error.message)) this.resolve(null);
      else reject(error);
    };
    this.#sent = `${head}${bulk(id)}${bulk(field)}${bulk(value)}`;
  }

  override toWritable(): string {
    return this.#sent;
  }
}

/** A command that names no key, sent to the server of one. */
export class AtKey extends Command {
  readonly #words: readonly string[];

  constructor(key: string, words: readonly string[]) {
    super('xadd', [key]);
    this.#words = words;
  }

  override toWritable(): string {
    return `*${this.#words.length}\r\n${this.#words.map(bulk).join('')}`;
  }
}

function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
}

const { auth, select } = Redis.prototype;

Redis.prototype.select = async function (this: Redis, ...args: Parameters<typeof select>) {
  try {
    return await Reflect.apply(select, this, args);
  } catch (error) {
    // Whatever waits for this connection is refused with that error, and nothing is sent.
    if (error instanceof Error) this.recoverFromFatalError(error, error, {});
    throw error;
  }
} as typeof select;

Redis.prototype.auth = async function (this: Redis, ...args: Parameters<typeof auth>) {
  try {
    return await Reflect.apply(auth, this, args);
  } catch (error) {
    const isNeedless =
      error instanceof Error && /no password is set|without any password configured/.test(error.message);
    if (!isNeedless) throw error;
    this.emit(NEEDLESS_PASSWORD);
    return 'OK';
  }
} as typeof auth;
