/** `json_select`: what stands at a path takes the place of the record; an array there becomes the stream. */
import * as z from 'zod/mini';
import type { Block, BlockStep, FailRecord, SelectPath, StepContext } from '../../engine/contracts.ts';
import { RecordError } from '../../engine/contracts.ts';
import { decodeString } from '../../kernel/decode.ts';
import { skipColon, skipString, skipValue } from '../../kernel/grammar.ts';
import { describePath } from '../../kernel/json-stream.ts';
import { SpanList } from '../../kernel/spans.ts';
import { ByteWriter } from '../../kernel/writer.ts';
import { defineStep, field } from '../define.ts';

const config = () =>
  z.strictObject({
    path: field(
      z.string().check(
        z.minLength(1),
        z.refine((text) => parsePath(text) !== undefined, {
          error: 'must be a path such as `.data.items`, `[0].users[1].profile` or `["odd key"]`',
        }),
      ),
      'Path to what is selected: keys by dots, elements by [number], odd keys by ["key"].',
    ),
    strict: field(z._default(z.boolean(), true), 'Nothing at the path is an error; false leaves such a record out.'),
    default_on_missing: field(z.optional(z.json()), 'The record that stands in where there is nothing at the path.'),
  });

type Config = z.output<ReturnType<typeof config>>;

export const jsonSelect = defineStep({
  name: 'json_select',
  kind: 'step',
  summary: 'Takes what stands at a path; an array there becomes the stream.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  select: selectPath,
  make: (c): BlockStep => new SelectStep(selectPath(c)),
});

function selectPath(c: Config): SelectPath {
  const segments = parsePath(c.path) ?? [];
  const fallback = c.default_on_missing === undefined ? {} : { fallback: JSON.stringify(c.default_on_missing) };
  return { segments, strict: c.strict, ...fallback };
}

/** `.data.items`, `data.items`, `[0].users[1]`, `.["odd key"]`; `.` and `$` alone are the whole. */
function parsePath(text: string): (string | number)[] | undefined {
  const segments: (string | number)[] = [];
  let rest = text.startsWith('$') ? text.slice(1) : text;
  if (rest === '.' || rest === '') return segments;
  if (!/^[.[]/.test(rest)) rest = `.${rest}`;
  const token = /^(?:\.?\[(\d+)\]|\.?\[("(?:[^"\\]|\\.)*")\]|\.([^.[\]"\s]+))/;
  while (rest !== '') {
    const match = token.exec(rest);
    if (match === null) return undefined;
    if (match[1] !== undefined) segments.push(Number(match[1]));
    else if (match[2] !== undefined) {
      try {
        segments.push(JSON.parse(match[2]) as string);
      } catch {
        return undefined;
      }
    } else segments.push(match[3] as string);
    rest = rest.slice(match[0].length);
  }
  return segments;
}

class SelectStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'many';
  readonly state = 'none';
  readonly #path: SelectPath;

  constructor(path: SelectPath) {
    this.#path = path;
  }

  process(block: Block, _context: StepContext, fail: FailRecord): Block {
    const bytes = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    let whole = block.whole === true;
    const out = new ByteWriter(bytes.length + 64);
    const spans = new SpanList();
    const emit = (start: number, end: number, offset: number): void => {
      const at = out.length;
      out.copy(bytes, start, end);
      spans.add(at, out.length, offset);
      out.byte(0x0a);
    };
    for (let i = 0; i < block.count; i++) {
      const offset = block.offsets[i] as number;
      const found = find(bytes, block.spans[2 * i] as number, block.spans[2 * i + 1] as number, this.#path.segments);
      if (found !== undefined && bytes[found.start] === 0x5b) {
        members(bytes, found.start, found.end, (_ks, _ke, start, end) => emit(start, end, offset));
        whole = false;
      } else if (found !== undefined) emit(found.start, found.end, offset);
      else if (this.#path.fallback !== undefined) {
        const at = out.length;
        out.text(this.#path.fallback);
        spans.add(at, out.length, offset);
        out.byte(0x0a);
      } else if (this.#path.strict) fail(i, new RecordError(`${describePath(this.#path.segments)} is not there`));
    }
    return { ...block, bytes: out.bytes.subarray(0, out.length), ...spans.take(), whole };
  }
}

/** The value at the path in compact valid JSON; of a key that stands twice, the last. */
function find(
  b: Buffer,
  start: number,
  end: number,
  path: readonly (string | number)[],
): { start: number; end: number } | undefined {
  let at = { start, end };
  for (const segment of path) {
    const open = b[at.start];
    if (open !== (typeof segment === 'string' ? 0x7b : 0x5b)) return undefined;
    let found: { start: number; end: number } | undefined;
    let index = 0;
    members(b, at.start, at.end, (keyStart, keyEnd, valueStart, valueEnd) => {
      const hit = typeof segment === 'number' ? index === segment : decodeString(b, keyStart, keyEnd) === segment;
      if (hit) found = { start: valueStart, end: valueEnd };
      index++;
    });
    if (found === undefined) return undefined;
    at = found;
  }
  return at;
}

/** Calls `each` for every member of the object, or element of the array, at `start`. */
function members(
  b: Buffer,
  start: number,
  end: number,
  each: (ks: number, ke: number, vs: number, ve: number) => void,
): void {
  const isObject = b[start] === 0x7b;
  let p = start + 1;
  while (p < end - 1) {
    const keyStart = p;
    let keyEnd = p;
    if (isObject) {
      keyEnd = skipString(b, p + 1, end);
      p = skipColon(b, keyEnd, end);
    }
    const valueStart = p;
    p = skipValue(b, p, end, 0);
    each(keyStart, keyEnd, valueStart, p);
    p++;
  }
}
