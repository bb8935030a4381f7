/**
 * A stage: neighbouring steps that run together on one pool. `StageProgram` is the work itself, the same on the main thread and
 * on a thread of the pool: a block goes in, a block and its counters come out. It knows nothing of order, threads or channels.
 */

import { giveBuffer } from '../kernel/buffers.ts';
import { cutBlock, joinBlocks } from './blocks.ts';
import type { Block, BlockStep, ProcessingLimits, RecordStep, Step, StepContext, StreamInfo } from './contracts.ts';
import { RecordError } from './contracts.ts';
import { addCounters, noCounters, type StepCounters } from './counters.ts';
import { OxiError } from './errors.ts';
import { fuse, type Op, Pass, type PassEvents } from './fuse.ts';
import { hasRoom, portionsOf, type Room, roomOf, sizeOf } from './limits.ts';

/** A step of a stage, as it crosses to a thread: plain data. */
export interface StageStepSpec {
  id: string;
  oxi: string;
  /** The oxi's checked configuration. */
  config: unknown;
  onError: 'stop' | 'drop';
  /** What it is given at a time, at most. */
  limits?: ProcessingLimits;
  /** Where the stream is `selected`, the framer has done its work already. */
  byFramer?: true;
}

/** Everything that a thread needs to do the work of a stage. */
export interface StageSpec {
  steps: StageStepSpec[];
  projectRoot: string;
  stream: StreamInfo;
  splitNames: string[];
  /** Start of the run, milliseconds since the epoch. */
  now: number;
  params: [string, unknown][];
  env: [string, string][];
}

/** A record error that did not stop the run, for the log: how many there were is in the counters. */
export interface Failure {
  step: string;
  message: string;
}

export interface StageResult {
  block: Block;
  /** What this block added to each step. */
  counters: StepCounters[];
  /** The first few only. */
  failures: Failure[];
  busyMs: number;
}

const KEPT_FAILURES = 3;

const PASS: RecordStep = { form: 'record', cardinality: 'one', touches: [], apply: () => 'keep' };

/** Makes the steps of a stage; the registry lies outside the engine. */
export type MakeSteps = (spec: StageSpec) => (Step | readonly RecordStep[])[];

type Part = Pass | { owner: number; step: BlockStep };

/** Places of the steps that a part belongs to, in order. */
function ownersOf(part: Part): number[] {
  return part instanceof Pass ? [...new Set(part.ops.map((op: Op) => op.owner))] : [part.owner];
}

export class StageProgram {
  readonly #spec: StageSpec;
  readonly #keepsInput: boolean;
  readonly #parts: Part[];
  /** What each step is given at a time, at most. */
  readonly #rooms: Room[];
  readonly #context: StepContext;
  readonly #begins: ((owner: number) => void) | undefined;
  #counters: StepCounters[] = [];
  #failures: Failure[] = [];
  #seen: boolean[] = [];

  /** `keepsInput`: somebody else still needs the blocks that come in. `begins`: told which step gets the block next. */
  constructor(spec: StageSpec, makeSteps: MakeSteps, keepsInput = false, begins?: (owner: number) => void) {
    this.#spec = spec;
    this.#begins = begins;
    this.#rooms = spec.steps.map(({ limits }) => roomOf(limits));
    this.#keepsInput = keepsInput;
    const flat = makeSteps(spec).flatMap((made, owner): { owner: number; step: Step }[] => {
      if (spec.stream.selected && spec.steps[owner]?.byFramer === true) return [{ owner, step: PASS }];
      return isList(made) ? made.map((step) => ({ owner, step })) : [{ owner, step: made }];
    });
    this.#parts = fuse(flat).map((part) => (Array.isArray(part) ? new Pass(part, part[0]?.owner ?? 0) : part));
    this.#context = {
      now: spec.now,
      params: new Map(spec.params),
      env: new Map(spec.env),
      stream: spec.stream,
      splitName: '',
      offset: 0,
    };
  }

  /** Throws OxiError RECORD_INVALID or DOCUMENT_BROKEN where a record error has to stop the run. */
  async process(block: Block): Promise<StageResult> {
    const started = performance.now();
    this.#counters = this.#spec.steps.map(noCounters);
    this.#failures = [];
    this.#seen = [];
    this.#context.splitName = this.#spec.splitNames[block.split] ?? '';
    const first = this.#counters[0];
    if (first !== undefined) first.bytes_in = bytesOf(block);
    let current = block;
    for (const part of this.#parts) {
      this.#begins?.(part instanceof Pass ? (part.ops.at(-1)?.owner ?? 0) : part.owner);
      const next = await this.#within(part, current);
      if (next.bytes.buffer !== current.bytes.buffer && (current !== block || !this.#keepsInput))
        giveBuffer(current.bytes);
      current = next;
    }
    const last = this.#counters.at(-1);
    if (last !== undefined) last.bytes_out = bytesOf(current);
    return { block: current, counters: this.#counters, failures: this.#failures, busyMs: performance.now() - started };
  }

  /** What comes of a block in one part, in as many portions as the limits of its steps ask for. */
  async #within(part: Part, block: Block): Promise<Block> {
    const work = (one: Block): Block | Promise<Block> =>
      part instanceof Pass ? this.#pass(part, one) : this.#step(part, one);
    const owners = ownersOf(part);
    const rooms = owners.map((owner) => this.#rooms[owner] as Room);
    if (rooms.every((room) => hasRoom(room, block))) return await work(block);
    const room: Room = {
      records: Math.min(...rooms.map(({ records }) => records)),
      bytes: Math.min(...rooms.map(({ bytes }) => bytes)),
    };
    const total = this.#counters;
    const seen = this.#seen;
    for (const owner of owners) this.#of(owner).out = 0;
    const outs: Block[] = [];
    for (const { from, to, tooLarge } of portionsOf(block, room)) {
      // Each portion is counted as a block of its own.
      this.#counters = this.#spec.steps.map(noCounters);
      this.#seen = [...seen];
      if (tooLarge) this.#refuseLarge(owners, block, from);
      else {
        const portion = cutBlock(block, from, to);
        const out = await work(portion);
        if (out.bytes.buffer !== portion.bytes.buffer) giveBuffer(portion.bytes);
        outs.push(out);
      }
      addAll(total, this.#counters);
    }
    this.#counters = total;
    this.#seen = [...seen];
    for (const owner of owners) this.#seen[owner] = true;
    const [first, ...others] = outs;
    return first === undefined ? cutBlock(block, 0, 0) : joinBlocks([first, ...others]);
  }

  /** A record larger than one of these steps takes: the first such step refuses it, those before it let it pass. */
  #refuseLarge(owners: readonly number[], block: Block, index: number): void {
    const size = sizeOf(block.spans, index);
    for (const owner of owners) {
      const counters = this.#of(owner);
      if (!this.#seen[owner]) counters.in++;
      const { bytes } = this.#rooms[owner] as Room;
      if (size > bytes) {
        const text = `it has ${size} bytes, and the step takes ${bytes} at most (max_memory_mb)`;
        this.#fail(owner, block, index, new RecordError(text, undefined, 'TOO_LARGE'));
        return;
      }
      counters.out++;
    }
  }

  #pass(pass: Pass, block: Block): Block {
    const lost = this.#spec.steps.map(() => 0);
    const events: PassEvents = {
      filtered: (owner) => {
        this.#of(owner).filtered++;
        lost[owner] = (lost[owner] ?? 0) + 1;
      },
      failed: (owner, index, error) => {
        this.#fail(owner, block, index, error);
        lost[owner] = (lost[owner] ?? 0) + 1;
      },
    };
    const out = pass.run(block, this.#context, events);
    let n = block.count;
    for (const owner of new Set(pass.ops.map((op: Op) => op.owner))) {
      const counters = this.#of(owner);
      if (!this.#seen[owner]) counters.in = n;
      this.#seen[owner] = true;
      n -= lost[owner] ?? 0;
      counters.out = n;
    }
    return out;
  }

  async #step(part: { owner: number; step: BlockStep }, block: Block): Promise<Block> {
    const counters = this.#of(part.owner);
    let failed = 0;
    const out = await part.step.process(block, this.#context, (index, error) => {
      failed++;
      this.#fail(part.owner, block, index, error);
    });
    counters.in = block.count;
    counters.out = out.count;
    const arrived = block.count - failed;
    if (part.step.cardinality === 'many' || part.step.cardinality === 'collect') {
      counters.collected = arrived;
      counters.added = out.count;
    } else counters.filtered = arrived - out.count;
    return out;
  }

  #of(owner: number): StepCounters {
    return this.#counters[owner] as StepCounters;
  }

  #fail(owner: number, block: Block, index: number, error: RecordError): void {
    const step = this.#spec.steps[owner] as StageStepSpec;
    const split = this.#spec.splitNames[block.split] ?? '';
    const record = block.offsets[index] as number;
    const offset = record + (error.at ?? 0);
    const message = `${split}: record at byte ${record}: step "${step.id}": ${error.message}${error.at === undefined ? '' : ` (byte ${offset})`}`;
    const place = { step: step.id, file: split, offset };
    if (owner === 0 && error.at !== undefined && this.#spec.stream.framing !== 'lines')
      throw new OxiError('DOCUMENT_BROKEN', `${split}: byte ${offset}: ${error.message}`, { place, cause: error });
    if (step.onError === 'stop')
      throw new OxiError('RECORD_INVALID', `${message}. Set "on_error: drop" on the step to leave such records out`, {
        place,
        cause: error,
      });
    this.#of(owner).dropped++;
    if (this.#failures.length < KEPT_FAILURES) this.#failures.push({ step: step.id, message });
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
}

export function addAll(into: readonly StepCounters[], delta: readonly StepCounters[]): void {
  into.forEach((counters, i) => {
    const d = delta[i];
    if (d !== undefined) addCounters(counters, d);
  });
}

/** Bytes of the records alone: what lies between them depends on where blocks were cut. */
function bytesOf({ spans, count }: Block): number {
  let bytes = 0;
  for (let i = 0; i < 2 * count; i += 2) bytes += (spans[i + 1] as number) - (spans[i] as number);
  return bytes;
}

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}
