/** `format_json`: records become JSON text: lines, one array, or one document. */
import * as z from 'zod/mini';
import type { Block, BlockStep, Framing, RecordStep, StreamInfo } from '../../engine/contracts.ts';
import { OxiError } from '../../engine/errors.ts';
import { JsonEncoder } from '../../kernel/encode.ts';
import { jsonJoin } from '../../kernel/json-join.ts';
import { layOut } from '../../kernel/layout.ts';
import { SpanList } from '../../kernel/spans.ts';
import { ByteWriter } from '../../kernel/writer.ts';
import { defineFormatter, field } from '../define.ts';
import { isLinesName } from './lines-name.ts';

const config = () =>
  z.strictObject({
    framing: field(
      z._default(z.literal(['auto', 'lines', 'array', 'document']), 'auto'),
      'How records are put together. auto: as the source was framed; what json_select took from a document is an array where it was one; rows of CSV are an array, or lines where the output is called .ndjson or .jsonl.',
    ),
    pretty: field(z._default(z.boolean(), false), 'Indented, a member a line; needs array or document.'),
    indent: field(z._default(z.int().check(z.gte(1), z.lte(16)), 2), 'Spaces a level, with pretty.'),
    sort_keys: field(z._default(z.boolean(), false), 'Keys of every object in order.'),
    compact: field(
      z._default(z.boolean(), true),
      'No white space outside strings; false is another way to say pretty.',
    ),
  });

type Config = z.output<ReturnType<typeof config>>;

/** A whole config, for sinks that lay out records by themselves. */
export function jsonFormat(fields: Partial<Config>): { oxi: string; config: Config } {
  return { oxi: 'format_json', config: z.parse(config(), fields) };
}

export const formatJson = defineFormatter({
  name: 'format_json',
  kind: 'formatter',
  summary: 'Writes JSON: lines, an array or a document.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  alone: { why: 'makes one document, which holds one record', when: (c: Config) => c.framing === 'document' },
  make: (c): BlockStep | RecordStep =>
    isPretty(c) || c.sort_keys
      ? new LayoutStep(c)
      : {
          form: 'record',
          cardinality: 'one',
          touches: [],
          passes: true,
          forms: { bytes: { do: 'pass' } },
          apply: () => 'keep',
        },
  encoder: (c, stream, context) => {
    const framing = framingOf(c, stream, context.output);
    if (framing === 'lines' && isPretty(c))
      throw new OxiError(
        'CONFIG_INVALID',
        `step "${context.stepId}": "pretty" needs "framing: array" or "framing: document", and the framing is lines`,
        {
          place: { step: context.stepId, field: 'pretty' },
        },
      );
    return new JsonEncoder({ framing, pretty: isPretty(c), step: context.stepId });
  },
  join: (c, stream, context) => {
    const framing = framingOf(c, stream, context.output);
    if (framing === 'lines' || framing === 'rows') return undefined;
    return jsonJoin({ framing, pretty: isPretty(c), step: context.stepId });
  },
});

function isPretty(c: Config): boolean {
  return c.pretty || !c.compact;
}

/** `output`: the name of what is written; it decides where the records were rows. */
function framingOf(c: Config, stream: StreamInfo, output: string): Framing | 'value' {
  if (c.framing !== 'auto') return c.framing;
  if (stream.framing === 'rows') return isLinesName(output) ? 'lines' : 'array';
  return stream.selected ? 'value' : stream.framing;
}

class LayoutStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'one';
  readonly state = 'none';
  readonly #c: Config;

  constructor(c: Config) {
    this.#c = c;
  }

  process(block: Block, context: { stream: StreamInfo }): Block {
    // No stage knows the output. Where its name would make lines of rows, nothing is indented: `pretty` is refused there.
    const framing = framingOf(this.#c, context.stream, '');
    const level = framing === 'array' || (framing === 'value' && block.whole !== true) ? 1 : 0;
    const indent = isPretty(this.#c) ? this.#c.indent : 0;
    const bytes = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    const out = new ByteWriter(bytes.length * 2 + 64);
    const spans = new SpanList();
    const margin = ' '.repeat(indent * level);
    for (let i = 0; i < block.count; i++) {
      const at = out.length;
      out.text(margin);
      const start = block.spans[2 * i] as number;
      layOut(bytes, start, block.spans[2 * i + 1] as number, { indent, sortKeys: this.#c.sort_keys }, level, out);
      spans.add(at, out.length, block.offsets[i] as number);
      out.byte(0x0a);
    }
    return { ...block, bytes: out.bytes.subarray(0, out.length), ...spans.take() };
  }
}
