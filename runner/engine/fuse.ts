/**
 * Fusion: neighbouring record steps become one pass over a block. Each record is validated and parsed once, every step works on
 * the same view, and what is left is written once. A pass ends where a later step looks inside what an earlier one made.
 */
import { isUtf8 } from 'node:buffer';
import { PathTree } from '../kernel/paths.ts';
import { JsonRecord } from '../kernel/record.ts';
import { SpanList } from '../kernel/spans.ts';
import { firstBadUtf8 } from '../kernel/utf8.ts';
import { ByteWriter } from '../kernel/writer.ts';
import type { Block, BlockStep, FailRecord, FieldPath, RecordErrorCode, RecordStep, StepContext } from './contracts.ts';
import { RecordError } from './contracts.ts';
import { PassClock } from './gauge.ts';

/** A record step and the place of its oxi among the steps of the stage. */
export interface Op {
  owner: number;
  step: RecordStep;
}

/** Called for each record that ends before the end of the pass: by a filter, or as bad. */
export interface PassEvents {
  /** `n` of them, one where it is not said. */
  filtered(owner: number, n?: number): void;
  /** True where the record leaves as it came in. */
  failed(owner: number, index: number, error: RecordError): boolean;
}

const LF = 0x0a;

/** What becomes of a record in a pass. */
const GONE = 0;
const STAYS = 1;
const AS_IT_CAME = 2;

/** One pass over blocks. `owner` of errors in the grammar of a record is the first op's, or `parser`. */
export class Pass {
  readonly ops: readonly Op[];
  readonly clock: PassClock;
  /** The step that reads and checks records, and the one that writes them. */
  readonly parser: number;
  readonly writer: number;
  readonly #record: JsonRecord;
  readonly #spans = new SpanList();
  /** Nothing is done to records that were checked before. */
  readonly isIdle: boolean;

  constructor(ops: readonly Op[], about: { parser: number; checked: boolean }) {
    this.ops = ops;
    this.parser = about.parser;
    this.writer = ops.at(-1)?.owner ?? about.parser;
    this.clock = new PassClock([about.parser, ...ops.map(({ owner }) => owner)]);
    this.isIdle = about.checked && ops.every(({ step }) => step.passes === true);
    const touched: FieldPath[] = [];
    for (const { step } of ops) touched.push(...step.touches);
    this.#record = new JsonRecord(new PathTree(touched));
  }

  run(block: Block, context: StepContext, events: PassEvents): Block {
    if (this.isIdle) return block;
    const isTimed = this.clock.due(block.count);
    if (isTimed) this.clock.start();
    return this.runPart(block, context, events, isTimed);
  }

  /** The same for records of a block whose time somebody else looks after. */
  runPart(block: Block, context: StepContext, events: PassEvents, isTimed: boolean): Block {
    // Of a block in which a record ended the run.
    this.#spans.count = 0;
    if (isTimed) return this.#runTimed(block, context, events);
    const bytes = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    const allUtf8 = isUtf8(bytes);
    const { spans, offsets, count } = block;
    const record = this.#record;
    // As long as every record leaves as it came, nothing is written: the block itself goes on.
    let out: ByteWriter | undefined;
    for (let i = 0; i < count; i++) {
      const start = spans[2 * i] as number;
      const end = spans[2 * i + 1] as number;
      context.offset = offsets[i] as number;
      const broken: Broken | undefined =
        record.load(bytes, start, end) ?? (allUtf8 ? undefined : badUtf8(bytes, start, end));
      const verdict =
        broken === undefined
          ? this.#apply(record, context, i, events)
          : this.#refused(this.parser, i, new RecordError(broken.reason, broken.at, broken.code ?? 'GRAMMAR'), events);
      if (out === undefined) {
        if (verdict === AS_IT_CAME || (verdict === STAYS && record.untouchedIn(bytes))) continue;
        out = this.#startWriting(block, bytes, i);
      }
      if (verdict === GONE) continue;
      const at = out.length;
      if (verdict === STAYS) record.emit(out);
      else out.copy(bytes, start, end);
      this.#spans.add(at, out.length, context.offset);
      out.byte(LF);
    }
    if (out === undefined) return block;
    return { ...block, bytes: out.bytes.subarray(0, out.length), ...this.#spans.take() };
  }

  /** The same with a lap for each piece of work, apart from the other: even a branch that is never taken costs there. */
  #runTimed(block: Block, context: StepContext, events: PassEvents): Block {
    const { clock } = this;
    const bytes = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    const allUtf8 = isUtf8(bytes);
    const { spans, offsets, count } = block;
    const record = this.#record;
    let out: ByteWriter | undefined;
    for (let i = 0; i < count; i++) {
      const start = spans[2 * i] as number;
      const end = spans[2 * i + 1] as number;
      context.offset = offsets[i] as number;
      const broken: Broken | undefined =
        record.load(bytes, start, end) ?? (allUtf8 ? undefined : badUtf8(bytes, start, end));
      clock.lap(this.parser);
      const verdict =
        broken === undefined
          ? this.#applyTimed(record, context, i, events)
          : this.#refused(this.parser, i, new RecordError(broken.reason, broken.at, broken.code ?? 'GRAMMAR'), events);
      if (out === undefined) {
        if (verdict === AS_IT_CAME || (verdict === STAYS && record.untouchedIn(bytes))) continue;
        out = this.#startWriting(block, bytes, i);
      }
      if (verdict === GONE) continue;
      const at = out.length;
      if (verdict === STAYS) record.emit(out);
      else out.copy(bytes, start, end);
      this.#spans.add(at, out.length, context.offset);
      out.byte(LF);
      clock.lap(this.writer);
    }
    if (out === undefined) return block;
    return { ...block, bytes: out.bytes.subarray(0, out.length), ...this.#spans.take() };
  }

  #applyTimed(record: JsonRecord, context: StepContext, index: number, events: PassEvents): number {
    for (const { owner, step } of this.ops) {
      try {
        const verdict = step.apply(record, context);
        this.clock.lap(owner);
        if (verdict === 'keep') continue;
        events.filtered(owner);
        return GONE;
      } catch (error) {
        if (!(error instanceof RecordError)) throw error;
        return this.#refused(owner, index, error, events);
      }
    }
    return STAYS;
  }

  /** Records before `i` left untouched: they are written first. */
  #startWriting(block: Block, bytes: Buffer, i: number): ByteWriter {
    const out = new ByteWriter(bytes.length + (bytes.length >> 3) + 64);
    for (let k = 0; k < i; k++) {
      const at = out.length;
      out.copy(bytes, block.spans[2 * k] as number, block.spans[2 * k + 1] as number);
      this.#spans.add(at, out.length, block.offsets[k] as number);
      out.byte(LF);
    }
    return out;
  }

  #refused(owner: number, index: number, error: RecordError, events: PassEvents): number {
    return events.failed(owner, index, error) ? AS_IT_CAME : GONE;
  }

  #apply(record: JsonRecord, context: StepContext, index: number, events: PassEvents): number {
    const { ops } = this;
    // By number: an iterator for each record is what the collector of garbage had to do.
    for (let k = 0; k < ops.length; k++) {
      const { owner, step } = ops[k] as Op;
      try {
        if (step.apply(record, context) === 'filter') {
          events.filtered(owner);
          return GONE;
        }
      } catch (error) {
        if (!(error instanceof RecordError)) throw error;
        return this.#refused(owner, index, error, events);
      }
    }
    return STAYS;
  }
}

interface Broken {
  at: number;
  reason: string;
  code?: RecordErrorCode;
}

function badUtf8(bytes: Buffer, start: number, end: number): Broken | undefined {
  const at = firstBadUtf8(bytes, start, end);
  return at < 0 ? undefined : { at: at - start, reason: 'invalid UTF-8', code: 'ENCODING' };
}

/** `later` looks at, or inside, or around something that `earlier` wrote, other than the very same field. */
function overlaps(written: readonly FieldPath[], touched: readonly FieldPath[]): boolean {
  return written.some((a) =>
    touched.some((b) => {
      const n = Math.min(a.length, b.length);
      return a.length !== b.length && a.slice(0, n).every((name, i) => name === b[i]);
    }),
  );
}

type Part = Op[] | { owner: number; step: BlockStep };

/**
 * Cuts a chain of steps into passes and block steps, in order. Owners that are `passing` on what they fail at have a pass of their
 * own: what it was given is the record as it came in.
 */
export function fuse(
  steps: readonly { owner: number; step: RecordStep | BlockStep }[],
  passing: ReadonlySet<number>,
): Part[] {
  const parts: Part[] = [];
  let written: FieldPath[] = [];
  for (const { owner, step } of steps) {
    if (step.form === 'block') {
      parts.push({ owner, step });
      continue;
    }
    const last = parts.at(-1);
    const before = Array.isArray(last) ? last[0]?.owner : undefined;
    const apart = before !== undefined && before !== owner && (passing.has(owner) || passing.has(before));
    if (Array.isArray(last) && !apart && !overlaps(written, step.touches)) last.push({ owner, step });
    else {
      parts.push([{ owner, step }]);
      written = [];
    }
    written.push(...(step.writes ?? []));
  }
  return gathered(parts, passing);
}

/** Several passes of one owner that passes on what it fails at become one step, so that a record comes out of all or of none. */
function gathered(parts: readonly Part[], passing: ReadonlySet<number>): Part[] {
  const out: Part[] = [];
  let run: Op[][] = [];
  const close = (): void => {
    const [first] = run;
    if (first === undefined) return;
    out.push(run.length === 1 ? first : { owner: first[0]?.owner ?? 0, step: new PassChain(run) });
    run = [];
  };
  for (const part of parts) {
    const owner = Array.isArray(part) ? part[0]?.owner : undefined;
    if (!Array.isArray(part) || owner === undefined || !passing.has(owner)) {
      close();
      out.push(part);
    } else {
      if (run[0]?.[0]?.owner !== owner) close();
      run.push(part);
    }
  }
  close();
  return out;
}

/** Passes one behind the other, given one record at a time. */
class PassChain implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'filter';
  readonly state = 'none';
  readonly #passes: readonly Pass[];

  constructor(runs: readonly Op[][]) {
    this.#passes = runs.map((ops) => new Pass(ops, { parser: ops[0]?.owner ?? 0, checked: true }));
  }

  process(block: Block, context: StepContext, fail: FailRecord): Block {
    let current = block;
    const events: PassEvents = {
      filtered: () => undefined,
      failed: (_owner, index, error) => {
        fail(index, error);
        return false;
      },
    };
    for (const pass of this.#passes) current = pass.run(current, context, events);
    return current;
  }
}
