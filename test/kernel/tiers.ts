/** The same steps over the same lines on the value tier and on the byte kernel, as texts that can be compared. */
import { BytePass, programsOf } from '../../runner/engine/byte-pass.ts';
import type { Block, RecordError, RecordStep, Step, StepContext } from '../../runner/engine/contracts.ts';
import { CutPass } from '../../runner/engine/cut-pass.ts';
import { type Op, Pass, type PassEvents } from '../../runner/engine/fuse.ts';
import { giveBuffer } from '../../runner/kernel/buffers.ts';
import { LineCutter } from '../../runner/kernel/lines.ts';

export interface Outcome {
  /** Offset and text of each record that is left. */
  left: string[];
  /** Offset, step and error of each that failed. */
  failed: string[];
  /** By step. */
  filtered: number[];
  records: number;
}

/** Where the first line stands in its split. */
const OFFSET = 1000;

/** What expressions find beside the record. */
export interface Given {
  params?: ReadonlyMap<string, unknown>;
  env?: ReadonlyMap<string, string>;
  now?: number;
}

const context = ({ params = new Map(), env = new Map(), now = 0 }: Given = {}): StepContext => ({
  now,
  params,
  env,
  stream: { framing: 'lines', selected: false },
  splitName: 'events',
  offset: 0,
});

export function opsOf(steps: readonly Step[]): Op[] {
  return steps.map((step, owner) => {
    if (step.form !== 'record') throw new Error('a record step is needed');
    return { owner, step: step satisfies RecordStep };
  });
}

function recordsOf({ bytes, spans, offsets, count }: Block): string[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from(
    { length: count },
    (_, i) => `${offsets[i]}: ${text.toString('latin1', spans[2 * i], spans[2 * i + 1])}`,
  );
}

/** Notes what happens to records of the block at hand. */
class Notes implements PassEvents {
  readonly failed_: string[] = [];
  readonly #filtered: number[];
  block: Block | undefined;

  constructor(steps: number) {
    this.#filtered = Array.from({ length: steps }, () => 0);
  }

  filtered(owner: number, n = 1): void {
    this.#filtered[owner] = (this.#filtered[owner] as number) + n;
  }

  failed(owner: number, index: number, error: RecordError): boolean {
    this.failed_.push(`${this.block?.offsets[index]}: ${owner} ${error.code} ${error.message} at ${error.at}`);
    return false;
  }

  get counts(): number[] {
    return this.#filtered;
  }
}

export function onValues(ops: readonly Op[], lines: Buffer, given?: Given): Outcome {
  const framed = new LineCutter(1 << 26).cut({ bytes: Buffer.from(lines), offset: OFFSET });
  return cutOnValues(ops, { ...framed, split: 0, whole: false }, given);
}

/** The same of records that come cut. */
export function cutOnValues(ops: readonly Op[], block: Block, given?: Given): Outcome {
  const notes = new Notes(ops.length);
  notes.block = block;
  const out = new Pass(ops, { parser: 0, checked: false }).run(block, context(given), notes);
  return { left: recordsOf(out), failed: notes.failed_, filtered: notes.counts, records: block.count };
}

/** These records behind each other, with what stands between two of them; so many of them share an offset. */
export function cutBlock(records: readonly Buffer[], between: () => string, sharing = 1): Block {
  const spans = new Uint32Array(2 * records.length);
  const offsets = new Float64Array(records.length);
  const pieces: Buffer[] = [];
  let at = 0;
  const put = (piece: Buffer): void => {
    pieces.push(piece);
    at += piece.length;
  };
  put(Buffer.from('['));
  for (const [i, record] of records.entries()) {
    if (i > 0) put(Buffer.from(between()));
    spans.set([at, at + record.length], 2 * i);
    offsets[i] = i % sharing === 0 ? OFFSET + at : (offsets[i - 1] as number);
    put(record);
  }
  return { bytes: Buffer.concat(pieces), spans, offsets, count: records.length, split: 0, whole: false };
}

/** Records that come cut, on the byte kernel. Throws where the steps have no program. */
export class CutStage {
  readonly #ops: readonly Op[];
  readonly #pass: CutPass;
  readonly #given: Given | undefined;
  readonly #onFail: 'drop' | 'stop';

  /** `onFail`: a record that fails is left out, or ends the run. */
  constructor(ops: readonly Op[], given?: Given, byScripts = false, onFail: 'drop' | 'stop' = 'drop') {
    const programs = programsOf(ops, context(given), byScripts);
    if ('why' in programs) throw new Error(programs.why);
    this.#ops = ops;
    this.#given = given;
    this.#onFail = onFail;
    this.#pass = new CutPass(programs, new Pass(ops, { parser: 0, checked: false }));
  }

  get deferred(): number {
    return this.#pass.deferred;
  }

  /** The block that comes of it, too; undefined where its records make no lines. */
  work(block: Block): { outcome: Outcome; block: Block } | undefined {
    const notes = new Notes(this.#ops.length);
    notes.block = block;
    const events: PassEvents = {
      filtered: (owner, n) => notes.filtered(owner, n),
      failed: (...failure) => {
        if (this.#onFail === 'stop') throw new Error('stop');
        return notes.failed(...failure);
      },
    };
    const out = this.#pass.run(block, context(this.#given), events);
    if (out === undefined) return undefined;
    const outcome = { left: recordsOf(out), failed: notes.failed_, filtered: notes.counts, records: block.count };
    return { outcome, block: out };
  }

  run(block: Block): Outcome | undefined {
    const worked = this.work(block);
    if (worked !== undefined && worked.block !== block) giveBuffer(worked.block.bytes);
    return worked?.outcome;
  }
}

/** A stage on the byte kernel. Throws where its steps have no program. */
export class ByteStage {
  readonly #ops: readonly Op[];
  readonly #pass: BytePass;
  readonly #given: Given | undefined;
  /** Records of the last run that went to the value tier. */
  deferred = 0;

  /** `byScripts`: expressions run as scripts wherever they can. */
  constructor(ops: readonly Op[], given?: Given, byScripts = false) {
    const programs = programsOf(ops, context(given), byScripts);
    this.#given = given;
    if ('why' in programs) throw new Error(programs.why);
    this.#ops = ops;
    this.#pass = new BytePass(programs, new Pass(ops, { parser: 0, checked: false }));
  }

  run(lines: Buffer): Outcome {
    const { outcome, block } = this.work(lines);
    giveBuffer(block.bytes);
    return outcome;
  }

  /** The block itself, too: its bytes are the caller's. */
  work(lines: Buffer): { outcome: Outcome; block: Block } {
    const notes = new Notes(this.#ops.length);
    const piece: Block = {
      bytes: Buffer.from(lines),
      spans: new Uint32Array(),
      offsets: new Float64Array(),
      count: 0,
      split: 0,
    };
    const { block, records, filtered } = this.#pass.run(piece, OFFSET, {
      context: context(this.#given),
      events: notes,
      given: (given) => {
        notes.block = given;
      },
      asLines: false,
    });
    this.deferred = this.#pass.deferred;
    const counts = notes.counts.map((n, owner) => n + (filtered[owner] ?? 0));
    const outcome = { left: recordsOf(block), failed: notes.failed_, filtered: counts, records };
    return { outcome, block };
  }
}
