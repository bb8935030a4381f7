/** When parts of a stage work on the byte kernel, and when they leave that alone. */
import { NoKernel } from '../kernel/bytes/wasm.ts';
import type { World } from '../kernel/bytes/world.ts';
import { BytePass, programsOf } from './byte-pass.ts';
import type { Block, Tier } from './contracts.ts';
import { CutPass } from './cut-pass.ts';
import { OxiError } from './errors.ts';
import type { Pass } from './fuse.ts';
import type { RowPass } from './row-pass.ts';

/** Smaller inputs are done before the kernel is there. */
const SMALLEST = 128 << 10;
/** Larger pieces hold a record of megabytes, and the kernel needs seven times the memory of a piece. */
const LARGEST = 16 << 20;
/** Of records that come cut, on average. */
const LARGEST_RECORD = 256 << 10;
/** Of so many records of the last pieces it can be said whether they are any for the kernel. */
const ENOUGH = 500;
/** Where more of them are deferred, both ways together cost more than that of values alone. */
const TOO_MANY = 0.5;
/** Pieces that go the way of values then, before the kernel is tried again: twice as many each time, up to the other number. */
const REST = 8;
const LONGEST_REST = 512;
const LF = 0x0a;

/** `P`: what works on pieces. */
abstract class KernelStart<P> {
  protected readonly forced: Tier | undefined;
  #isOff: boolean;
  /** Bytes that have come, until the kernel is there. */
  #seen = 0;
  #started: P | undefined;
  /** Of the last pieces, in which older ones count less and less. */
  #records = 0;
  #deferred = 0;
  #resting = 0;
  #rest = REST;

  /** `forced`: the tier that everything runs on that can. Nothing is made before enough has come to be worth it. */
  constructor(forced: Tier | undefined) {
    this.forced = forced;
    this.#isOff = forced === 'values';
  }

  /** Undefined where it has no program. Throws NoKernel. */
  protected abstract make(): P | undefined;

  /** A record of the piece may have more bytes than so many. */
  protected abstract hasLonger(piece: Block, longest: number): boolean;

  /**
   * The pass for a piece, in which a record may have so many bytes at most; undefined where its way is that of values. Throws OxiError
   * UNSUPPORTED where the kernel has to run and can't.
   */
  passFor(piece: Block, longest: number): P | undefined {
    const size = piece.stored?.size ?? piece.bytes.byteLength;
    if (this.#isOff || size > LARGEST) return undefined;
    // One that is too long is found where records are cut.
    if (this.hasLonger(piece, longest)) return undefined;
    if (this.#resting > 0) {
      this.#resting--;
      return undefined;
    }
    if (this.#started === undefined) {
      this.#seen += size;
      if (this.forced !== undefined || this.#seen >= SMALLEST) this.#start();
    }
    return this.#started;
  }

  /** So much has come of a piece; of the next ones fewer may be for the kernel. */
  worked(records: number, deferred: number): void {
    if (this.forced !== undefined) return;
    this.#records = this.#records / 2 + records;
    this.#deferred = this.#deferred / 2 + deferred;
    if (this.#records < ENOUGH) return;
    if (this.#deferred <= TOO_MANY * this.#records) {
      this.#rest = REST;
      return;
    }
    this.#resting = this.#rest;
    this.#rest = Math.min(LONGEST_REST, 2 * this.#rest);
    this.#records = 0;
    this.#deferred = 0;
  }

  /** Throws what is no lack of a kernel, and where it has to run. */
  failed(error: unknown): void {
    if (!(error instanceof NoKernel)) throw error;
    if (this.forced !== undefined)
      throw new OxiError(
        'UNSUPPORTED',
        `OXIFLOW_TIER is "${this.forced}", and the byte kernel can't run here: ${error.message}`,
        {
          cause: error,
        },
      );
    this.#isOff = true;
    this.#started = undefined;
  }

  #start(): void {
    try {
      this.#started = this.make();
      this.#isOff = this.#started === undefined;
    } catch (error) {
      this.failed(error);
    }
  }
}

/** Of lines. */
export class ByteStart extends KernelStart<BytePass> {
  readonly #pass: Pass;
  readonly #world: World;

  constructor(pass: Pass, world: World, forced: Tier | undefined) {
    super(forced);
    this.#pass = pass;
    this.#world = world;
  }

  protected make(): BytePass | undefined {
    const programs = programsOf(this.#pass.ops, this.#world, this.forced === 'spans');
    return 'why' in programs ? undefined : new BytePass(programs, this.#pass);
  }

  protected hasLonger({ bytes, stored }: Block, longest: number): boolean {
    if (stored !== undefined) return stored.size > longest;
    return bytes.byteLength > longest && hasLongerLine(bytes, longest);
  }
}

/** Of records that come cut, which were found to be no larger than a step takes. */
export class CutStart extends KernelStart<CutPass> {
  readonly #pass: Pass;
  readonly #world: World;

  constructor(pass: Pass, world: World, forced: Tier | undefined) {
    super(forced);
    this.#pass = pass;
    this.#world = world;
  }

  protected make(): CutPass | undefined {
    if (this.#pass.isIdle) return undefined;
    const programs = programsOf(this.#pass.ops, this.#world, this.forced === 'spans');
    return 'why' in programs ? undefined : new CutPass(programs, this.#pass);
  }

  /** Of a document that is one record, or a few, there is nothing to gain, and the kernel needs seven times its memory. */
  protected hasLonger({ bytes, count }: Block): boolean {
    return this.forced === undefined && bytes.byteLength > LARGEST_RECORD * Math.max(1, count);
  }
}

/** Of rows of CSV. */
export class RowStart extends KernelStart<RowPass> {
  readonly #make: () => RowPass;

  constructor(make: () => RowPass, forced: Tier | undefined) {
    super(forced);
    this.#make = make;
  }

  protected make(): RowPass {
    return this.#make();
  }

  protected hasLonger({ bytes, stored }: Block, longest: number): boolean {
    return (stored?.size ?? bytes.byteLength) > longest;
  }
}

function hasLongerLine(piece: Uint8Array, longest: number): boolean {
  const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  for (let p = 0; p < bytes.length; ) {
    const end = bytes.indexOf(LF, p);
    if ((end < 0 ? bytes.length : end) - p > longest) return true;
    if (end < 0) break;
    p = end + 1;
  }
  return false;
}
