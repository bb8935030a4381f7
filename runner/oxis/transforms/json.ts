/** `json`: a jq query; each of its outputs is a record, and an array among them becomes the stream. */
import * as z from 'zod/mini';
import type { Block, BlockStep, FailRecord, StepContext } from '../../engine/contracts.ts';
import { RecordError } from '../../engine/contracts.ts';
import { lastFailure, skipString, skipValue } from '../../kernel/grammar.ts';
import { bufferOf } from '../../kernel/keep.ts';
import { SpanList } from '../../kernel/spans.ts';
import { ByteWriter } from '../../kernel/writer.ts';
import { defineStep, field } from '../define.ts';
import { refuseField } from './field-path.ts';
import { type Answer, askAll, queryProblem } from './json-query.ts';

const config = () =>
  z.strictObject({
    query: field(
      z.string().check(z.minLength(1)),
      'A query in the language of jq 1.8. Each output is a record, of an array each element; no output leaves the record out. Numbers that it does not compute with keep their digits, computed ones are doubles. Straight behind parse_json it sees the whole document, else each record.',
    ),
  });

export const json = defineStep({
  name: 'json',
  kind: 'step',
  summary: 'Runs a jq query; an array that it makes becomes the stream.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512, maxProcessingTimeMs: 30_000 },
  config,
  mayLoop: true,
  select: () => ({ segments: [], strict: true, whole: true }),
  check: async (c, context) => {
    const problem = await queryProblem(c.query);
    if (problem !== undefined) refuseField(context.stepId, 'query', `jq says: ${problem}`);
  },
  make: (c): BlockStep => new QueryStep(c.query),
});

/** Levels that jq can work on: its stack has room for a few more. */
const MAX_DEPTH = 500;
/** Characters of records that are given to jq at a time. */
const LOT = 1 << 20;

class QueryStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'many';
  readonly state = 'none';
  readonly #query: string;

  constructor(query: string) {
    this.#query = query;
  }

  async process(block: Block, context: StepContext, fail: FailRecord): Promise<Block> {
    const bytes = bufferOf(block);
    const out = new ByteWriter(bytes.length + 64);
    const spans = new SpanList();
    let arrays = 0;
    let lot: string[] = [];
    let size = 0;
    const ask = async (end: number): Promise<void> => {
      const first = end - lot.length;
      const answers = await this.#answers(lot, context.now);
      answers.forEach((answer, k) => {
        const failure =
          answer.error ?? records(answer.list, out, spans, block.offsets[first + k] as number, () => arrays++);
        if (failure !== undefined)
          fail(first + k, failure instanceof RecordError ? failure : new RecordError(`jq says: ${failure}`));
      });
      lot = [];
      size = 0;
    };
    for (let i = 0; i < block.count; i++) {
      const start = block.spans[2 * i] as number;
      const end = block.spans[2 * i + 1] as number;
      if (isTooDeep(bytes, start, end)) {
        if (lot.length > 0) await ask(i);
        fail(i, new RecordError(`it nests deeper than ${MAX_DEPTH} levels, too deep for jq`, undefined, 'TOO_LARGE'));
        continue;
      }
      lot.push(bytes.toString('utf8', start, end));
      size += lot.at(-1)?.length ?? 0;
      if (size >= LOT) await ask(i + 1);
    }
    if (lot.length > 0) await ask(block.count);
    const taken = spans.take();
    const whole = block.whole === true && taken.count === 1 && arrays === 0;
    return { ...block, bytes: out.bytes.subarray(0, out.length), ...taken, whole };
  }

  /** Where jq broke down over many records, each is asked for alone: the one that it can't work on is found. */
  async #answers(lot: readonly string[], now: number): Promise<Answer[]> {
    const answers = await askAll(this.#query, lot, now);
    if (answers !== undefined) return answers;
    if (lot.length === 1) return [{ error: 'out of memory, or of stack, over this record' }];
    const alone: Answer[] = [];
    for (const record of lot) alone.push(...(await this.#answers([record], now)));
    return alone;
  }
}

/** In valid JSON; a short text can't be. */
function isTooDeep(b: Buffer, start: number, end: number): boolean {
  if (end - start <= 2 * MAX_DEPTH) return false;
  let depth = 0;
  for (let p = start; p < end; p++) {
    const c = b[p];
    if (c === 0x22) p = skipString(b, p + 1, end) - 1;
    else if (c === 0x7b || c === 0x5b) {
      if (++depth > MAX_DEPTH) return true;
    } else if (c === 0x7d || c === 0x5d) depth--;
  }
  return false;
}

/** Writes the outputs in `list`, a JSON array, as records; an array among them is spread. Returns what is wrong with them. */
function records(
  list: Buffer,
  out: ByteWriter,
  spans: SpanList,
  offset: number,
  spread: () => void,
): RecordError | undefined {
  const made: number[] = [];
  let p = 1;
  while (p < list.length - 1) {
    const inside = list[p] === 0x5b;
    if (inside) spread();
    let end = p;
    if (inside) p++;
    while (list[p] !== 0x5d) {
      end = skipValue(list, p, list.length, 0);
      if (end < 0) return new RecordError(`an output of the query has ${lastFailure().reason}`, undefined, 'TOO_LARGE');
      made.push(p, end);
      p = end;
      if (!inside || list[p] !== 0x2c) break;
      p++;
    }
    if (inside) p++;
    if (list[p] === 0x2c) p++;
  }
  for (let i = 0; i < made.length; i += 2) {
    const at = out.length;
    out.copy(list, made[i] as number, made[i + 1] as number);
    spans.add(at, out.length, offset);
    out.byte(0x0a);
  }
  return undefined;
}
