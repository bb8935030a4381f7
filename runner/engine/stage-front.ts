/** The first parts of a stage where they have a form for the byte kernel: what it makes of a piece, and where that goes. */
import { takeBuffer } from '../kernel/buffers.ts';
import { NoKernel } from '../kernel/bytes/wasm.ts';
import type { BytePass, Working } from './byte-pass.ts';
import { ByteStart } from './byte-start.ts';
import type { Block, Cutter, StepContext } from './contracts.ts';
import { takeStored } from './direct-lines.ts';
import { OxiError } from './errors.ts';
import { Pass } from './fuse.ts';
import type { PassClock } from './gauge.ts';
import { Lane } from './lane.ts';
import type { Room } from './limits.ts';
import { RowPart } from './row-part.ts';
import { notLines, ownersOf, type Part } from './stage-part.ts';
import type { StageSpec } from './stage-spec.ts';
import type { StageTally } from './stage-tally.ts';

type Uncut = NonNullable<Block['uncut']>;

/** Of one piece. */
export interface FrontWork {
  tally: StageTally;
  /** Milliseconds by step, added to. */
  stepMs: number[];
  /** Told which step gets the piece next. */
  begins: ((owner: number) => void) | undefined;
  /** A record ended the run: what was read up to there counts all the same. */
  stopped(): void;
}

export interface FrontResult {
  block: Block;
  records: number;
}

export class StageFront {
  readonly #spec: StageSpec;
  readonly #parts: readonly Part[];
  readonly #rooms: readonly Room[];
  readonly #context: StepContext;
  readonly #cutter: Cutter | undefined;
  /** The first part, of lines. */
  readonly #bytes: ByteStart | undefined;
  /** The same where it parses rows of CSV, with the part behind it. */
  readonly #rows: RowPart | undefined;
  /** What leaves the stage goes there. */
  readonly #lane: Lane | undefined;
  /** Behind its first pass records are left out at most. */
  readonly #picksOnly: boolean;
  /** Where each of the lines stands in the memory of the kernel is asked for. */
  readonly #isListed: boolean;

  /** `isStrict`: the first step lets no record that fails pass. */
  constructor(
    spec: StageSpec,
    parts: readonly Part[],
    rooms: readonly Room[],
    context: StepContext,
    cutter: Cutter | undefined,
    isStrict: boolean,
  ) {
    this.#spec = spec;
    this.#parts = parts;
    this.#rooms = rooms;
    this.#context = context;
    this.#cutter = cutter;
    this.#lane = spec.lane && new Lane(spec.lane);
    this.#picksOnly = parts.slice(1).every((part) => !(part instanceof Pass) && part.step.picks === true);
    const [first, second] = parts;
    if (!spec.checked && cutter !== undefined && first !== undefined) {
      if (first instanceof Pass) this.#bytes = new ByteStart(first, context, spec.tier);
      else if (isStrict && spec.tier !== 'values')
        this.#rows = RowPart.of(first.step, second instanceof Pass ? second : undefined, context, spec.tier);
    }
    this.#isListed = this.#lane?.arrays !== undefined || parts.length > this.parts;
  }

  /** Of the stage, so many parts from the first on. */
  get parts(): number {
    return this.#rows?.parts ?? 1;
  }

  /** That of parts which have none of their own. */
  get clock(): PassClock | undefined {
    return this.#rows?.clock;
  }

  /** What comes of a piece behind those parts; undefined where its way is that of values. */
  run(piece: Block, uncut: Uncut, work: FrontWork): FrontResult | undefined {
    return this.#onBytes(piece, uncut, work) ?? this.#onRows(piece, uncut, work);
  }

  /** With its bytes. Throws OxiError INPUT_REWRITTEN. */
  read(block: Block): Block {
    const { stored, ...rest } = block;
    return stored === undefined ? block : { ...rest, bytes: takeStored(stored, this.#nameOf(block)) };
  }

  /** What stands in the memory of the kernel is written, or taken out of it. */
  leave(block: Block, turn: number | undefined): Block {
    const lane = this.#lane;
    if (lane !== undefined && turn !== undefined) {
      lane.publish(block, turn);
      const written = lane.put(block, turn);
      if (written.put !== undefined) return written;
    }
    const { byteLength } = block.bytes;
    const bytes = takeBuffer(byteLength).subarray(0, byteLength);
    bytes.set(block.bytes);
    if (!this.#isListed) return { ...block, bytes };
    return { ...notLines(block), bytes, spans: block.spans.slice(), offsets: block.offsets.slice() };
  }

  #onBytes(block: Block, { offset }: Uncut, { tally, stepMs, begins, stopped }: FrontWork): FrontResult | undefined {
    const [part] = this.#parts;
    if (this.#bytes === undefined || !(part instanceof Pass)) return undefined;
    const owners = ownersOf(part);
    // Its records come one by one, whatever the limit of a batch is; one larger than a step takes is refused on the way of values.
    const rooms = owners.map((owner) => (this.#rooms[owner] as Room).bytes);
    const pass = this.#bytes.passFor(block, Math.min(this.#cutter?.longestLine ?? 0, ...rooms));
    if (pass === undefined) return undefined;
    const started = performance.now();
    begins?.(part.ops.at(-1)?.owner ?? 0);
    let deferred = block;
    const ofPass = tally.pass(owners, () => deferred);
    let worked: ReturnType<BytePass['run']>;
    const given = (records: Block): void => {
      deferred = records;
    };
    const how = { context: this.#context, events: ofPass.events, given, asLines: this.#asLines(block) };
    try {
      worked =
        block.stored === undefined
          ? pass.run(block, offset, how)
          : pass.runStored(block, block.stored, offset, how, this.#nameOf(block));
    } catch (error) {
      if (error instanceof NoKernel) {
        this.#bytes.failed(error);
        return undefined;
      }
      if (!(error instanceof OxiError && error.code === 'INPUT_REWRITTEN')) stopped();
      throw error;
    }
    this.#bytes.worked(worked.records, pass.deferred);
    for (const [owner, n] of worked.filtered.entries()) ofPass.filter(owner, n);
    ofPass.count(worked.records);
    tally.of(0).bytes_in = worked.recordBytes;
    part.clock.share(performance.now() - started, stepMs);
    return worked;
  }

  /** The same of a piece of rows: what the parser makes of them, and the part behind it that is done with it. */
  #onRows(block: Block, { offset }: Uncut, { tally, stepMs, begins, stopped }: FrontWork): FrontResult | undefined {
    const rows = this.#rows;
    if (rows === undefined) return undefined;
    const started = performance.now();
    begins?.(rows.last);
    const worked = rows.run(block, offset, {
      context: this.#context,
      tally,
      rooms: this.#rooms,
      longest: this.#cutter?.longestRow ?? 0,
      asLines: this.#lane !== undefined && block.turn !== undefined && !this.#isListed,
      name: this.#nameOf(block),
      stopped,
    });
    if (worked !== undefined) rows.clock.share(performance.now() - started, stepMs);
    return worked;
  }

  /** What nobody but a lane, or a step that picks some of it, looks at may stay in the memory of the kernel. */
  #asLines({ turn }: Block): Working['asLines'] {
    const isLane = this.#lane !== undefined && turn !== undefined;
    if (this.#isListed) return this.#picksOnly && (isLane || this.#parts.length > 1) ? 'listed' : false;
    return isLane;
  }

  #nameOf({ split }: Block): string {
    return this.#spec.splitNames[split] ?? '';
  }
}
