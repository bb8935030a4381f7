/**
 * A pass over records that come cut, on the byte kernel: elements of an array, or what an earlier step has left. They are laid out as
 * lines, each where it stood, so that a place in those lines is a place in the block; records that the kernel is not sure of go
 * through the steps as the value tier has them.
 */
import { giveBuffer } from '../kernel/buffers.ts';
import { ByteKernel, type Laps, type Turn } from '../kernel/bytes/kernel.ts';
import { SpanList } from '../kernel/spans.ts';
import { ByteWriter } from '../kernel/writer.ts';
import type { Programs } from './byte-pass.ts';
import type { Block, StepContext } from './contracts.ts';
import type { Pass, PassEvents } from './fuse.ts';

const LF = 0x0a;
const SPACE = 0x20;
/** Of the bytes from the first record to the last, such a part may be none of them: the kernel would go over a desert. */
const MOST_BETWEEN = 1 / 4;

/** Records are valid JSON: a line feed in them is white space. */
export class CutPass {
  readonly #pass: Pass;
  readonly #programs: Programs;
  readonly #laps: Laps;
  readonly #kernel = new ByteKernel();
  readonly #spans = new SpanList();
  #isTimed = false;
  /** Records of the last block that went the way of values. */
  deferred = 0;

  /** `pass`: the same steps on the value tier. Throws NoKernel. */
  constructor(programs: Programs, pass: Pass) {
    const { clock, parser, writer } = pass;
    this.#pass = pass;
    this.#programs = programs;
    this.#laps = { lap: (owner) => clock.lap(owner), whole: (owner) => clock.whole(owner), parser, writer };
  }

  /**
   * As `Pass.run`; undefined where the records stand in a way that makes no lines. Throws NoKernel, before anything was done, where
   * there is no memory for them.
   */
  run(block: Block, context: StepContext, events: PassEvents): Block | undefined {
    const size = sizeAsLines(block);
    if (size === undefined) return undefined;
    layOut(block, this.#kernel.roomFor(size));
    this.#begin(block.count);
    const at = new Cursor(block);
    let out: ByteWriter | undefined;
    let kept = 0;
    const writer = (): ByteWriter => {
      out ??= new ByteWriter(size + (size >> 3) + 64);
      return out;
    };
    const { filtered } = this.#kernel.run(size, 0, context, (turn) => {
      const count = turn.deferred.length / 3;
      this.deferred += count;
      kept += turn.count;
      // All of them leave as they came.
      if (turn.stays && turn.count === block.count) return;
      const left = count === 0 ? undefined : this.#defer(block, turn, context, events);
      let from = 0;
      for (let i = 0; i < count; i++) {
        const to = turn.deferred[3 * i + 2] as number;
        this.#copy(turn, block, from, to, at, writer());
        from = to;
        left?.(i, writer());
      }
      this.#copy(turn, block, from, turn.count, at, writer());
      left?.(count, writer());
    });
    for (const [owner, n] of filtered.entries()) if (n > 0) events.filtered(owner, n);
    if (out === undefined) return kept === block.count ? block : { ...block, ...this.#spans.take() };
    return { ...block, bytes: out.bytes.subarray(0, out.length), ...this.#spans.take() };
  }

  #begin(records: number): void {
    const { plain, timed } = this.#programs;
    const { clock } = this.#pass;
    this.deferred = 0;
    this.#isTimed = clock.due(records) && timed !== undefined;
    if (this.#isTimed && timed !== undefined) {
      this.#kernel.load(timed, this.#laps);
      clock.start();
    } else this.#kernel.load(plain);
  }

  /**
   * The deferred records of a turn through the pass of values. What is returned writes the one of that number, if it is left; behind
   * the last, it is told their number.
   */
  #defer(block: Block, turn: Turn, context: StepContext, events: PassEvents): (i: number, out: ByteWriter) => void {
    const count = turn.deferred.length / 3;
    const places = new Uint32Array(count);
    const spans = new Uint32Array(2 * count);
    const at = new Cursor(block);
    for (let i = 0; i < count; i++) {
      const place = at.of(turn.deferred[3 * i] as number);
      places[i] = place;
      spans.set(block.spans.subarray(2 * place, 2 * place + 2), 2 * i);
    }
    // Several records may have one offset, and those that are left have to be known again.
    const offsets = Float64Array.from({ length: count }, (_, i) => i);
    const { bytes, split } = block;
    const left = this.#pass.runPart(
      { bytes, spans, offsets, count, split, whole: false },
      context,
      {
        filtered: (owner) => events.filtered(owner),
        failed: (owner, index, error) => events.failed(owner, places[index] as number, error),
      },
      this.#isTimed,
    );
    const text = Buffer.from(left.bytes.buffer, left.bytes.byteOffset, left.bytes.byteLength);
    let next = 0;
    return (i, out) => {
      if (i === count) {
        if (left.bytes.buffer !== bytes.buffer) giveBuffer(left.bytes);
        return;
      }
      if (next >= left.count || left.offsets[next] !== i) return;
      this.#line(out, text, left.spans, next++, block.offsets[places[i] as number] as number);
    };
  }

  /** Copies records of a turn, a line feed behind each. */
  #copy(turn: Turn, block: Block, from: number, to: number, at: Cursor, out: ByteWriter): void {
    if (from === to) return;
    const { spans, offsets } = turn;
    if (turn.stays) {
      const { bytes } = block;
      const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let i = from; i < to; i++) {
        const place = at.of(offsets[i] as number);
        this.#line(out, text, block.spans, place, block.offsets[place] as number);
      }
      return;
    }
    const start = spans[2 * from] as number;
    const shift = out.length - start;
    const text = Buffer.from(turn.bytes.buffer, turn.bytes.byteOffset, turn.bytes.byteLength);
    out.copy(text, start, (spans[2 * to - 1] as number) + 1);
    for (let i = from; i < to; i++) {
      const offset = block.offsets[at.of(offsets[i] as number)] as number;
      this.#spans.add((spans[2 * i] as number) + shift, (spans[2 * i + 1] as number) + shift, offset);
    }
  }

  /** Writes the record that stands at `spans[i]` of `text`, and notes it. */
  #line(out: ByteWriter, text: Buffer, spans: Uint32Array, i: number, offset: number): void {
    const at = out.length;
    out.copy(text, spans[2 * i] as number, spans[2 * i + 1] as number);
    this.#spans.add(at, out.length, offset);
    out.byte(LF);
  }
}

/** Which record of a block stands at a place of its lines; places are asked for in order. */
class Cursor {
  readonly #spans: Uint32Array;
  readonly #first: number;
  readonly #last: number;
  #i = 0;

  constructor({ spans, count }: Block) {
    this.#spans = spans;
    this.#first = spans[0] as number;
    this.#last = count - 1;
  }

  of(place: number): number {
    const at = place + this.#first;
    while (this.#i < this.#last && (this.#spans[2 * this.#i + 2] as number) <= at) this.#i++;
    return this.#i;
  }
}

/** Bytes of the records as lines, from the first to the last; undefined where they are none: not in order, one at the other, far apart. */
function sizeAsLines({ bytes, spans, count }: Block): number | undefined {
  if (count === 0) return undefined;
  const first = spans[0] as number;
  let end = first - 1;
  let between = 0;
  for (let i = 0; i < count; i++) {
    const start = spans[2 * i] as number;
    const gap = start - end;
    end = spans[2 * i + 1] as number;
    // A record of nothing is a broken one, and a line of nothing is none.
    if (gap < 1 || end <= start || (bytes[start] as number) <= SPACE) return undefined;
    between += gap;
  }
  const size = end - first;
  return between > count + MOST_BETWEEN * size ? undefined : size;
}

/** The records of a block in `room`, each where it stood, line feeds between them and none within. */
function layOut({ bytes, spans, count }: Block, room: Buffer): void {
  const first = spans[0] as number;
  room.set(bytes.subarray(first, first + room.length));
  for (let p = room.indexOf(LF); p >= 0; p = room.indexOf(LF, p + 1)) room[p] = SPACE;
  for (let i = 1; i < count; i++) room.fill(LF, (spans[2 * i - 1] as number) - first, (spans[2 * i] as number) - first);
}
