/** The ends of a pipeline in memory: a source that gives what a test says, and a sink that keeps what it is given. */
import type { Held, JsonObject, Mark, Output, RawBlock, Rewrite, Sink, Source, Split } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';

/** Stands in for a source: what the real one may do, it may do, so that the plan is the same. */
export class MemorySource implements Source {
  readonly kind: Source['kind'];
  readonly bounded = true;
  readonly #name: string;
  readonly #step: string;
  readonly #bytes: Uint8Array | undefined;

  /** `bytes`: absent where the test has nothing for it, as if its input were missing. */
  constructor(about: { kind: Source['kind']; step: string; name: string; bytes: Uint8Array | undefined }) {
    this.kind = about.kind;
    this.#name = about.name;
    this.#step = about.step;
    this.#bytes = about.bytes;
  }

  get #given(): Uint8Array {
    if (this.#bytes !== undefined) return this.#bytes;
    throw new OxiError('INPUT_MISSING', `step "${this.#step}": the test gives nothing for it; name it under "inputs"`, {
      place: { step: this.#step },
    });
  }

  async splits(): Promise<Split[]> {
    return [{ index: 0, name: this.#name, size: this.#given.length }];
  }

  async recorded(): Promise<Split[]> {
    return this.splits();
  }

  async peek(_split: Split, length: number): Promise<Uint8Array> {
    return this.#given.slice(0, length);
  }

  async *open(_split: Split, from: number): AsyncGenerator<RawBlock> {
    // The receiver writes to what it gets.
    const bytes = Uint8Array.from(this.#given.subarray(from));
    if (bytes.length > 0) yield { bytes, after: from + bytes.length };
  }

  async metadata(): Promise<Record<string, string | number>> {
    const filename = this.#name.split('/').at(-1) ?? this.#name;
    return { path: this.#name, filename, size: this.#given.length, format: filename.split('.').at(-1) ?? '' };
  }

  async close(): Promise<void> {}
}

/** Stands in for a sink, with its guarantee and target. `keeps`: nothing, where only its records are counted. */
export class MemorySink implements Sink {
  readonly guarantee: Sink['guarantee'];
  readonly target: string;
  readonly rewrite?: NonNullable<Sink['rewrite']>;
  readonly #keepsAll: boolean;
  #pieces: Uint8Array[] = [];
  #records = 0;

  constructor(real: Pick<Sink, 'guarantee' | 'target' | 'rewrite'>, keeps: 'all' | 'nothing' = 'all') {
    this.#keepsAll = keeps === 'all';
    this.guarantee = real.guarantee;
    this.target = real.target;
    if (real.rewrite !== undefined) this.rewrite = (rewrite) => this.#rewrite(rewrite);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }

  async #rewrite(rewrite: Rewrite): Promise<void> {
    if (!this.#keepsAll) return;
    const before = this.#pieces;
    const after: Uint8Array[] = [];
    const text = async function* (): AsyncGenerator<Uint8Array> {
      yield* before;
    };
    for await (const piece of rewrite(text())) after.push(Uint8Array.from(piece));
    this.#pieces = after;
  }

  async open(): Promise<Held> {
    return { at: 'mark' };
  }

  async write(bytes: Uint8Array, records: number): Promise<void> {
    if (this.#keepsAll) this.#pieces.push(Uint8Array.from(bytes));
    this.#records += records;
  }

  async prepare(n: number): Promise<Mark> {
    const data: JsonObject = {};
    return { n, records: this.#records, bytes: this.bytes.length, data };
  }

  async finish(mark: Mark): Promise<Output> {
    return { rows: mark.records, bytes: mark.bytes };
  }

  async abort(): Promise<void> {}
  async close(): Promise<void> {}
}
