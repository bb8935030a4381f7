/**
 * A pass over records that come cut, on the byte kernel: elements of an array, or what an earlier step has left. They are laid out as
 * lines, and what the kernel says of a place in those is said of the record that stands there; records that it is not sure of go
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
/** So many bytes between records, and a part of all: beyond that they are copied one by one, for the kernel to find no desert. */
const BETWEEN_EACH = 4;
const MOST_BETWEEN = 1 / 8;

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
    // Of a block that ended a run.
    this.#spans.count = 0;
    const lines = linesOf(block);
    if (lines === undefined) return undefined;
    const { size, starts } = lines;
    layOut(block, lines, this.#kernel.roomFor(size));
    this.#begin(block.count);
    const at = new Cursor(starts);
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
      const left = count === 0 ? undefined : this.#defer(block, turn, new Cursor(starts), context, events);
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
  #defer(
    block: Block,
    turn: Turn,
    at: Cursor,
    context: StepContext,
    events: PassEvents,
  ): (i: number, out: ByteWriter) => void {
    const count = turn.deferred.length / 3;
    const places = new Uint32Array(count);
    const spans = new Uint32Array(2 * count);
    for (let i = 0; i < count; i++) {
      const place = at.of(turn.deferred[3 * i] as number);
      places[i] = place;
      spans.set(block.spans.subarray(2 * place, 2 * place + 2), 2 * i);
    }
    // Several records may have one offset, and those that are left have to be known again. No step that has a form for the kernel
    // looks at the offset of a record (expressions with `meta` have none).
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

/** Which record begins at, or before, a place in the lines; places are asked for in order. */
class Cursor {
  readonly #starts: Uint32Array;
  #i = 0;

  constructor(starts: Uint32Array) {
    this.#starts = starts;
  }

  of(place: number): number {
    const last = this.#starts.length - 1;
    while (this.#i < last && (this.#starts[this.#i + 1] as number) <= place) this.#i++;
    return this.#i;
  }
}

/** Records as lines. */
interface Lines {
  size: number;
  /** Where each begins. */
  starts: Uint32Array;
  /** They stand as they do in the block. */
  inPlace: boolean;
}

/** Undefined where one of them would be no line. */
function linesOf({ bytes, spans, count }: Block): Lines | undefined {
  if (count === 0) return undefined;
  const first = spans[0] as number;
  const starts = new Uint32Array(count);
  let between = 0;
  let inPlace = true;
  let behind = first - 1;
  let size = count - 1;
  for (let i = 0; i < count; i++) {
    const start = spans[2 * i] as number;
    const end = spans[2 * i + 1] as number;
    // A record of nothing is a broken one, and a line of nothing is none.
    if (end <= start || (bytes[start] as number) <= SPACE) return undefined;
    starts[i] = start - first;
    if (start <= behind) inPlace = false;
    between += start - behind;
    behind = end;
    size += end - start;
  }
  if (inPlace && between <= BETWEEN_EACH * count + MOST_BETWEEN * size)
    return { size: behind - first, starts, inPlace };
  for (let i = 0, at = 0; i < count; i++) {
    starts[i] = at;
    at += (spans[2 * i + 1] as number) - (spans[2 * i] as number) + 1;
  }
  return { size, starts, inPlace: false };
}

/** Puts the records into `room`, line feeds between them and none within. */
function layOut({ bytes, spans, count }: Block, { starts, inPlace }: Lines, room: Buffer): void {
  if (inPlace) {
    const first = spans[0] as number;
    room.set(bytes.subarray(first, first + room.length));
  } else for (let i = 0; i < count; i++) room.set(bytes.subarray(spans[2 * i], spans[2 * i + 1]), starts[i] as number);
  for (let p = room.indexOf(LF); p >= 0; p = room.indexOf(LF, p + 1)) room[p] = SPACE;
  for (let i = 1; i < count; i++) {
    const before = (starts[i - 1] as number) + (spans[2 * i - 1] as number) - (spans[2 * i - 2] as number);
    room.fill(LF, before, starts[i] as number);
  }
}
