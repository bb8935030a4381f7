/** The parser of CSV at the beginning of a stage on the byte kernel, with the steps behind it that have a program. */
import { NoKernel } from '../kernel/bytes/wasm.ts';
import type { World } from '../kernel/bytes/world.ts';
import { type Programs, programsOf } from './byte-pass.ts';
import { RowStart } from './byte-start.ts';
import type { Block, BlockStep, StepContext, Tier } from './contracts.ts';
import { OxiError } from './errors.ts';
import type { Pass } from './fuse.ts';
import { PassClock } from './gauge.ts';
import type { Room } from './limits.ts';
import { type RowEvents, RowPass, type WorkedRows } from './row-pass.ts';
import type { StageTally } from './stage-tally.ts';

/** A byte of a row is six of a record, at most. */
const LONGEST_ESCAPE = 6;

export interface RowWork {
  context: StepContext;
  tally: StageTally;
  rooms: readonly Room[];
  /** A longer row is given up where rows are cut. */
  longest: number;
  /** As WorkingRows has them. */
  asLines: boolean;
  name: string;
  /** A record ended the run. */
  stopped(): void;
}

export class RowPart {
  /** Of the stage, so many from the first on. */
  readonly parts: 1 | 2;
  readonly clock: PassClock;
  /** Places of the steps behind the parser. */
  readonly #owners: readonly number[];
  readonly #parser: BlockStep;
  readonly #start: RowStart;

  private constructor(parser: BlockStep, pass: Pass | undefined, programs: Programs, forced: Tier | undefined) {
    const owners = [...new Set(pass?.ops.map(({ owner }) => owner))];
    const clock = new PassClock([0, ...owners]);
    const { form } = parser.rows ?? {};
    if (form === undefined) throw new Error('a form for rows is needed');
    this.parts = pass === undefined ? 1 : 2;
    this.clock = clock;
    this.#owners = owners;
    this.#parser = parser;
    const places = { parser: 0, writer: pass?.writer ?? 0 };
    this.#start = new RowStart(() => new RowPass({ form, parser, pass, programs, clock, owners: places }), forced);
  }

  /** `pass`: the part behind the parser, where it is one. Undefined where the parser is nothing for the kernel. */
  static of(parser: BlockStep, pass: Pass | undefined, world: World, forced: Tier | undefined): RowPart | undefined {
    if (parser.rows?.form === undefined) return undefined;
    const programs = pass && programsOf(pass.ops, world, forced === 'spans');
    if (programs !== undefined && !('why' in programs)) return new RowPart(parser, pass, programs, forced);
    const none = programsOf([], world, false);
    return 'why' in none ? undefined : new RowPart(parser, undefined, none, forced);
  }

  /** The step that the work counts as while it is done. */
  get last(): number {
    return this.#owners.at(-1) ?? 0;
  }

  /** What comes of a piece whose rows begin at `offset`; undefined where its way is that of values. */
  run(
    piece: Block,
    offset: number,
    { context, tally, rooms, longest, asLines, name, stopped }: RowWork,
  ): WorkedRows | undefined {
    const size = piece.stored?.size ?? piece.bytes.byteLength;
    const pass = this.#start.passFor(piece, Math.min(longest, rooms[0]?.bytes ?? 0));
    if (pass === undefined || !pass.takes(piece.columns ?? [])) return undefined;
    // A record that one of the steps would refuse for its size.
    const most = LONGEST_ESCAPE * size + pass.keysBytes;
    if (this.#owners.some((owner) => most > (rooms[owner]?.bytes ?? 0))) return undefined;
    let records = piece;
    const behind = tally.pass(this.#owners, () => records);
    let refused = 0;
    let worked: WorkedRows;
    try {
      const events: RowEvents = {
        refused: (rows, index, error) => {
          refused++;
          tally.fail(0, rows, index, error);
        },
        given: (block) => {
          records = block;
          return behind.events;
        },
      };
      worked = pass.run(piece, offset, { context, events, asLines, name });
    } catch (error) {
      if (!(error instanceof NoKernel)) {
        if (!(error instanceof OxiError && error.code === 'INPUT_REWRITTEN')) stopped();
        throw error;
      }
      this.#start.failed(error);
      return undefined;
    }
    this.#start.worked(worked.records, worked.deferred);
    const { records: rows } = worked;
    tally.step(0, this.#parser, rows, refused, rows - refused);
    tally.of(0).bytes_in = worked.recordBytes;
    for (const [owner, n] of worked.filtered.entries()) if (this.#owners.includes(owner)) behind.filter(owner, n);
    behind.count(rows - refused);
    return worked;
  }
}
