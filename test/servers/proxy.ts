/** A proxy between clients and a server of the tests: a network that is slow, dead or cut, or loses an answer, when it is told to. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class CuttingProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #pairs = new Set<{ client: Socket; upstream: Socket }>();
  #swallow: ((sent: string) => boolean) | undefined;
  #swallowed = 0;
  #isCut = false;
  #isDead = false;
  #delayMs = 0;
  #replace: [from: string, to: string] | undefined;
  #lost = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(port: number): Promise<CuttingProxy> {
    const server = createServer();
    const proxy = new CuttingProxy(server);
    server.on('connection', (client) => proxy.#join(client, connect(port, '127.0.0.1')));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen');
    return address.port;
  }

  /** How often an answer was swallowed. */
  get swallowed(): number {
    return this.#swallowed;
  }

  /** The next command that `isMeant` takes reaches the server; its answer does not come back, and the connection is cut. */
  swallowAnswerTo(isMeant: (sent: string) => boolean): void {
    this.#swallow = isMeant;
  }

  /** How often a connection was refused, or something that was sent got nowhere. */
  get lost(): number {
    return this.#lost;
  }

  /** Connections end, and new ones are refused. */
  cut(): void {
    this.#isCut = true;
    this.cutAll();
  }

  /** Connections stay, and new ones come about; what is sent gets nowhere any more. */
  blackhole(): void {
    this.#isDead = true;
  }

  /** Each time that the server says the one, the client hears the other; both are of the same length. */
  replaceInAnswers(from: string, to: string): void {
    if (from.length !== to.length) throw new Error(`"${from}" is not as long as "${to}"`);
    this.#replace = [from, to];
  }

  /** What is sent comes so much later. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** As it was in the beginning. What was lost stays lost, so the connections that had a part in it end. */
  mend(): void {
    if (this.#isDead) this.cutAll();
    this.#isCut = false;
    this.#isDead = false;
    this.#delayMs = 0;
  }

  cutAll(): void {
    for (const { client, upstream } of this.#pairs) {
      client.destroy();
      upstream.destroy();
    }
  }

  #join(client: Socket, upstream: Socket): void {
    if (this.#isCut) {
      this.#lost++;
      client.destroy();
      upstream.destroy();
    }
    const pair = { client, upstream };
    this.#pairs.add(pair);
    let isMuted = false;
    client.on('data', (data) => {
      if (this.#swallow?.(data.toString('latin1'))) {
        this.#swallow = undefined;
        this.#swallowed++;
        isMuted = true;
      }
      this.#pass(() => upstream.write(data));
    });
    upstream.on('data', (data) => {
      if (isMuted) client.destroy();
      else this.#pass(() => client.write(this.#replaced(data)));
    });
    const end = (): void => {
      this.#pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on('close', end).on('error', end);
  }

  #replaced(data: Buffer): Buffer {
    return this.#replace === undefined
      ? data
      : Buffer.from(data.toString('latin1').replaceAll(...this.#replace), 'latin1');
  }

  #pass(send: () => void): void {
    if (this.#isDead) {
      this.#lost++;
      return;
    }
    // Timers of the same delay fire in the order in which they were set.
    if (this.#delayMs > 0) setTimeout(send, this.#delayMs);
    else send();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cutAll();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
