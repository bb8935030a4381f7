/**
 * Rows of CSV on the byte kernel: pieces of whole rows come uncut, and become records on which a program works at once. Rows that the
 * kernel is not sure of go through the parser, and the steps behind it, as the value tier has them; they leave at their places.
 */
import { giveBuffer } from '../kernel/buffers.ts';
import type { RowForm } from '../kernel/bytes/forms.ts';
import { ByteKernel, type Laps, type Totals, type Turn } from '../kernel/bytes/kernel.ts';
import { type RowImage, rowImage } from '../kernel/bytes/rows.ts';
import { sameNames } from '../kernel/csv-json.ts';
import { SpanList } from '../kernel/spans.ts';
import { ByteWriter } from '../kernel/writer.ts';
import type { Programs } from './byte-pass.ts';
import type { Block, BlockStep, RecordError, StepContext } from './contracts.ts';
import { readStored } from './direct-lines.ts';
import type { Pass, PassEvents } from './fuse.ts';
import type { PassClock } from './gauge.ts';

const LF = 0x0a;
/** A row has about 2^7 bytes. */
const USUAL_SHIFT = 7;
/** A piece may come to so much more than those before it. */
const SPARE = 1.05;

/** The parser, and the steps behind it that the kernel does too. */
export interface RowSteps {
  form: RowForm;
  parser: BlockStep;
  pass: Pass | undefined;
  /** Of `pass`, or of no steps. */
  programs: Programs;
  clock: PassClock;
  /** Places of the parser and of the step that writes. */
  owners: { parser: number; writer: number };
}

/** What becomes of rows that the kernel has deferred. */
export interface RowEvents {
  /** The parser refuses row `index` of `rows`. */
  refused(rows: Block, index: number, error: RecordError): void;
  /** These go into the steps behind it, whose events are told next. */
  given(records: Block): PassEvents;
}

export interface WorkingRows {
  context: StepContext;
  events: RowEvents;
  /** Of what comes of a piece nothing is asked but its lines: it may be left in the memory of the kernel until the next piece comes. */
  asLines: boolean;
  /** Of the file, for errors. */
  name: string;
}

const NOTHING = { bytes: new Uint8Array(), spans: new Uint32Array(), offsets: new Float64Array() };

export interface WorkedRows extends Totals {
  block: Block;
  deferred: number;
}

export class RowPass {
  readonly #steps: RowSteps;
  readonly #laps: Laps;
  readonly #kernel = new ByteKernel();
  readonly #spans = new SpanList();
  #columns: readonly string[] | undefined;
  #image: RowImage | undefined;
  /** Bytes that come of one, as far as is known. */
  #growth = 1.5;

  /** Throws NoKernel. */
  constructor(steps: RowSteps) {
    const { clock, owners } = steps;
    this.#steps = steps;
    this.#laps = { lap: (owner) => clock.lap(owner), whole: (owner) => clock.whole(owner), ...owners };
  }

  /** It can work on rows with these columns. */
  takes(columns: readonly string[]): boolean {
    if (this.#columns === undefined || !sameNames(this.#columns, columns)) {
      const { form, programs } = this.#steps;
      this.#columns = columns;
      this.#image = rowImage(form, columns, programs.plain.members);
    }
    return this.#image !== undefined;
  }

  /** Bytes that a record of a row has more than that, at most, where each byte of the row needs one. */
  get keysBytes(): number {
    return (this.#image?.keysSize ?? 0) + 8 * (this.#image?.count ?? 0);
  }

  /**
   * The records of a piece, whose rows begin at `offset` and which it takes; one that is still to be read goes straight into the
   * memory of the kernel. Throws NoKernel, before anything was done, where there is no memory for it.
   */
  run({ stored, ...given }: Block, offset: number, { context, events, asLines, name }: WorkingRows): WorkedRows {
    const { split } = given;
    const size = stored?.size ?? given.bytes.byteLength;
    this.#begin(size);
    const room = this.#kernel.roomFor(size);
    if (stored === undefined) room.set(given.bytes);
    else readStored(stored, room, name);
    const piece = stored === undefined ? given : { ...given, bytes: room };
    let out: ByteWriter | undefined;
    let lines: Pick<Block, 'bytes' | 'count'> | undefined;
    const rows = new SpanList();
    const totals = this.#kernel.run(size, offset, context, (turn) => {
      if (asLines && turn.lines !== undefined) {
        lines = { bytes: turn.lines, count: turn.count };
        return;
      }
      out ??= new ByteWriter(Math.ceil(size * this.#growth) + 1024);
      this.#copy(turn, out);
      const { deferred } = turn;
      for (let i = 0; i < deferred.length; i += 3)
        rows.add(deferred[i] as number, deferred[i + 1] as number, offset + (deferred[i] as number));
    });
    if (lines !== undefined) return { ...totals, block: { ...NOTHING, ...lines, split, areLines: true }, deferred: 0 };
    const written = out?.length ?? 0;
    this.#growth = Math.max(this.#growth, (written / Math.max(size, 1 << 16)) * SPARE);
    const bytes = out?.bytes.subarray(0, written) ?? NOTHING.bytes;
    const own: Block = { bytes, ...this.#spans.take(), split, whole: false };
    const deferred = rows.count;
    if (deferred === 0) return { ...totals, block: own, deferred };
    const left = this.#onValues({ ...piece, ...rows.take(), whole: false }, context, events);
    const block = merged(own, left, this.#spans);
    giveBuffer(own.bytes);
    giveBuffer(left.bytes);
    return { ...totals, block, deferred };
  }

  #begin(size: number): void {
    const { programs, clock } = this.#steps;
    const { plain, timed } = programs;
    if (clock.due(size >> USUAL_SHIFT) && timed !== undefined) {
      this.#kernel.load(timed, this.#laps);
      clock.start();
    } else this.#kernel.load(plain);
    if (this.#image !== undefined) this.#kernel.loadRows(this.#image);
  }

  #copy({ bytes, spans, offsets, count }: Turn, out: ByteWriter): void {
    const shift = out.length;
    out.copy(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength);
    for (let i = 0; i < count; i++)
      this.#spans.add((spans[2 * i] as number) + shift, (spans[2 * i + 1] as number) + shift, offsets[i] as number);
  }

  /** All of them through the parser, and then what is left through the steps behind it. */
  #onValues({ uncut: _, ...rows }: Block, context: StepContext, events: RowEvents): Block {
    const { parser, pass } = this.#steps;
    const records = parser.process(rows, context, (index, error) => events.refused(rows, index, error));
    if (records instanceof Promise) throw new Error('a parser of rows has to work at once');
    if (pass === undefined) return records;
    const left = pass.runPart(records, context, events.given(records), false);
    if (left.bytes.buffer !== records.bytes.buffer) giveBuffer(records.bytes);
    return left;
  }
}

/** The records of both, in the order of their offsets; each has a byte behind it that is a line feed. */
function merged(a: Block, b: Block, list: SpanList): Block {
  const out = new ByteWriter(a.bytes.byteLength + b.bytes.byteLength + 64);
  const add = (block: Block, from: number, to: number): void => {
    const { bytes, spans, offsets } = block;
    const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = from; i < to; i++) {
      const at = out.length;
      out.copy(source, spans[2 * i] as number, spans[2 * i + 1] as number);
      list.add(at, out.length, offsets[i] as number);
      out.byte(LF);
    }
  };
  let next = 0;
  for (let i = 0; i < b.count; i++) {
    const from = next;
    while (next < a.count && (a.offsets[next] as number) < (b.offsets[i] as number)) next++;
    add(a, from, next);
    add(b, i, i + 1);
  }
  add(a, next, a.count);
  return { ...a, bytes: out.bytes.subarray(0, out.length), ...list.take() };
}
