/**
 * What can end a run from outside: signals, a launcher that is gone, a cancel request, the end of the time for draining.
 * The first asks for a drain, a second one (or the end of that time) stops at once.
 */
import type { Socket } from 'node:net';
import { EXIT, OxiError } from '../engine/errors.ts';
import { LONGEST_MS } from '../engine/pause.ts';
import { StopRequest } from '../engine/stop.ts';

/** After a stop, for the last words to get out. */
const LEFT_BEHIND_MS = 1000;
/** After a run was found to be stuck, for its nodes to notice. */
const STUCK_MS = 10_000;

export interface StoppingOptions {
  drainMs: number;
  /** A descriptor that the launcher holds the other end of; its end means that the launcher is gone. */
  parentFd: number | undefined;
  onOrphan: 'auto' | 'drain' | 'continue';
  say(message: string): void;
}

export class Stopping implements Disposable {
  readonly #o: StoppingOptions;
  readonly #stop = new AbortController();
  readonly #kill = new AbortController();
  #drain: NodeJS.Timeout | undefined;
  #parent: Socket | undefined;
  readonly #told = Promise.withResolvers<void>();
  #stuck: NodeJS.Timeout | undefined;
  /** It stops because the launcher is gone, and no signal has come since. */
  #orphaned = false;

  constructor(options: StoppingOptions) {
    this.#o = options;
    this.#watchParent();
    process.on('SIGTERM', this.#onTerm);
    process.on('SIGINT', this.#onInt);
    process.on('SIGHUP', this.#onHangUp);
  }

  /** Aborted with a StopRequest: stop reading and drain. */
  get stop(): AbortSignal {
    return this.#stop.signal;
  }

  /** Aborted with an OxiError: stop at once. */
  get kill(): AbortSignal {
    return this.#kill.signal;
  }

  readonly #onTerm = (): void => this.request(new StopRequest('SIGTERM'));
  readonly #onInt = (): void => this.request(new StopRequest('interrupted', { interrupted: true }));
  readonly #onHangUp = (): void => this.request(new StopRequest('the terminal was closed'));

  #watchParent(): void {
    const { parentFd, onOrphan } = this.#o;
    if (parentFd === undefined && onOrphan === 'drain')
      throw new OxiError(
        'COMMAND_INVALID',
        'run: --on-orphan drain needs --parent-fd N, the pipe whose end says that the launcher is gone',
      );
    if (parentFd === undefined || onOrphan === 'continue') return;
    try {
      // Loaded here: a run that nobody launched this way starts without it.
      const net = process.getBuiltinModule('node:net');
      const parent = new net.Socket({ fd: parentFd, readable: true, writable: false });
      const gone = (): void => this.#orphan();
      parent.once('data', () => this.#told.resolve());
      parent.on('end', gone).on('error', gone).resume();
      parent.unref();
      this.#parent = parent;
    } catch (cause) {
      throw new OxiError('COMMAND_INVALID', `--parent-fd ${parentFd}: no open pipe has this number`, { cause });
    }
  }

  /** A launcher that tells its group to end and ends itself has asked once, in whatever order the two arrive. */
  #orphan(): void {
    if (this.#stop.signal.aborted) return;
    this.request(new StopRequest('the program that started it is gone'));
    this.#orphaned = true;
  }

  /** Until the launcher has written to its pipe. Throws the StopRequest that comes before. */
  async told(): Promise<void> {
    const { stop } = this;
    const onStop = (): void => this.#told.reject(stop.reason);
    stop.addEventListener('abort', onStop, { once: true });
    if (stop.aborted) onStop();
    // Nothing else may keep the process alive by now.
    this.#parent?.ref();
    await this.#told.promise.finally(() => {
      this.#parent?.unref();
      stop.removeEventListener('abort', onStop);
    });
  }

  request(request: StopRequest): void {
    if (this.#stop.signal.aborted) {
      if (this.#orphaned) {
        this.#orphaned = false;
        return;
      }
      this.#o.say(`${request.why} again: stopping at once; the last checkpoint is saved`);
      process.exit((this.#stop.signal.reason as StopRequest).exitCode);
    }
    const seconds = this.#o.drainMs / 1000;
    this.#o.say(
      `${request.why}: finishing what was read and saving a checkpoint, ${seconds} s at most; a second time stops at once`,
    );
    this.#stop.abort(request);
    this.#drain = setTimeout(
      () => {
        const code = request.exitCode === EXIT.interrupted ? 'INTERRUPTED' : 'TERMINATED';
        this.#kill.abort(
          new OxiError(
            code,
            `what was read could not be finished within ${seconds} s (--drain-timeout): the last checkpoint counts`,
          ),
        );
      },
      Math.min(this.#o.drainMs, LONGEST_MS),
    );
  }

  /** Somebody who may ask for it wants no checkpoint. */
  atOnce(by: string): void {
    this.#kill.abort(new OxiError('TERMINATED', `stopped at once by ${by}: the last checkpoint counts`));
  }

  /** The run is stuck: whatever holds it does not hold the process for long. */
  stuck(): void {
    this.#stuck = setTimeout(() => process.exit(EXIT.failed), STUCK_MS);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#drain);
    clearTimeout(this.#stuck);
    // A read or a write that hangs would keep the process alive although the run is over.
    if (this.#stop.signal.aborted || this.#stuck !== undefined)
      setTimeout(() => process.exit(), LEFT_BEHIND_MS).unref();
    this.#parent?.destroy();
    process.off('SIGTERM', this.#onTerm);
    process.off('SIGINT', this.#onInt);
    process.off('SIGHUP', this.#onHangUp);
  }
}
