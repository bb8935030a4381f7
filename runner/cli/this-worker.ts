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
  /** Those that stood before this worker came, by their text. */
  readonly #before: ReadonlySet<string>;
  #forgets = false;

  /** `before`: the requests that stand when it comes. */
  constructor(identity: Identity, stopping: Stopping, pause: PauseGate, before: readonly RunRequest[]) {
    this.#identity = identity;
    this.#stopping = stopping;
    this.#pause = pause;
    this.#before = new Set(before.map((request) => JSON.stringify(request)));
    const told = (): void => {
      if (this.#news !== undefined) this.about({ ...this.#news, state: this.state });
    };
    stopping.stop.addEventListener('abort', told, { once: true });
  }

  reportTo(keeper: Pick<Keeper, 'about'>): void {
    this.#keeper = keeper;
  }

  /** It was made since this worker came. */
  isNews(request: RunRequest): boolean {
    return !this.#before.has(JSON.stringify(request));
  }

  /** What was asked before it came, but for a pause, was meant for workers that are gone. */
  forget(): void {
    this.#forgets = true;
  }

  /** From now on requests are for this worker, too. Until then only the end of the whole run is, which it waits for a part in. */
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
    if (giveAhead === undefined) {
      const cancel = requests.find((request) => request.kind === 'cancel' && this.isNews(request));
      if (cancel !== undefined) this.#end(cancel);
      return;
    }
    const counts = (request: RunRequest): boolean => !this.#forgets || request.kind === 'pause' || this.isNews(request);
    const mine = requests.filter(
      (request) => (request.worker === undefined || request.worker === this.#identity.worker_id) && counts(request),
    );
    const first = (kind: RunRequest['kind']): RunRequest | undefined => mine.find((request) => request.kind === kind);
    const pause = first('pause');
    if (pause === undefined) this.#pause.open();
    else this.#pause.close(pause.from);
    if (first('rebalance') !== undefined) giveAhead();
    const stop = first('stop');
    const end = first('cancel') ?? stop;
    if (end !== undefined) this.#end(end);
    if (stop?.force === true) this.#stopping.atOnce(stop.from);
    if (this.#news !== undefined) this.about({ ...this.#news, state: this.#stateNow(this.#news.state) });
  }

  /** Once: a second time would be at once. */
  #end({ kind, from, worker }: RunRequest): void {
    if (this.#ended) return;
    this.#ended = true;
    const request =
      kind === 'cancel'
        ? new StopRequest(`cancelled by ${from}`, { cancelled: true })
        : new StopRequest(`stopped by ${from}`, { one: worker !== undefined });
    this.#stopping.request(request);
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
