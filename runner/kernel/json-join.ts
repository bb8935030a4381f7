/** Texts of JSON that were written apart, by several workers, become the one that a single worker writes. */
import type { Join, PartText } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';

export interface JoinOptions {
  /** `value`: arrays, or else documents, of which there can be one. */
  framing: 'array' | 'document' | 'value';
  pretty: boolean;
  /** Who is named when a document would hold two records. */
  step: string;
}

const ARRAY = { open: '[', between: ',', close: ']\n' };
const PRETTY = { open: '[\n', between: ',\n', close: '\n]\n' };
const BRACKET = 0x5b;

export function jsonJoin({ framing, pretty, step }: JoinOptions): Join {
  const marks = pretty ? PRETTY : ARRAY;
  return async function* join(parts) {
    const [first, second] = parts;
    if (first === undefined) {
      if (framing !== 'document') yield Buffer.from('[]\n');
    } else if (framing === 'document' || (framing === 'value' && !(await isArray(first)))) {
      if (second !== undefined) throw twoRecords(step);
      yield* first.text();
    } else {
      for (const part of parts) {
        yield Buffer.from(part === first ? marks.open : marks.between);
        yield* inner(part, marks.open.length, marks.close.length);
      }
      yield Buffer.from(marks.close);
    }
  };
}

/** One document of several records is no text of its format. */
export function twoRecords(step: string): OxiError {
  return new OxiError(
    'RECORD_INVALID',
    `step "${step}": a document holds one record and the stream has more: set "framing: lines" or "framing: array"`,
    { place: { step, field: 'framing' } },
  );
}

async function isArray(part: PartText): Promise<boolean> {
  for await (const bytes of part.text()) if (bytes.length > 0) return bytes[0] === BRACKET;
  return false;
}

/** What stands between the first `head` bytes and the last `tail` bytes. */
async function* inner(part: PartText, head: number, tail: number): AsyncGenerator<Uint8Array> {
  let left = head;
  let held = Buffer.alloc(0);
  for await (const bytes of part.text()) {
    const from = Math.min(left, bytes.length);
    left -= from;
    const known = Buffer.concat([held, bytes.subarray(from)]);
    const end = Math.max(0, known.length - tail);
    held = Buffer.from(known.subarray(end));
    if (end > 0) yield known.subarray(0, end);
  }
}
