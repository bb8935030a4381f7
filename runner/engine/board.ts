/**
 * What a thread can see of the main thread while that is busy: a number that grows as long as it gets to its timers, and the
 * step that moved last. Memory that both share; one writes, the other looks now and then.
 */

/** Looks until what does not move is stuck. */
export const LOOKS = 30;

const NODES = 64;
/** Bytes of a name; longer ones are cut. */
const NAME_BYTES = 120;
const HEAD_BYTES = 8;
const TICKS = 0;
const LAST = 1;

export class Board {
  readonly memory: SharedArrayBuffer;
  readonly #head: Int32Array;
  readonly #names: Uint8Array;

  constructor(memory = new SharedArrayBuffer(HEAD_BYTES + NODES * NAME_BYTES)) {
    this.memory = memory;
    this.#head = new Int32Array(memory, 0, HEAD_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.#names = new Uint8Array(memory, HEAD_BYTES);
  }

  /** The main thread got to its timers. */
  tick(): void {
    Atomics.add(this.#head, TICKS, 1);
  }

  get ticks(): number {
    return Atomics.load(this.#head, TICKS);
  }

  /** Says what `moved(index)` means; those beyond the last place share it. */
  name(index: number, text: string): void {
    const bytes = new TextEncoder().encode(text).subarray(0, NAME_BYTES);
    const at = Math.min(index, NODES - 1) * NAME_BYTES;
    this.#names.fill(0, at, at + NAME_BYTES).set(bytes, at);
  }

  moved(index: number): void {
    this.#head[LAST] = index;
  }

  /** Who moved last; empty where nobody did. */
  get last(): string {
    const at = Math.min(Atomics.load(this.#head, LAST), NODES - 1) * NAME_BYTES;
    // A text decoder takes no shared memory.
    const name = this.#names.slice(at, at + NAME_BYTES);
    const end = name.indexOf(0);
    return new TextDecoder().decode(end < 0 ? name : name.subarray(0, end));
  }
}
