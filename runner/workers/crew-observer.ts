/** What the attempts at split groups tell, put together as the story of one worker. */
import type { RunObserver, RunSummary } from '../engine/report.ts';
import type { CrewFigures } from './crew-figures.ts';

export class CrewObserver {
  readonly #observer: RunObserver;
  readonly #figures: CrewFigures;
  readonly #changed: () => void;
  /** Checkpoints of this worker, over all its groups. */
  checkpoints = 0;

  /** `changed`: is told when there are new figures. */
  constructor(observer: RunObserver, figures: CrewFigures, changed: () => void) {
    this.#observer = observer;
    this.#figures = figures;
    this.#changed = changed;
  }

  /** For the attempt at one group. Its beginning and end are no beginning and end of the worker's. */
  forGroup(): RunObserver {
    const observer = this.#observer;
    return {
      started: ({ figures }) => this.#figures.begin(figures),
      checkpoint: (checkpoint, splits) => {
        const { records, bytes } = this.#figures.own;
        observer.checkpoint({ ...checkpoint, n: ++this.checkpoints, records, bytes }, splits);
        this.#changed();
      },
      recordErrors: (messages) => observer.recordErrors(messages),
      deadLettered: (letters) => observer.deadLettered(letters),
      finished: () => this.#figures.end(),
    };
  }
}

/** What a group has read in all, by the summary of its last attempt: what its source says. */
export function readIn({ counters: { steps } }: RunSummary): { records: number; bytes: number } {
  const { added = 0, bytes_in = 0 } = steps[0]?.counters ?? {};
  return { records: added, bytes: bytes_in };
}
