/** Results of a thread that leave by a lane: each is written when its place is known, while the thread goes on with the next one. */
import type { Lane } from '../engine/lane.ts';
import type { StageResult } from '../engine/stage-spec.ts';

/** Results that wait for their place, at most. */
const MOST = 3;
/** A thread that died publishes nothing: nobody waits for it longer, in milliseconds. */
const WAIT_MS = 100;
/** Waiting is done in so small parts that what comes meanwhile is not late. */
const PART_MS = 2;

interface Waiting {
  turn: number;
  result: StageResult;
  since: number;
  answer(result: StageResult): void;
}

export class LaneKeeper {
  readonly #lane: Lane;
  /** In the order of their turns. */
  readonly #waiting: Waiting[] = [];
  #isDue = false;

  constructor(lane: Lane) {
    this.#lane = lane;
  }

  /** `answer` is given the result: written, or as it is where it has waited too long or the lane is closed. */
  take(turn: number, result: StageResult, answer: (result: StageResult) => void): void {
    this.#lane.publish(result.block, turn);
    this.#waiting.push({ turn, result, since: performance.now(), answer });
    this.#give(this.#waiting.length > MOST ? WAIT_MS : 0);
    this.#later();
  }

  /** Writes those whose place is known; waits for that of the first one, at most so long. */
  #give(ms: number): void {
    for (let [first] = this.#waiting; first !== undefined; [first] = this.#waiting) {
      const { turn, result, since, answer } = first;
      const isKnown = this.#lane.isKnown(turn, ms);
      if (!isKnown && !this.#lane.isClosed(turn) && performance.now() - since < WAIT_MS) return;
      this.#waiting.shift();
      answer(isKnown ? { ...result, block: this.#lane.put(result.block, turn) } : result);
    }
  }

  /** Behind the messages that are there. */
  #later(): void {
    if (this.#isDue || this.#waiting.length === 0) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      this.#give(PART_MS);
      this.#later();
    });
  }
}
