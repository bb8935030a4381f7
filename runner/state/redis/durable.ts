/**
 * What `hard` means in Redis: a write outlives the machine of the server once it is in the log on its disk, or at a replica. The
 * server is asked to say so where it can: WAITAOF (7.2 and later, with `appendonly yes`), WAIT where it has replicas. The write
 * itself has been done: that nobody confirms it in time is told, and nothing more.
 */
import { OxiError } from '../../engine/errors.ts';
import type { Connections } from './connection.ts';
import { infoOf } from './info.ts';

/**
 * How long each is waited for at most, and which part of the time of a command: what stands behind them on the same connection must
 * not be given up for it. A server that writes its log once a second says so within little more than that.
 */
const LOG = { longestMs: 2000, share: 0.5 };
const REPLICA = { longestMs: 1000, share: 0.25 };
const FORGETFUL =
  'it writes no log and has no replica, so that it forgets the state of runs when it ends: set appendonly to yes';
const LOSS = 'should its machine fail now, the run goes back to an earlier one';

export class Durable {
  readonly #connections: Connections;
  readonly #warn: (text: string) => void;
  #told = false;
  #mayAsk = true;

  constructor(connections: Connections, warn: (text: string) => void) {
    this.#connections = connections;
    this.#warn = warn;
  }

  /** `key`: the hash of the run that was written. Throws as `Connections.call` where the server is out of reach. */
  async settle(key: string): Promise<void> {
    if (!this.#mayAsk) return;
    try {
      const text = await this.#connections.infoAt(key);
      if (text === undefined) return;
      const { hasLog, canAskForLog, replicas } = infoOf(text);
      const within = ({ longestMs, share }: typeof LOG): string =>
        String(Math.min(longestMs, Math.floor(share * this.#connections.timeoutMs)));
      const asks: [what: string, command: string[]][] = [];
      if (replicas > 0) asks.push(['a replica', ['WAIT', '1', within(REPLICA)]]);
      if (hasLog && canAskForLog) asks.push(['its disk', ['WAITAOF', '1', '0', within(LOG)]]);
      if (hasLog === false && replicas === 0) this.#tell(FORGETFUL);
      if (asks.length === 0) return;
      const answers = await this.#connections.confirm(
        key,
        asks.map(([, command]) => command),
      );
      asks.forEach(([what, command], i) => {
        // WAITAOF answers with two numbers: this server's log, and those of replicas.
        if (Number([answers[i]].flat()[0]) === 0)
          this.#tell(`a checkpoint was not confirmed by ${what} within ${command.at(-1)} ms: ${LOSS}`);
      });
    } catch (error) {
      // The user may not, or the server does not know it: people rename commands.
      if (!(error instanceof OxiError && ['PERMISSION_DENIED', 'CONFIG_INVALID'].includes(error.code))) throw error;
      this.#mayAsk = false;
      this.#tell(`no checkpoint can be confirmed (${error.message}): ${LOSS}`);
    }
  }

  #tell(what: string): void {
    if (!this.#told) this.#warn(`${this.#connections.location}: ${what}`);
    this.#told = true;
  }
}
