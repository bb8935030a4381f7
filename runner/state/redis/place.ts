/** The store as a whole: its identity, the settings of its server, and how its scripts are asked. */
import { randomBytes } from 'node:crypto';
import { corrupt, newer } from '../faults.ts';
import type { Connections } from './connection.ts';
import { FORMAT } from './head.ts';
import { IDENTITY, type Script } from './scripts.ts';
import { judge } from './trouble.ts';

export class Place {
  readonly #connections: Connections;
  readonly #key: string;
  readonly #warn: (text: string) => void;
  #beginning: Promise<string> | undefined;
  #looked = false;

  /** `key`: where its identity is. */
  constructor(connections: Connections, key: string, warn: (text: string) => void) {
    this.#connections = connections;
    this.#key = key;
    this.#warn = warn;
  }

  /** The identity of the store; at the first change it gets one, and its settings are looked at. */
  begin(): Promise<string> {
    this.#beginning ??= this.look(randomBytes(12).toString('hex')).catch((error) => {
      this.#beginning = undefined;
      throw error;
    });
    return this.#beginning;
  }

  /** Without an identity to give, nothing is made. */
  async look(fresh = ''): Promise<string> {
    const [id = '', format] = (await this.call(undefined, IDENTITY, [this.#key], [fresh])) as string[];
    if (Number(format) > FORMAT) throw newer(this.#connections.location, Number(format), FORMAT);
    if (!this.#looked) await this.#checkPolicy();
    this.#looked = true;
    return id;
  }

  /** `runKey`: the run that is asked about, for the message where something of it is damaged. Throws as `Connections.call`. */
  async call(
    runKey: string | undefined,
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[] = [],
  ): Promise<unknown> {
    const { location } = this.#connections;
    try {
      return await this.#connections.call(script, keys, args);
    } catch (error) {
      const trouble = judge(error, location);
      if (trouble.kind !== 'stored') throw error;
      if (trouble.fault === 'newer') throw newer(location, Number(trouble.text), FORMAT);
      throw corrupt(location, `${trouble.part}: ${trouble.text}`, runKey);
    }
  }

  async #checkPolicy(): Promise<void> {
    const policy = /^maxmemory_policy:(\S+)/m.exec((await this.#connections.info('memory')) ?? '')?.[1];
    if (policy !== undefined && policy !== 'noeviction')
      this.#warn(
        `${this.#connections.location} throws data away when its memory is full (maxmemory-policy ${policy}), the state of runs too: set it to noeviction`,
      );
  }
}
