/** The store as a whole: its identity, the settings of its server, and how its scripts are asked. */
import { randomBytes } from 'node:crypto';
import { OxiError } from '../../engine/errors.ts';
import { corrupt, newer } from '../faults.ts';
import type { Connections } from './connection.ts';
import { FORMAT } from './head.ts';
import { isOfRun } from './keys.ts';
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
      if (error instanceof Error && error.message.includes('WRONGTYPE')) throw foreign(location, keys, runKey);
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

/** What stands there was not put there by us: of a run's keys `repair` sets it aside, the others are for people. */
function foreign(location: string, keys: readonly string[], runKey: string | undefined): OxiError {
  const names = keys.map((key) => `"${key}"`).join(' or ');
  const why = `the key ${names} holds a value of another type, which oxiflow did not put there`;
  if (runKey !== undefined && keys.every(isOfRun)) return corrupt(location, why, runKey);
  return new OxiError('STATE_CORRUPT', `the saved state in ${location} can't be used: ${why}. Rename that key`);
}
