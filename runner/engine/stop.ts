/** Why a run is asked to stop reading and drain: the reason of the stop signal. */
import { EXIT } from './errors.ts';

export class StopRequest {
  readonly exitCode: typeof EXIT.interrupted | typeof EXIT.terminated;
  /** Somebody asked for it by `oxiflow cancel`. */
  readonly cancelled: boolean;
  /** It is for one of several workers: the others go on. */
  readonly one: boolean;
  /** For people: a signal's name, who cancelled. */
  readonly why: string;

  constructor(why: string, options: { interrupted?: boolean; cancelled?: boolean; one?: boolean } = {}) {
    this.why = why;
    this.exitCode = options.interrupted === true ? EXIT.interrupted : EXIT.terminated;
    this.cancelled = options.cancelled === true;
    this.one = options.one === true;
  }
}
