/**
 * A pass of the first stage on the byte kernel: pieces of whole lines come uncut, and records that the kernel is not sure of go
 * through the steps as the value tier has them, at their places.
 */
import { giveBuffer, takeBuffer } from '../kernel/buffers.ts';
import { ByteKernel, type Laps, type Totals, type Turn } from '../kernel/bytes/kernel.ts';
import { checkSteps, compileSteps, type OwnedForms, type Program } from '../kernel/bytes/program.ts';
import { Unfit } from '../kernel/bytes/unfit.ts';
import type { World } from '../kernel/bytes/world.ts';
import { SpanList } from '../kernel/spans.ts';
import { ByteWriter } from '../kernel/writer.ts';
import type { Block, StepContext } from './contracts.ts';
import { readStored } from './direct-lines.ts';
import type { Op, Pass, PassEvents } from './fuse.ts';

const LF = 0x0a;
/** A record has about 2^8 bytes. */
const USUAL_SHIFT = 8;

/** Why steps have no program, as a clause; `owner`: which of them is to blame, where it is one. */
export interface NoProgram {
  why: string;
  owner: number | undefined;
}

/** The programs of these steps: to work with, and to time each of them, where that fits too. */
export interface Programs {
  plain: Program;
  timed: Program | undefined;
}

/** `byScripts`: expressions run as scripts, also where they have operations. */
export function programsOf(ops: readonly Op[], world: World, byScripts: boolean): Programs | NoProgram {
  return withForms(ops, (forms) => {
    const plain = compileSteps(forms, world, { byScripts });
    try {
      return { plain, timed: compileSteps(forms, world, { byScripts, isTimed: true }) };
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      return { plain, timed: undefined };
    }
  });
}

/** Why these steps have no program in such a world, or in any; undefined where they have. */
export function noProgram(ops: readonly Op[], world?: World): NoProgram | undefined {
  return withForms(ops, (forms) => {
    checkSteps(forms, world);
    return undefined;
  });
}

function withForms<T>(ops: readonly Op[], work: (forms: OwnedForms) => T): T | NoProgram {
  const forms: OwnedForms[number][] = [];
  for (const { owner, step } of ops) {
    const form = step.forms?.bytes;
    if (form === undefined) return { why: step.forms?.why ?? 'it has no form for bytes', owner };
    forms.push({ owner, form });
  }
  try {
    return work(forms);
  } catch (error) {
    if (!(error instanceof Unfit)) throw error;
    return { why: error.message, owner: error.owner };
  }
}

export interface Worked extends Totals {
  block: Block;
}

export interface Working {
  context: StepContext;
  events: PassEvents;
  /** Told of every block of deferred records. */
  given(block: Block): void;
  /** Of what comes of a piece nothing is asked but its lines; or where each of them stands, as well. */
  asLines: boolean | 'listed';
}

const NOTHING = { spans: new Uint32Array(), offsets: new Float64Array() };

export class BytePass {
  readonly #pass: Pass;
  readonly #programs: Programs;
  readonly #laps: Laps;
  readonly #kernel = new ByteKernel();
  readonly #spans = new SpanList();
  #isTimed = false;
  /** Records of the last piece that went the way of values. */
  deferred = 0;

  /** `pass`: the same steps on the value tier. Throws NoKernel. */
  constructor(programs: Programs, pass: Pass) {
    const { clock, parser, writer } = pass;
    this.#pass = pass;
    this.#programs = programs;
    this.#laps = { lap: (owner) => clock.lap(owner), whole: (owner) => clock.whole(owner), parser, writer };
  }

  /**
   * The records of `piece`, whose lines begin at `offset`. Events are of deferred records; `failed` is given their places in the
   * block that `given` was called with before. What comes of it may be left in the memory of the kernel, as lines, until the next
   * piece comes (`asLines`). Throws NoKernel, before anything was done, where there is no memory for the piece.
   */
  run(piece: Block, offset: number, how: Working): Worked {
    this.#kernel.roomFor(piece.bytes.byteLength).set(piece.bytes);
    return this.#work(piece, offset, how);
  }

  /** The same of a piece that is still to be read, which goes straight into the memory of the kernel. */
  runStored(piece: Block, stored: NonNullable<Block['stored']>, offset: number, how: Working, name: string): Worked {
    const { stored: _, ...rest } = piece;
    const room = this.#kernel.roomFor(stored.size);
    readStored(stored, room, name);
    const worked = this.#work({ ...rest, bytes: room }, offset, how);
    const { block } = worked;
    if (block.areLines === true || block.bytes.buffer !== room.buffer) return worked;
    // All records are as they came, with more between them than line feeds.
    const bytes = takeBuffer(room.byteLength);
    bytes.set(room);
    return { ...worked, block: { ...block, bytes: bytes.subarray(0, room.byteLength) } };
  }

  #work(piece: Block, offset: number, { context, events, given, asLines }: Working): Worked {
    const { bytes, split, columns } = piece;
    this.#begin(bytes.byteLength);
    let lines: Block | undefined;
    let out: ByteWriter | undefined;
    let isSame = false;
    const writer = (): ByteWriter => {
      out ??= new ByteWriter(bytes.byteLength + 64);
      return out;
    };
    const totals = this.#kernel.run(bytes.byteLength, offset, context, (turn) => {
      if (asLines !== false && turn.lines !== undefined) {
        const { spans, offsets, count } = turn;
        const listed = asLines === 'listed' ? { spans, offsets } : NOTHING;
        lines = { ...listed, bytes: turn.lines, count, split, areLines: true };
        return;
      }
      const count = turn.deferred.length / 3;
      this.deferred += count;
      // As long as every record leaves as it came, the piece itself goes on.
      if (turn.stays && count === 0 && (isSame || this.#spans.count === 0)) {
        isSame = true;
        this.#note(turn, 0, turn.count, 0);
        return;
      }
      if (isSame) this.#write(piece, writer());
      isSame = false;
      const left = count === 0 ? undefined : this.#defer(piece, offset, turn, context, events, given);
      let from = 0;
      for (let i = 0; i < count; i++) {
        const to = turn.deferred[3 * i + 2] as number;
        this.#copy(turn, bytes, from, to, writer());
        from = to;
        left?.(offset + (turn.deferred[3 * i] as number), writer());
      }
      this.#copy(turn, bytes, from, turn.count, writer());
    });
    if (lines !== undefined) return { block: lines, ...totals };
    const text = isSame ? bytes : writer().bytes.subarray(0, writer().length);
    const named = columns === undefined ? {} : { columns };
    return { block: { bytes: text, ...this.#spans.take(), split, whole: false, ...named }, ...totals };
  }

  /** Of a piece: whether each step is timed, as it is of some blocks on the value tier. */
  #begin(size: number): void {
    const { plain, timed } = this.#programs;
    const { clock } = this.#pass;
    // Of a piece in which a record ended the run.
    this.#spans.count = 0;
    this.deferred = 0;
    this.#isTimed = clock.due(size >> USUAL_SHIFT) && timed !== undefined;
    if (this.#isTimed && timed !== undefined) {
      this.#kernel.load(timed, this.#laps);
      clock.start();
    } else this.#kernel.load(plain);
  }

  /** The deferred records of a turn through the pass of values; what is returned writes the one at an offset, if it is left. */
  #defer(
    piece: Block,
    base: number,
    turn: Turn,
    context: StepContext,
    events: PassEvents,
    given: (block: Block) => void,
  ): (offset: number, out: ByteWriter) => void {
    const count = turn.deferred.length / 3;
    const spans = new Uint32Array(2 * count);
    const offsets = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      spans[2 * i] = turn.deferred[3 * i] as number;
      spans[2 * i + 1] = turn.deferred[3 * i + 1] as number;
      offsets[i] = base + (spans[2 * i] as number);
    }
    const { bytes, split } = piece;
    const block: Block = { bytes, spans, offsets, count, split, whole: false };
    given(block);
    const left = this.#pass.runPart(block, context, events, this.#isTimed);
    const text = Buffer.from(left.bytes.buffer, left.bytes.byteOffset, left.bytes.byteLength);
    const isOwn = left.bytes.buffer !== bytes.buffer;
    let next = 0;
    if (isOwn && left.count === 0) giveBuffer(left.bytes);
    return (offset, out) => {
      if (next >= left.count || left.offsets[next] !== offset) return;
      this.#line(out, text, left.spans[2 * next] as number, left.spans[2 * next + 1] as number, offset);
      if (++next === left.count && isOwn) giveBuffer(left.bytes);
    };
  }

  /** Records of a turn, which begin `shift` behind where they stand there. */
  #note({ spans, offsets }: Turn, from: number, to: number, shift: number): void {
    for (let i = from; i < to; i++)
      this.#spans.add((spans[2 * i] as number) + shift, (spans[2 * i + 1] as number) + shift, offsets[i] as number);
  }

  /** Copies records of a turn, a line feed behind each. */
  #copy(turn: Turn, input: Uint8Array, from: number, to: number, out: ByteWriter): void {
    if (from === to) return;
    const { spans } = turn;
    if (turn.stays) {
      const source = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
      for (let i = from; i < to; i++)
        this.#line(out, source, spans[2 * i] as number, spans[2 * i + 1] as number, turn.offsets[i] as number);
      return;
    }
    const start = spans[2 * from] as number;
    const shift = out.length - start;
    const text = Buffer.from(turn.bytes.buffer, turn.bytes.byteOffset, turn.bytes.byteLength);
    out.copy(text, start, (spans[2 * to - 1] as number) + 1);
    this.#note(turn, from, to, shift);
  }

  /** What was noted so far stands in the piece: it is written first. */
  #write(piece: Block, out: ByteWriter): void {
    const { spans, offsets, count } = this.#spans.take();
    const source = Buffer.from(piece.bytes.buffer, piece.bytes.byteOffset, piece.bytes.byteLength);
    for (let i = 0; i < count; i++)
      this.#line(out, source, spans[2 * i] as number, spans[2 * i + 1] as number, offsets[i] as number);
  }

  /** Writes the record `source[start, end)`, and notes it. */
  #line(out: ByteWriter, source: Buffer, start: number, end: number, offset: number): void {
    const at = out.length;
    out.copy(source, start, end);
    this.#spans.add(at, out.length, offset);
    out.byte(LF);
  }
}
