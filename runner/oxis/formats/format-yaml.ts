/** `format_yaml`: records become YAML: documents, one sequence, or one document. */
import * as z from 'zod/mini';
import type { Block, BlockStep, Encoder, Join, PartText, StreamInfo } from '../../engine/contracts.ts';
import { OxiError } from '../../engine/errors.ts';
import { bufferOf } from '../../kernel/keep.ts';
import { SpanList } from '../../kernel/spans.ts';
import { ByteWriter } from '../../kernel/writer.ts';
import { layOutYaml } from '../../kernel/yaml.ts';
import type { Json } from '../../state/store.ts';
import { defineFormatter, field } from '../define.ts';

const config = () =>
  z.strictObject({
    framing: field(
      z._default(z.literal(['auto', 'documents', 'array', 'document']), 'auto'),
      'How records are put together: a document each, one sequence, or one document. auto: as the source was framed, lines as documents.',
    ),
  });

type Config = z.output<ReturnType<typeof config>>;
/** `value`: one document where the record is a value on its own, else an array. */
type Framing = 'documents' | 'array' | 'document' | 'value';

/** A whole config, for sinks that lay out records by themselves. */
export function yamlFormat(): { oxi: string; config: Config } {
  return { oxi: 'format_yaml', config: z.parse(config(), {}) };
}

export const formatYaml = defineFormatter({
  name: 'format_yaml',
  kind: 'formatter',
  summary: 'Writes YAML: documents, a sequence or one document.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  alone: { why: 'makes one document, which holds one record', when: (c: Config) => c.framing === 'document' },
  make: (c): BlockStep => new YamlStep(c),
  encoder: (c, stream, context) => new YamlEncoder(framingOf(c, stream), context.stepId),
  join: (c, stream, context) => {
    const framing = framingOf(c, stream);
    return framing === 'documents' ? undefined : yamlJoin(framing, context.stepId);
  },
});

function framingOf(c: Config, stream: StreamInfo): Framing {
  if (c.framing !== 'auto') return c.framing;
  if (stream.selected) return 'value';
  return stream.framing === 'array' || stream.framing === 'document' ? stream.framing : 'documents';
}

function isSequence(framing: Framing, block: Block): boolean {
  return framing === 'array' || (framing === 'value' && block.whole !== true);
}

class YamlStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'one';
  readonly state = 'none';
  readonly #c: Config;

  constructor(c: Config) {
    this.#c = c;
  }

  process(block: Block, context: { stream: StreamInfo }): Block {
    const bytes = bufferOf(block);
    const out = new ByteWriter(bytes.length * 2 + 64);
    const spans = new SpanList();
    const inSequence = isSequence(framingOf(this.#c, context.stream), block);
    for (let i = 0; i < block.count; i++) {
      const at = out.length;
      if (inSequence) out.text('- ');
      layOutYaml(bytes, block.spans[2 * i] as number, block.spans[2 * i + 1] as number, inSequence ? 2 : 0, out);
      spans.add(at, out.length, block.offsets[i] as number);
      out.byte(0x0a);
    }
    return { ...block, bytes: out.bytes.subarray(0, out.length), ...spans.take() };
  }
}

function twoRecords(step: string): OxiError {
  return new OxiError(
    'RECORD_INVALID',
    `step "${step}": a document holds one record and the stream has more: set "framing: documents" or "framing: array"`,
    { place: { step, field: 'framing' } },
  );
}

/** Elements of a sequence stand one behind the other; only an empty one has brackets. */
function yamlJoin(framing: Framing, step: string): Join {
  return async function* join(parts) {
    if (parts.length === 0 && framing !== 'document') yield Buffer.from('[]\n');
    if (parts.length > 1 && framing !== 'array' && !(await isSequenceText(parts[0]))) throw twoRecords(step);
    for (const part of parts) yield* part.text();
  };
}

/** The lines of a sequence begin with a dash, those of a value by itself with anything else. */
async function isSequenceText(part: PartText | undefined): Promise<boolean> {
  for await (const bytes of part?.text() ?? []) if (bytes.length > 1) return bytes[0] === 0x2d && bytes[1] === 0x20;
  return false;
}

class YamlEncoder implements Encoder {
  #framing: Framing;
  readonly #step: string;
  #records = 0;

  constructor(framing: Framing, step: string) {
    this.#framing = framing;
    this.#step = step;
  }

  encode(block: Block): Uint8Array[] {
    if (this.#framing === 'value') this.#framing = isSequence('value', block) ? 'array' : 'document';
    this.#records += block.count;
    if (this.#framing === 'document' && this.#records > 1) throw twoRecords(this.#step);
    const bytes = bufferOf(block);
    const mark = this.#framing === 'documents' ? '---\n' : '';
    const out = new ByteWriter(bytes.length + (mark.length + 1) * block.count);
    for (let i = 0; i < block.count; i++) {
      out.text(mark);
      out.copy(bytes, block.spans[2 * i] as number, block.spans[2 * i + 1] as number);
      out.byte(0x0a);
    }
    return [out.bytes.subarray(0, out.length)];
  }

  end(): Uint8Array[] {
    const isArray = this.#framing === 'array' || this.#framing === 'value';
    return isArray && this.#records === 0 ? [Buffer.from('[]\n')] : [];
  }

  snapshot(): Json {
    return { records: this.#records, framing: this.#framing };
  }

  restore(state: Json): void {
    const { records, framing } = state as { records: number; framing: Framing };
    this.#records = records;
    this.#framing = framing;
  }
}
