/** What others ask of this worker through the store, and what they see of it there. */
import { hostname } from 'node:os';
import type { PauseGate } from '../engine/pause.ts';
import { StopRequest } from '../engine/stop.ts';
import type { Registration } from '../state/registration.ts';
import type { RunRequest } from '../state/store.ts';
import type { Keeper } from '../threads/keeper.ts';
import type { CrewNews } from '../workers/crew.ts';
import type { Stopping } from './stopping.ts';
import { version } from './version.ts';

type Identity = Pick<Registration, 'worker_id' | 'run_key' | 'pipeline' | 'capacity'>;

export class ThisWorker {
  readonly #identity: Identity;
  readonly #stopping: Stopping;
  readonly #pause: PauseGate;
  readonly #startedAt = new Date().toISOString();
  #keeper: Pick<Keeper, 'about'> | undefined;
  #giveAhead: (() => void) | undefined;
  /** Undefined until the keeper has told of them. */
  #waiting: readonly RunRequest[] | undefined;
  #news: CrewNews | undefined;
  #ended = false;

  constructor(identity: Identity, stopping: Stopping, pause: PauseGate) {
    this.#identity = identity;
    this.#stopping = stopping;
    this.#pause = pause;
    const told = (): void => {
      if (this.#news !== undefined) this.about({ ...this.#news, state: this.state });
    };
    stopping.stop.addEventListener('abort', told, { once: true });
  }

  reportTo(keeper: Pick<Keeper, 'about'>): void {
    this.#keeper = keeper;
  }

  /** From now on requests are for this worker, too. */
  joined(giveAhead: () => void): void {
    this.#giveAhead = giveAhead;
    if (this.#waiting !== undefined) this.obey(this.#waiting);
  }

  get state(): CrewNews['state'] {
    if (this.#stopping.stop.aborted) return 'draining';
    return this.#pause.closedBy === undefined ? 'working' : 'paused';
  }

  obey(requests: readonly RunRequest[]): void {
    this.#waiting = requests;
    const giveAhead = this.#giveAhead;
    if (giveAhead === undefined) return;
    const mine = requests.filter(({ worker }) => worker === undefined || worker === this.#identity.worker_id);
    const first = (kind: RunRequest['kind']): RunRequest | undefined => mine.find((request) => request.kind === kind);
    const pause = first('pause');
    if (pause === undefined) this.#pause.open();
    else this.#pause.close(pause.from);
    if (first('rebalance') !== undefined) giveAhead();
    const cancel = first('cancel');
    const stop = first('stop');
    const stopping = this.#stopping;
    if (!this.#ended && cancel !== undefined)
      stopping.request(new StopRequest(`cancelled by ${cancel.from}`, { cancelled: true }));
    else if (!this.#ended && stop !== undefined)
      stopping.request(new StopRequest(`stopped by ${stop.from}`, { one: stop.worker !== undefined }));
    this.#ended ||= cancel !== undefined || stop !== undefined;
    if (stop?.force === true) stopping.atOnce(stop.from);
    if (this.#news !== undefined) this.about({ ...this.#news, state: this.#stateNow(this.#news.state) });
  }

  #stateNow(before: CrewNews['state']): CrewNews['state'] {
    const { state } = this;
    return state === 'working' && before === 'waiting' ? before : state;
  }

  about(news: CrewNews): void {
    this.#news = news;
    this.#keeper?.about({
      ...this.#identity,
      host: hostname(),
      pid: process.pid,
      version: version(),
      started_at: this.#startedAt,
      updated_at: '',
      ...news,
    });
  }
}
