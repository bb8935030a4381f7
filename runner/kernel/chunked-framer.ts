/** A framer of two halves in one place: what finds the end of the last whole record, and what cuts the records in front of it. */
import type { Chunker, Cutter, FramedRecords, Framer, Piece } from '../engine/contracts.ts';
import type { Json } from '../state/store.ts';

const NOTHING: Piece = { bytes: new Uint8Array(), offset: 0 };

export class ChunkedFramer implements Framer {
  readonly #chunker: Chunker;
  readonly #cutter: Cutter;

  constructor(chunker: Chunker, cutter: Cutter) {
    this.#chunker = chunker;
    this.#cutter = cutter;
  }

  get pending(): number {
    return this.#chunker.pending;
  }

  snapshot(): Json {
    return this.#chunker.snapshot();
  }

  push(bytes: Uint8Array, headroom = 0): FramedRecords {
    return this.#cutter.cut(this.#chunker.push(bytes, headroom) ?? NOTHING);
  }

  end(): FramedRecords {
    return this.#cutter.cut(this.#chunker.end() ?? NOTHING);
  }
}
