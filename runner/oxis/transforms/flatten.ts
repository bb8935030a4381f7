/** `flatten`: nested objects become one level, their keys joined; arrays become a string, a key an element, or nothing. */
import * as z from 'zod/mini';
import type { Block, BlockStep, FailRecord, StepContext } from '../../engine/contracts.ts';
import { RecordError } from '../../engine/contracts.ts';
import { Flattener, type FlattenOptions, limitOf } from '../../kernel/flatten.ts';
import { bufferOf } from '../../kernel/keep.ts';
import { SpanList } from '../../kernel/spans.ts';
import { ByteWriter } from '../../kernel/writer.ts';
import { defineStep, field } from '../define.ts';

const MB = 1024 * 1024;
/** Where the index of an element goes in a format. */
const PLACE = /\{(?:index)?\}/;

const config = () =>
  z.strictObject({
    delimiter: field(
      z._default(z.string(), '_'),
      'Text between two joined keys. Of keys that become equal the last value stays, at the place of the first.',
    ),
    array_mode: field(
      z._default(z.literal(['explode', 'index', 'ignore']), 'explode'),
      'explode: one string of the values joined by commas, what is no scalar as JSON. index: a key an element. ignore: arrays go. Empty objects, and with index empty arrays, stay as they are.',
    ),
    max_depth: field(
      z.optional(z.int().check(z.gte(1), z.lte(1024))),
      'Levels that are opened below the record; what lies deeper stays as it is. All of them without it.',
    ),
    preserve_arrays: field(z._default(z.boolean(), false), 'Arrays stay as they are, whatever array_mode says.'),
    array_index_format: field(
      z.optional(
        z
          .string()
          .check(
            z.refine((text) => text.split(PLACE).length === 2, { error: 'must hold {index} once, as in "[{index}]"' }),
          ),
      ),
      'With array_mode index: what stands straight behind the key of the array, {index} (or {}) being the number from 0. Without it the delimiter and the number.',
    ),
  });

export const flatten = defineStep({
  name: 'flatten',
  kind: 'step',
  summary: 'Makes one level of nested objects and arrays.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  aliases: { separator: 'delimiter' },
  make: (c): BlockStep => {
    const [before = '', after = ''] = c.array_index_format?.split(PLACE) ?? [c.delimiter];
    return new FlattenStep({
      objects: true,
      arrays: c.preserve_arrays ? 'keep' : c.array_mode === 'ignore' ? 'drop' : c.array_mode,
      delimiter: c.delimiter,
      index: { before, after },
      maxDepth: c.max_depth ?? Number.POSITIVE_INFINITY,
    });
  },
});

export class FlattenStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'one';
  readonly state = 'none';
  readonly #flattener: Flattener;

  constructor(options: FlattenOptions) {
    this.#flattener = new Flattener(options, new ByteWriter(0));
  }

  process(block: Block, _context: StepContext, fail: FailRecord): Block {
    const bytes = bufferOf(block);
    const out = new ByteWriter(bytes.length + (bytes.length >> 2) + 64);
    this.#flattener.writeTo(out);
    const spans = new SpanList();
    for (let i = 0; i < block.count; i++) {
      const at = out.length;
      const start = block.spans[2 * i] as number;
      const end = block.spans[2 * i + 1] as number;
      if (!this.#flattener.write(bytes, start, end)) {
        const limit = Math.floor(limitOf(end - start) / MB);
        fail(i, new RecordError(`it is larger than ${limit} MB once its keys are joined`, undefined, 'TOO_LARGE'));
        continue;
      }
      spans.add(at, out.length, block.offsets[i] as number);
      out.byte(0x0a);
    }
    return { ...block, bytes: out.bytes.subarray(0, out.length), ...spans.take() };
  }
}
