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
import type { Block, BlockStep, FieldPath, RecordStep, StepContext } from './contracts.ts';
import { RecordError } from './contracts.ts';

/** A record step and the place of its oxi among the steps of the stage. */
export interface Op {
  owner: number;
  step: RecordStep;
}

/** Called for each record that ends before the end of the pass: by a filter, or as bad. */
export interface PassEvents {
  filtered(owner: number): void;
  failed(owner: number, index: number, error: RecordError): void;
}

const LF = 0x0a;

/** One pass over blocks. `owner` of errors in the grammar of a record is the first op's, or `parser`. */
export class Pass {
  readonly ops: readonly Op[];
  readonly #parser: number;
  readonly #record: JsonRecord;
  readonly #spans = new SpanList();

  constructor(ops: readonly Op[], parser: number) {
    this.ops = ops;
    this.#parser = parser;
    const touched: FieldPath[] = [];
    for (const { step } of ops) touched.push(...step.touches);
    this.#record = new JsonRecord(new PathTree(touched));
  }

  run(block: Block, context: StepContext, events: PassEvents): Block {
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
      const broken = record.load(bytes, start, end) ?? (allUtf8 ? undefined : badUtf8(bytes, start, end));
      if (broken !== undefined) events.failed(this.#parser, i, new RecordError(broken.reason, broken.at));
      const stays = broken === undefined && this.#apply(record, context, i, events);
      if (out === undefined) {
        if (stays && record.untouchedIn(bytes)) continue;
        out = this.#startWriting(block, bytes, i);
      }
      if (!stays) continue;
      const at = out.length;
      record.emit(out);
      this.#spans.add(at, out.length, context.offset);
      out.byte(LF);
    }
    if (out === undefined) return block;
    return { ...block, bytes: out.bytes.subarray(0, out.length), ...this.#spans.take() };
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

  #apply(record: JsonRecord, context: StepContext, index: number, events: PassEvents): boolean {
    for (const { owner, step } of this.ops) {
      try {
        if (step.apply(record, context) === 'filter') {
          events.filtered(owner);
          return false;
        }
      } catch (error) {
        if (!(error instanceof RecordError)) throw error;
        events.failed(owner, index, error);
        return false;
      }
    }
    return true;
  }
}

function badUtf8(bytes: Buffer, start: number, end: number): { at: number; reason: string } | undefined {
  const at = firstBadUtf8(bytes, start, end);
  return at < 0 ? undefined : { at: at - start, reason: 'invalid UTF-8' };
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

/** Cuts a chain of steps into passes and block steps, in order. */
export function fuse(
  steps: readonly { owner: number; step: RecordStep | BlockStep }[],
): (Op[] | { owner: number; step: BlockStep })[] {
  const parts: (Op[] | { owner: number; step: BlockStep })[] = [];
  let written: FieldPath[] = [];
  for (const { owner, step } of steps) {
    if (step.form === 'block') {
      parts.push({ owner, step });
      continue;
    }
    const last = parts.at(-1);
    if (Array.isArray(last) && !overlaps(written, step.touches)) last.push({ owner, step });
    else {
      parts.push([{ owner, step }]);
      written = [];
    }
    written.push(...(step.writes ?? []));
  }
  return parts;
}
