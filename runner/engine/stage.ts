/**
 * A stage: neighbouring steps that run together on one pool. `StageProgram` is the work itself, the same on the main thread and
 * on a thread of the pool: a block goes in, a block and its counters come out. It knows nothing of order, threads or channels.
 */

import { BlockJoiner, bytesOf, cutBlock, joinBlocks, sliceBlock } from '../kernel/blocks.ts';
import { giveBuffer } from '../kernel/buffers.ts';
import { closeLines } from '../kernel/keep.ts';
import type { Json } from '../state/store.ts';
import { CutStart } from './byte-start.ts';
import type { Block, BlockStep, Cutter, RecordStep, Step, StepContext } from './contracts.ts';
import { fuse, Pass, type PassEvents } from './fuse.ts';
import { hasRoom, portionsOf, type Room, roomOf } from './limits.ts';
import { StageFront } from './stage-front.ts';
import { notLines, ownersOf, type Part } from './stage-part.ts';
import type { MakeSteps, StageResult, StageSpec } from './stage-spec.ts';
import { StageTally } from './stage-tally.ts';

const PASS: RecordStep = {
  form: 'record',
  cardinality: 'one',
  touches: [],
  passes: true,
  apply: () => 'keep',
  forms: { bytes: { do: 'pass' } },
};

export class StageProgram {
  readonly #spec: StageSpec;
  readonly #keepsInput: boolean;
  readonly #parts: Part[];
  /** What each step is given at a time, at most. */
  readonly #rooms: Room[];
  readonly #context: StepContext;
  readonly #sampled: readonly boolean[];
  readonly #begins: ((owner: number) => void) | undefined;
  #tally: StageTally;
  #found: StageResult['cut'];
  /** That of the parser, where the stage begins with one that can cut by itself. */
  readonly cutter: Cutter | undefined;
  /** The first parts on the byte kernel, of pieces that come uncut. */
  readonly #front: StageFront;
  /** Passes on the byte kernel, of records that come cut. */
  readonly #starts = new Map<Pass, CutStart>();
  /** The block at hand is one that the front has left to the way of values: its first part is not to try again. */
  #isLeft = false;
  #stepMs: number[] = [];

  /** `keepsInput`: somebody else still needs the blocks that come in. `begins`: told which step gets the block next. */
  constructor(spec: StageSpec, makeSteps: MakeSteps, keepsInput = false, begins?: (owner: number) => void) {
    this.#spec = spec;
    this.#keepsInput = keepsInput;
    this.#begins = begins;
    this.#tally = new StageTally(spec);
    this.#rooms = spec.steps.map(({ limits }) => roomOf(limits));
    const flat = makeSteps(spec).flatMap((made, owner): { owner: number; step: Step }[] => {
      if (spec.stream.selected && spec.steps[owner]?.byFramer === true) return [{ owner, step: PASS }];
      return isList(made) ? made.map((step) => ({ owner, step })) : [{ owner, step: made }];
    });
    this.cutter = flat[0]?.step.cutter;
    const passing = new Set(spec.steps.flatMap(({ onError }, owner) => (onError === 'pass' ? [owner] : [])));
    // What a step writes is checked: only the first part can meet records that nobody has looked at.
    this.#parts = fuse(flat, passing).map((part, i) =>
      Array.isArray(part) ? new Pass(part, { parser: part[0]?.owner ?? 0, checked: spec.checked || i > 0 }) : part,
    );
    this.#context = {
      now: spec.now,
      params: new Map(spec.params),
      env: new Map(spec.env),
      stream: spec.stream,
      splitName: '',
      offset: 0,
    };
    const { cutter } = this;
    this.#front = new StageFront(spec, this.#parts, this.#rooms, this.#context, cutter, !passing.has(0));
    for (const part of this.#parts)
      if (part instanceof Pass) this.#starts.set(part, new CutStart(part, this.#context, spec.tier));
    const clocks = this.#parts.flatMap((part) => (part instanceof Pass ? [part.clock] : []));
    if (this.#front.clock !== undefined) clocks.push(this.#front.clock);
    this.#sampled = spec.steps.map((_, owner) => clocks.some(({ shared, owners }) => shared && owners.includes(owner)));
  }

  /** Throws OxiError RECORD_INVALID or DOCUMENT_BROKEN where a record error has to stop the run. */
  async process(given: Block): Promise<StageResult> {
    const result = await this.#process(given);
    return result.block.areLines === true ? { ...result, block: this.#front.leave(result.block, given.turn) } : result;
  }

  async #process(block: Block): Promise<StageResult> {
    const started = performance.now();
    this.#begin(block.split);
    const { uncut } = block;
    const done = uncut === undefined ? undefined : this.#onKernel(block, uncut);
    this.#isLeft = uncut !== undefined && done === undefined;
    const given = done ?? (uncut === undefined ? block : this.#cut(this.#front.read(block), uncut));
    const [first] = this.#tally.counters;
    if (first !== undefined && done === undefined) first.bytes_in = bytesOf(given);
    const kept = given.bytes.buffer === block.bytes.buffer ? given : undefined;
    const result = this.#finish(await this.#through(given, done === undefined ? 0 : this.#front.parts, kept), started);
    if (this.#found !== undefined) result.cut = this.#found;
    return result;
  }

  /** What the first parts make of a piece on the byte kernel; undefined where it is nothing for that. */
  #onKernel(block: Block, uncut: NonNullable<Block['uncut']>): Block | undefined {
    const worked = this.#front.run(block, uncut, {
      tally: this.#tally,
      stepMs: this.#stepMs,
      begins: this.#begins,
      stopped: () => this.#cut(this.#front.read(block), uncut),
    });
    if (worked === undefined) return undefined;
    this.#found = { records: worked.records, broken: uncut.broken };
    if (worked.block.bytes.buffer !== block.bytes.buffer && !this.#keepsInput) giveBuffer(block.bytes);
    return worked.block;
  }

  /** The records of a block that came as one piece. */
  #cut(block: Block, { offset, broken }: NonNullable<Block['uncut']>): Block {
    const { cutter } = this;
    if (cutter === undefined) throw new Error(`"${this.#idOf(0)}" can't cut records`);
    const { split, columns } = block;
    const named = columns === undefined ? {} : { columns };
    const framed = cutter.cut({ bytes: block.bytes, offset, broken: [...broken], ...named });
    this.#found = { records: framed.count, broken: framed.broken ?? [] };
    const { bytes, spans, offsets, count } = framed;
    return { bytes, spans, offsets, count, split, whole: false, ...named };
  }

  /** Of the piece at hand, or the last one: also where `process` has failed. */
  get cut(): StageResult['cut'] {
    return this.#found;
  }

  /** The stream ends: what steps still hold comes out, and goes through the steps behind them. */
  async flush(): Promise<StageResult | undefined> {
    const started = performance.now();
    this.#begin(0);
    this.#isLeft = false;
    let joined: BlockJoiner | undefined;
    for (const [i, part] of this.#parts.entries()) {
      if (part instanceof Pass || part.step.flush === undefined) continue;
      const held = part.step.flush();
      if (held === undefined || held.count === 0) continue;
      const counters = this.#tally.of(part.owner);
      counters.added += held.count;
      counters.out += held.count;
      this.#tally.again();
      const out = await this.#through(held, i + 1);
      joined ??= new BlockJoiner(out);
      joined.add(out);
    }
    return joined === undefined ? undefined : this.#finish(joined.take(), started);
  }

  /** What its steps remember, by id. */
  snapshot(): Record<string, Json> {
    const states: Record<string, Json> = {};
    for (const part of this.#parts)
      if (!(part instanceof Pass) && part.step.snapshot !== undefined)
        states[this.#idOf(part.owner)] = part.step.snapshot();
    return states;
  }

  /** About how large its snapshot would be, in bytes. */
  get snapshotBytes(): number {
    return this.#parts.reduce((sum, part) => sum + (part instanceof Pass ? 0 : (part.step.snapshotBytes ?? 0)), 0);
  }

  restore(states: Readonly<Record<string, Json>>): void {
    for (const part of this.#parts) {
      if (part instanceof Pass) continue;
      const state = states[this.#idOf(part.owner)];
      if (state !== undefined) part.step.restore?.(state);
    }
  }

  /** Nothing that comes from here on leaves it. */
  get enough(): boolean {
    return this.#parts.some((part) => !(part instanceof Pass) && part.step.enough === true);
  }

  /** What the step at work waits for outside, where it says so. */
  get doing(): string | undefined {
    for (const part of this.#parts)
      if (!(part instanceof Pass) && part.step.doing !== undefined) return part.step.doing;
    return undefined;
  }

  /** All blocks have been worked on. Throws what a step finds wrong only now. */
  async end(): Promise<void> {
    for (const part of this.#parts) if (!(part instanceof Pass)) await part.step.end?.();
  }

  async close(): Promise<void> {
    for (const part of this.#parts) if (!(part instanceof Pass)) await part.step.close?.();
  }

  #begin(split: number): void {
    this.#tally = new StageTally(this.#spec);
    this.#found = undefined;
    this.#stepMs = this.#spec.steps.map(() => 0);
    this.#context.splitName = this.#spec.splitNames[split] ?? '';
    this.#context.splitPlace = this.#spec.splitPlaces?.[split];
  }

  #finish(block: Block, started: number): StageResult {
    const { counters, failures, letters } = this.#tally;
    const last = counters.at(-1);
    if (last !== undefined) last.bytes_out = bytesOf(block);
    return {
      block,
      counters,
      failures,
      letters,
      busyMs: performance.now() - started,
      stepMs: this.#stepMs,
      sampled: this.#sampled,
    };
  }

  /** Through the parts from `from` on; `kept`: the block that may still be needed outside. */
  async #through(block: Block, from: number, kept?: Block): Promise<Block> {
    let current = block;
    let at = performance.now();
    for (const part of this.#parts.slice(from)) {
      this.#begins?.(part instanceof Pass ? (part.ops.at(-1)?.owner ?? 0) : part.owner);
      const next = await this.#within(part, current);
      if (next.bytes.buffer !== current.bytes.buffer && (current !== kept || !this.#keepsInput))
        giveBuffer(current.bytes);
      current = next;
      const now = performance.now();
      if (part instanceof Pass) part.clock.share(now - at, this.#stepMs);
      else this.#stepMs[part.owner] = (this.#stepMs[part.owner] ?? 0) + now - at;
      at = now;
    }
    return current;
  }

  /** What comes of a block in one part, in as many portions as the limits of its steps ask for. */
  async #within(part: Part, given: Block): Promise<Block> {
    const work = (one: Block): Block | Promise<Block> =>
      part instanceof Pass ? this.#pass(part, one) : this.#step(part, one);
    const owners = ownersOf(part);
    const rooms = owners.map((owner) => this.#rooms[owner] as Room);
    if (rooms.every((room) => hasRoom(room, given))) return await work(given);
    const block = notLines(given);
    const room: Room = {
      records: Math.min(...rooms.map(({ records }) => records)),
      bytes: Math.min(...rooms.map(({ bytes }) => bytes)),
    };
    const outs: Block[] = [];
    const portions = this.#tally.portions(owners);
    for (const { from, to, tooLarge } of portionsOf(block, room))
      await portions.part(async () => {
        if (tooLarge) {
          if (this.#tally.refuseLarge(owners, this.#rooms, block, from)) outs.push(cutBlock(block, from, to));
          return;
        }
        const portion = cutBlock(block, from, to);
        const out = await work(portion);
        if (out.bytes.buffer !== portion.bytes.buffer) giveBuffer(portion.bytes);
        outs.push(out);
      });
    portions.end();
    const [first, ...others] = outs;
    return first === undefined ? cutBlock(block, 0, 0) : joinBlocks([first, ...others]);
  }

  #pass(pass: Pass, block: Block): Block {
    const tally = this.#tally.pass(ownersOf(pass), () => block);
    const out = this.#onCut(pass, block, tally.events) ?? pass.run(block, this.#context, tally.events);
    tally.count(block.count);
    return out;
  }

  /** What the byte kernel makes of records that come cut; undefined where it leaves them alone. */
  #onCut(pass: Pass, block: Block, events: PassEvents): Block | undefined {
    if (this.#isLeft && pass === this.#parts[0]) return undefined;
    const start = this.#starts.get(pass);
    const cut = start?.passFor(block, Number.POSITIVE_INFINITY);
    if (start === undefined || cut === undefined) return undefined;
    try {
      const out = cut.run(block, this.#context, events);
      if (out !== undefined) start.worked(block.count, cut.deferred);
      return out;
    } catch (error) {
      start.failed(error);
      return undefined;
    }
  }

  async #step(part: { owner: number; step: BlockStep }, block: Block): Promise<Block> {
    if (this.#spec.steps[part.owner]?.onError === 'pass') return this.#stepPassing(part, notLines(block));
    let failed = 0;
    const out = await part.step.process(block, this.#context, (index, error) => {
      failed++;
      this.#tally.fail(part.owner, block, index, error);
    });
    this.#tally.step(part.owner, part.step, block.count, failed, out.count);
    return out.areLines === true && out.count < block.count ? closeLines(out) : out;
  }

  /** A record that fails leaves as it came in, at its place: each one is worked on alone. */
  async #stepPassing({ owner, step }: { owner: number; step: BlockStep }, block: Block): Promise<Block> {
    const counters = this.#tally.of(owner);
    const joined = new BlockJoiner(block);
    for (let i = 0; i < block.count; i++) {
      const one = sliceBlock(block, i, i + 1);
      let failed = false;
      const out = await step.process(one, this.#context, (_index, error) => {
        failed = true;
        this.#tally.fail(owner, block, i, error);
      });
      if (failed) {
        counters.in++;
        counters.out++;
        joined.add(one);
      } else {
        this.#tally.step(owner, step, 1, 0, out.count);
        joined.add(out);
      }
    }
    return joined.take();
  }

  #idOf(owner: number): string {
    return this.#spec.steps[owner]?.id ?? '';
  }
}

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}
