/** The store as a whole: its identity, the settings of its server, and how its scripts are asked. */
import { randomBytes } from 'node:crypto';
import { OxiError } from '../../engine/errors.ts';
import { corrupt, newer, older } from '../faults.ts';
import type { Connections } from './connection.ts';
import { FORMAT } from './head.ts';
import { infoOf } from './info.ts';
import { isOfRun } from './keys.ts';
import type { Script } from './prelude.ts';
import { IDENTITY } from './scripts.ts';
import { judge, type Trouble, tooOld } from './trouble.ts';

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
    // Nothing is written to a server that can't go on with it.
    if (!this.#looked) await this.#checkServer();
    this.#looked = true;
    const [id = '', format] = (await this.call(undefined, IDENTITY, [this.#key], [fresh])) as string[];
    if (Number(format) > FORMAT) throw newer(this.#connections.location, Number(format), FORMAT);
    if (id !== '' && Number(format) < FORMAT) throw older(this.#connections.location, Number(format), FORMAT);
    return id;
  }

  /**
   * `runKey`: the run that is asked about, for the message where something of it is damaged. `parts`: those whose streams the script
   * is known to touch; it asks for others by itself. Throws as `Connections.call`.
   */
  async call(
    runKey: string | undefined,
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[] = [],
    parts: readonly string[] = [],
  ): Promise<unknown> {
    let named = parts;
    for (;;) {
      try {
        return await this.#connections.call(script, [...keys, ...named.map((part) => `${keys[0]}:${part}`)], args);
      } catch (error) {
        const trouble = judge(error, this.#connections.location);
        if (trouble.kind !== 'unnamed') throw this.#inWords(error, trouble, keys, runKey);
        named = [...named, ...trouble.parts];
      }
    }
  }

  /** See `Connections.append`. */
  append(key: string, id: string, field: string, value: string): Promise<unknown> {
    return this.#connections.append(key, id, field, value);
  }

  #inWords(error: unknown, trouble: Trouble, keys: readonly string[], runKey: string | undefined): unknown {
    const { location } = this.#connections;
    if (error instanceof Error && error.message.includes('WRONGTYPE')) return foreign(location, keys, runKey);
    if (trouble.kind !== 'stored') return error;
    if (trouble.fault === 'newer') return newer(location, Number(trouble.text), FORMAT);
    if (trouble.fault === 'older') return older(location, Number(trouble.text), FORMAT);
    return corrupt(location, `${trouble.part}: ${trouble.text}`, runKey);
  }

  /** Where the server may not be asked, the first commit finds out that it is too old. */
  async #checkServer(): Promise<void> {
    const info = await this.#connections.info();
    if (info === undefined) return;
    const { version, isRecent, policy } = infoOf(info);
    const { location } = this.#connections;
    if (!isRecent) throw tooOld(location, version);
    if (policy !== undefined && policy !== 'noeviction')
      this.#warn(
        `${location} throws data away when its memory is full (maxmemory-policy ${policy}), the state of runs too: set it to noeviction`,
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
