/**
 * Finds a run that is stuck: not idle, and no node has moved for a while. Nodes say when they begin to wait and when they go on;
 * that costs two assignments. Time is counted in looks, so a machine that slept for an hour has lost one look, not an hour.
 */
import { Board, LOOKS } from './board.ts';
import { OxiError } from './errors.ts';

/** What a node does when it does not wait: for sentences. */
export type Verb = 'read' | 'work' | 'write' | 'publish' | 'open';

/** A node of the flow as the watch sees it. */
export interface WatchedNode {
  /** It begins to wait for the node before it, or goes on. */
  waitsForInput(waits: boolean): void;
  /** It begins to wait for room behind it, or goes on. */
  waitsForRoom(waits: boolean): void;
  /** It begins to wait for something outside that may take as long as it likes (a message, a reader), or goes on. */
  waitsOutside(waits: boolean): void;
  /** A unit of work begins or ends, of those that go on while the node waits for more input (on threads, side by side). */
  atWork(units: 1 | -1): void;
  ended(): void;
}

interface Queue {
  readonly fill: { bytes: number; records: number };
}

export interface WatchOptions {
  /** No node moved for so long, in milliseconds; 0: nobody looks. */
  stuckAfterMs: number;
  board?: Board;
}

const SHORTEST_LOOK_MS = 10;

class Node implements WatchedNode {
  readonly step: string;
  readonly verb: Verb;
  readonly index: number;
  /** Looks in which it may stand still: those of a unit of work that may take longer than the others. */
  readonly patience: number;
  readonly #board: Board;
  queue: Queue | undefined;
  moves = 0;
  /** Looks since it moved. */
  still = 0;
  #input = false;
  #room = false;
  #outside = false;
  #units = 0;
  #ended = false;

  constructor(step: string, verb: Verb, index: number, patience: number, board: Board) {
    this.step = step;
    this.verb = verb;
    this.index = index;
    this.patience = patience;
    this.#board = board;
  }

  #moved(): void {
    this.moves++;
    this.#board.moved(this.index);
  }

  waitsForInput(waits: boolean): void {
    this.#input = waits;
    this.#moved();
  }

  waitsForRoom(waits: boolean): void {
    this.#room = waits;
    this.#moved();
  }

  waitsOutside(waits: boolean): void {
    this.#outside = waits;
    this.#moved();
  }

  atWork(units: 1 | -1): void {
    this.#units += units;
    this.#moved();
  }

  ended(): void {
    this.#ended = true;
    this.#moved();
  }

  get state(): 'input' | 'room' | 'outside' | 'busy' | 'ended' {
    if (this.#room) return 'room';
    // Its input may have ended while some of it is still worked on.
    if (this.#units > 0) return 'busy';
    if (this.#ended) return 'ended';
    if (this.#outside) return 'outside';
    return this.#input ? 'input' : 'busy';
  }

  get does(): string {
    const { state } = this;
    if (state === 'busy') return `${this.verb}s`;
    return { input: 'waits for records', room: 'waits for room', outside: 'waits for the outside', ended: 'has ended' }[
      state
    ];
  }
}

export class Watch implements Disposable {
  readonly board: Board;
  /** Between two looks, in milliseconds; Infinity where nobody looks. */
  readonly everyMs: number;
  readonly #nodes: Node[] = [];
  #timer: NodeJS.Timeout | undefined;
  #seen = -1;

  constructor(options: WatchOptions) {
    this.board = options.board ?? new Board();
    const { stuckAfterMs } = options;
    this.everyMs = stuckAfterMs === 0 ? Number.POSITIVE_INFINITY : Math.max(SHORTEST_LOOK_MS, stuckAfterMs / LOOKS);
  }

  /** `mayTakeMs`: a unit of its work has a time of its own, and is not stuck before that is over. */
  node(step: string, verb: Verb, mayTakeMs = 0): WatchedNode {
    const patience = Math.max(LOOKS, mayTakeMs === 0 ? 0 : Math.ceil(mayTakeMs / this.everyMs) + LOOKS);
    const node = new Node(step, verb, this.#nodes.length, patience, this.board);
    this.#nodes.push(node);
    this.board.name(node.index, `step "${step}" (${verb}s)`);
    return node;
  }

  /** Forgets the nodes of a flow that is over; another one may come. */
  clear(): void {
    this.#nodes.length = 0;
    this.#seen = -1;
  }

  /** The queue that `node` takes its input from, for the table. */
  queue(node: WatchedNode, queue: Queue): void {
    if (node instanceof Node) node.queue = queue;
  }

  /** Looks from now on. `stuck` is told once, with the error to end the run with and the table for the log. */
  start(stuck: (error: OxiError, table: string) => void): void {
    if (this.everyMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setInterval(() => {
      this.board.tick();
      const error = this.look();
      if (error === undefined) return;
      clearInterval(this.#timer);
      stuck(error, this.describe());
    }, this.everyMs);
    this.#timer.unref();
  }

  /** One look; an error where there were enough of them and nothing has moved. */
  look(): OxiError | undefined {
    const moves = this.#nodes.reduce((sum, node) => sum + node.moves, 0);
    const stands = moves === this.#seen && !this.#isIdle;
    this.#seen = moves;
    if (!stands) {
      for (const node of this.#nodes) node.still = 0;
      return undefined;
    }
    for (const node of this.#nodes) node.still++;
    // The last one that does something holds all before it.
    const busy = this.#nodes.filter(({ state }) => state === 'busy');
    const patience = busy.reduce((longest, node) => Math.max(longest, node.patience), LOOKS);
    const [{ still } = { still: 0 }] = this.#nodes;
    if (still < patience) return undefined;
    return this.#error(busy.at(-1), Math.round((still * this.everyMs) / 100) / 10);
  }

  /** All is done, or all wait for what may come in from outside, or for somebody outside to take what came out. */
  get #isIdle(): boolean {
    let outside = false;
    let active = false;
    for (const { state } of this.#nodes) {
      outside ||= state === 'outside';
      active ||= state !== 'ended';
      if (state === 'busy') return false;
    }
    return outside || !active;
  }

  #error(node: Node | undefined, seconds: number): OxiError {
    const what =
      node === undefined
        ? 'every step waits for another one, which is a bug of oxiflow'
        : `step "${node.step}" ${node.does} without an end`;
    return new OxiError(
      'STUCK',
      `nothing has moved for ${seconds} s: ${what}. Start it again, it goes on from the last checkpoint; where this is how long a step may take, give it more time (settings.stuck_after)`,
      { place: node === undefined ? {} : { step: node.step } },
    );
  }

  /** What every node does, a line each. */
  describe(): string {
    const rows = this.#nodes.map(({ step, does, still, queue }) => {
      const { bytes, records } = queue?.fill ?? { bytes: 0, records: 0 };
      return [
        step,
        does,
        `${Math.round((still * (Number.isFinite(this.everyMs) ? this.everyMs : 0)) / 1000)} s`,
        queue === undefined ? '' : `${records} records, ${bytes} bytes`,
      ];
    });
    const table = [['step', 'does', 'for', 'waiting before it'], ...rows];
    const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => (row[column] ?? '').length)));
    return table
      .map((row) =>
        row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd(),
      )
      .join('\n');
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
