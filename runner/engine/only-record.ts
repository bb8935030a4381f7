/** Fields of the one record that has left a step, for the segments behind: with a second record there are none. */
import type { Json } from '../state/store.ts';
import type { Block } from './contracts.ts';
import type { Barrier } from './flow.ts';
import type { StepMetadata } from './plan.ts';

/** A larger record is not looked into. */
const MAX_BYTES = 1 << 20;

interface Kept {
  records: number;
  fields: Record<string, string | number | boolean>;
}

export class OnlyRecord {
  readonly #id: string;
  readonly #names: readonly string[];
  #kept: Kept;

  /** `names`: those that somebody refers to; no others are kept. `before`: what was remembered at a checkpoint. */
  constructor(id: string, names: readonly string[], before: Json | undefined) {
    this.#id = id;
    this.#names = names;
    this.#kept = before === undefined ? { records: 0, fields: {} } : (before as unknown as Kept);
  }

  take({ bytes, spans, count }: Block): void {
    const isFirst = this.#kept.records === 0 && count === 1;
    const [start = 0, end = 0] = spans;
    const fields = isFirst && end - start <= MAX_BYTES ? this.#fieldsOf(bytes, start, end) : {};
    if (count > 0) this.#kept = { records: this.#kept.records + count, fields };
  }

  into(barrier: Barrier): void {
    barrier.snapshots[onlyKey(this.#id)] = { records: this.#kept.records, fields: { ...this.#kept.fields } };
  }

  #fieldsOf(bytes: Uint8Array, start: number, end: number): Kept['fields'] {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString();
    // A whole number that a double can't hold stays the text that it is.
    const record: unknown = JSON.parse(text, (_name, value: unknown, context?: { source?: string }) =>
      Number.isInteger(value) && !Number.isSafeInteger(value) ? (context?.source ?? value) : value,
    );
    const fields: Kept['fields'] = {};
    if (typeof record !== 'object' || record === null || Array.isArray(record)) return fields;
    for (const name of this.#names) {
      const value: unknown = Object.hasOwn(record, name) ? Reflect.get(record, name) : undefined;
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') fields[name] = value;
    }
    return fields;
  }
}

/** What it remembers stands in a checkpoint under a name that no step can have. */
export function onlyKey(id: string): string {
  return `.only.${id}`;
}

/** The fields, from a checkpoint at the end. */
export function onlyFields(state: Json | undefined): StepMetadata {
  return state === undefined ? {} : (state as unknown as Kept).fields;
}
