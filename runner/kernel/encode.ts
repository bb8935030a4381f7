/** Puts records together as a text: lines, one array, or one document. Runs at the sink, in order. */
import type { Block, ByOthers, Encoder, Framing } from '../engine/contracts.ts';
import type { Json } from '../state/store.ts';
import { twoRecords } from './json-join.ts';

const LF = 0x0a;
const COMMA = 0x2c;

export interface EncodeOptions {
  /** `value`: one document where the record is a value on its own, else an array. */
  framing: Framing | 'value';
  pretty: boolean;
  /** Who is named when a document would hold two records. */
  step: string;
}

const LF_PIECE = Buffer.from('\n');
const OPEN_PIECE = Buffer.from('[');
const COMMA_PIECE = Buffer.from(',');

export class JsonEncoder implements Encoder {
  readonly #o: EncodeOptions;
  #framing: Framing | 'value';
  #records = 0;

  constructor(options: EncodeOptions) {
    this.#o = options;
    this.#framing = options.framing;
  }

  encode(block: Block): Uint8Array[] {
    if (this.#framing === 'value') this.#framing = block.whole === true ? 'document' : 'array';
    const first = this.#records === 0;
    this.#records += block.count;
    if (this.#framing === 'lines') return terminated(block);
    if (this.#framing === 'document') {
      if (this.#records > 1) throw twoRecords(this.#o.step);
      return terminated(block);
    }
    if (this.#o.pretty) return [Buffer.from(first ? '[\n' : ',\n'), joined(block, ',\n')];
    return elements(block, first).pieces;
  }

  get byOthers(): ByOthers | undefined {
    const isArray = this.#framing === 'array' && !this.#o.pretty;
    if (this.#framing !== 'lines' && !isArray) return undefined;
    return {
      form: isArray ? 'elements' : 'lines',
      begun: this.#records > 0,
      did: (records) => {
        this.#records += records;
      },
    };
  }

  end(): Uint8Array[] {
    const isArray = this.#framing === 'array' || this.#framing === 'value';
    if (!isArray) return [];
    if (this.#records === 0) return [Buffer.from('[]\n')];
    return [Buffer.from(this.#o.pretty ? '\n]\n' : ']\n')];
  }

  snapshot(): Json {
    return { records: this.#records, framing: this.#framing };
  }

  restore(state: Json): void {
    const { records, framing } = state as { records: number; framing: Framing | 'value' };
    this.#records = records;
    this.#framing = framing;
  }
}

/** The records of a block, which has some, as lines; the last line feed takes the place of what followed the last record, if there is one. */
export function terminated(block: Block): Uint8Array[] {
  const { bytes, spans, count, areLines } = block;
  if (areLines === true) return [bytes];
  const end = spans[2 * count - 1] as number;
  if (end >= bytes.length || !areNeighbours(block)) return [joined(block, '\n'), LF_PIECE];
  joined(block, '\n');
  bytes[end] = LF;
  return [bytes.subarray(spans[0], end + 1)];
}

export interface Laid {
  pieces: Uint8Array[];
  /** The block is what it was again. */
  undo(): void;
}

/** The records of a block, which has some, as elements of an array, in their place where they stand a byte apart. */
export function elements(block: Block, isFirst: boolean): Laid {
  const before = isFirst ? OPEN_PIECE : COMMA_PIECE;
  if (block.areLines !== true) return { pieces: [before, joined(block, ',')], undo: () => undefined };
  const { bytes, count } = block;
  const ends = new Uint32Array(count);
  for (let i = 0, end = -1; i < count; i++) {
    end = bytes.indexOf(LF, end + 1);
    ends[i] = end;
    bytes[end] = COMMA;
  }
  const undo = (): void => {
    for (const end of ends) bytes[end] = LF;
  };
  return { pieces: [before, bytes.subarray(0, ends[count - 1])], undo };
}

/** The records of a block with `separator` between them; in place where they already stand one byte apart. */
function joined(block: Block, separator: string): Uint8Array {
  const { bytes, spans, count } = block;
  const start = spans[0] as number;
  const end = spans[2 * count - 1] as number;
  if (separator.length === 1 && areNeighbours(block)) {
    const byte = separator.charCodeAt(0);
    // What lies between records belongs to nobody, so it may be overwritten.
    for (let i = 1; i < count; i++) bytes[spans[2 * i - 1] as number] = byte;
    return bytes.subarray(start, end);
  }
  let size = separator.length * (count - 1);
  for (let i = 0; i < count; i++) size += (spans[2 * i + 1] as number) - (spans[2 * i] as number);
  const out = Buffer.allocUnsafeSlow(size);
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (i > 0) at += out.write(separator, at, 'latin1');
    const record = bytes.subarray(spans[2 * i], spans[2 * i + 1]);
    out.set(record, at);
    at += record.length;
  }
  return out;
}

function areNeighbours({ bytes, spans, count }: Block): boolean {
  for (let i = 1; i < count; i++) {
    const gap = spans[2 * i - 1] as number;
    if (spans[2 * i] !== gap + 1) return false;
    const between = bytes[gap];
    if (between !== LF && between !== COMMA) return false;
  }
  return true;
}
