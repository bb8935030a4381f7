/** Spans and offsets of the records of a block, growing while a framer cuts. */
export class SpanList {
  #spans = new Uint32Array(512);
  #offsets = new Float64Array(256);
  count = 0;

  /** `start` and `end` in the block's bytes, `offset` of the record in its split. */
  add(start: number, end: number, offset: number): void {
    if (this.count >= this.#offsets.length) {
      const spans = new Uint32Array(this.#spans.length * 2);
      spans.set(this.#spans);
      this.#spans = spans;
      const offsets = new Float64Array(this.#offsets.length * 2);
      offsets.set(this.#offsets);
      this.#offsets = offsets;
    }
    this.#spans[2 * this.count] = start;
    this.#spans[2 * this.count + 1] = end;
    this.#offsets[this.count++] = offset;
  }

  /** A copy of what was added since the last take. */
  peek(): { spans: Uint32Array<ArrayBuffer>; offsets: Float64Array<ArrayBuffer>; count: number } {
    const { count } = this;
    const taken = this.take();
    this.count = count;
    return taken;
  }

  /** What was added since the last call; the arrays are the receiver's. */
  take(): { spans: Uint32Array<ArrayBuffer>; offsets: Float64Array<ArrayBuffer>; count: number } {
    const taken = {
      spans: this.#spans.slice(0, 2 * this.count),
      offsets: this.#offsets.slice(0, this.count),
      count: this.count,
    };
    this.count = 0;
    return taken;
  }
}
