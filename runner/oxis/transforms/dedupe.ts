/** `dedupe`: of records with the same key the first stays, as long as it is among the last so many. */
import * as z from 'zod/mini';
import type { Block, BlockStep, FailRecord, FieldPath, StepContext } from '../../engine/contracts.ts';
import { RecordError } from '../../engine/contracts.ts';
import { Decimal } from '../../expressions/decimal.ts';
import { Duration, Timestamp } from '../../expressions/time.ts';
import type { Value } from '../../expressions/values.ts';
import { bufferOf, keepRecords } from '../../kernel/keep.ts';
import { PathTree } from '../../kernel/paths.ts';
import { JsonRecord } from '../../kernel/record.ts';
import type { Json } from '../../state/store.ts';
import { defineStep, field } from '../define.ts';
import { compileRecordExpression } from '../expression.ts';
import { checkedFieldPath } from './field-path.ts';
import { KEY_WORDS, RecentKeys } from './recent-keys.ts';

const config = () => {
  const name = z.string().check(z.minLength(1));
  return z.strictObject({
    key: field(
      z.union([name, z.array(name).check(z.minLength(1))]),
      'An expression, or a list of fields. Keys are compared as values: 1 and 1.0 are equal, 1 and "1" are not.',
      { expression: true },
    ),
    within: field(
      z.int().check(z.gte(1), z.lte(10_000_000)),
      'A record is left out where one of the last so many records that stayed has its key. Each takes 32 bytes of memory and 22 of a checkpoint.',
      { unit: 'records' },
    ),
  });
};

type Config = z.output<ReturnType<typeof config>>;

export const dedupe = defineStep({
  name: 'dedupe',
  kind: 'step',
  summary: 'Keeps the first of records with the same key.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  alone: { why: 'remembers the keys of the whole run' },
  make: (c, context): BlockStep => new DedupeStep(c.within, keyOf(c, context.stepId)),
});

interface Key {
  readonly touches: readonly FieldPath[];
  /** Text that is equal where the keys are. Throws RecordError. */
  read(record: JsonRecord, context: StepContext): string;
}

function keyOf({ key }: Config, step: string): Key {
  if (typeof key === 'string') {
    const expression = compileRecordExpression(key, step, 'key');
    return {
      touches: expression.touches,
      read: (record, context) => canonical(expression.evaluate(record, context)),
    };
  }
  const fields = key.map((text, i) => ({ text, path: checkedFieldPath(text, step, `key.${i}`) }));
  return {
    touches: fields.map(({ path }) => path),
    read: (record) => {
      let text = '';
      for (const { text: name, path } of fields) {
        const value = record.get(path);
        if (value === undefined) throw new RecordError(`the field "${name}" of the key is not there`);
        text += `${canonical(value)},`;
      }
      return text;
    },
  };
}

class DedupeStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'filter';
  readonly state = 'ordered';
  readonly #key: Key;
  readonly #record: JsonRecord;
  readonly #recent: RecentKeys;
  readonly #words = new Uint32Array(KEY_WORDS);
  // Dear to load, and most pipelines have no use for it.
  readonly #hash = process.getBuiltinModule('node:crypto').hash;

  constructor(within: number, key: Key) {
    this.#key = key;
    this.#record = new JsonRecord(new PathTree(key.touches));
    this.#recent = new RecentKeys(within);
  }

  process(block: Block, context: StepContext, fail: FailRecord): Block {
    const bytes = bufferOf(block);
    return keepRecords(block, (i) => {
      context.offset = block.offsets[i] as number;
      const broken = this.#record.load(bytes, block.spans[2 * i] as number, block.spans[2 * i + 1] as number);
      if (broken !== undefined) {
        fail(i, new RecordError(broken.reason, broken.at, 'GRAMMAR'));
        return false;
      }
      try {
        return this.#isNew(this.#key.read(this.#record, context));
      } catch (error) {
        if (!(error instanceof RecordError)) throw error;
        fail(i, error);
        return false;
      }
    });
  }

  #isNew(key: string): boolean {
    const digest = this.#hash('sha256', key, 'buffer');
    for (let w = 0; w < KEY_WORDS; w++) this.#words[w] = digest.readUInt32LE(4 * w);
    return this.#recent.add(this.#words);
  }

  get snapshotBytes(): number {
    return Math.ceil((this.#recent.count * KEY_WORDS * 4) / 3) * 4;
  }

  snapshot(): Json {
    return { keys: this.#recent.snapshot() };
  }

  restore(state: Json): void {
    this.#recent.restore((state as { keys: string }).keys);
  }
}

/** A text that two values share where expressions hold them for equal. */
function canonical(value: Value): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'boolean':
      return String(value);
    case 'bigint':
      return String(value);
    case 'number':
      if (!Number.isFinite(value)) throw new RecordError('a number out of range can be no key');
      if (Number.isInteger(value)) return String(BigInt(value));
      // Decimals write no exponent.
      return Math.abs(value) < 1e-6 ? Decimal.fromNumber(value).toString() : String(value);
    default:
      break;
  }
  if (value === null) return 'null';
  if (value instanceof Decimal) return value.toString();
  if (value instanceof Timestamp) return `t${value.ns}`;
  if (value instanceof Duration) return `d${value.toString()}`;
  if (value instanceof Map) {
    const members = [...(value as ReadonlyMap<string, Value>)].map(
      ([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`,
    );
    return `{${members.sort().join(',')}}`;
  }
  return `[${(value as readonly Value[]).map(canonical).join(',')}]`;
}
