/** Expressions as the transforms use them: compiled once a step, evaluated for the record at hand. */
import type { FieldPath, RecordStep, RecordView, StepContext } from '../engine/contracts.ts';
import { RecordError } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';
import { byteForm, NoForm } from '../expressions/byte-form.ts';
import { compileExpression, type RecordReader, type Scope } from '../expressions/compile.ts';
import { ExpressionError } from '../expressions/errors.ts';
import type { Value } from '../expressions/values.ts';
import type { Expression, StepForm } from '../kernel/bytes/forms.ts';

export interface RecordExpression {
  readonly text: string;
  /** Fields that it reads; the empty path is the whole record. */
  readonly touches: readonly FieldPath[];
  readonly usesMeta: boolean;
  /** Throws RecordError. */
  evaluate(record: RecordView | RecordReader, context: StepContext): Value;
}

/** Throws OxiError CONFIG_INVALID that names the step and the field of its configuration. */
export function compileRecordExpression(text: string, step: string, field: string): RecordExpression {
  const compiled = naming(step, field, () => compileExpression(text, { allowed: 'record' }));
  const usesMeta = /\bmeta\b/.test(text);
  const meta = new Map<string, Value>();
  const scope: { -readonly [K in keyof Scope]: Scope[K] } = {
    record: { get: () => undefined, has: () => false },
    meta,
    env: new Map(),
    params: new Map(),
    steps: new Map(),
    now: 0,
  };
  return {
    text,
    touches: compiled.paths,
    usesMeta,
    evaluate(record, context) {
      scope.record = record as RecordReader;
      scope.env = context.env;
      scope.params = context.params as ReadonlyMap<string, Value>;
      scope.now = context.now;
      if (usesMeta) meta.set('file', context.splitName).set('offset', context.offset);
      return compiled.evaluate(scope);
    },
  };
}

/** The forms of a step that is made of expressions; `bytes` is given what each of them is to the kernel. */
export function formsOf(
  expressions: readonly RecordExpression[],
  bytes: (forms: readonly Expression[]) => StepForm,
): NonNullable<RecordStep['forms']> {
  let why: string | undefined;
  const forms: Expression[] = [];
  for (const expression of expressions) {
    const script = scriptOf(expression);
    try {
      forms.push({ form: byteForm(expression.text), ...(script === undefined ? {} : { script }) });
    } catch (error) {
      if (!(error instanceof NoForm)) throw error;
      why ??= error.message;
      if (script === undefined) return { why: error.message };
      forms.push({ script });
    }
  }
  return { bytes: bytes(forms), ...(why === undefined ? {} : { why }) };
}

/** The expression over what the kernel has found of a record: fields, but not the record as a whole, nor where it stands. */
function scriptOf({ touches, usesMeta, evaluate }: RecordExpression): Expression['script'] {
  if (usesMeta || touches.some((path) => path.length === 0)) return undefined;
  return { paths: touches, run: (record, context) => evaluate(record as RecordReader, context as StepContext) };
}

function naming<T>(step: string, field: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    // A condition has no record: what is missing or of the wrong type in it is wrong in the configuration.
    if (!(error instanceof ExpressionError) && !(error instanceof RecordError)) throw error;
    throw new OxiError('CONFIG_INVALID', `step "${step}", field "${field}": ${error.message}`, {
      place: { step, field },
      cause: error,
    });
  }
}

/** A `condition`: over env, params and earlier steps, before any record. Throws OxiError CONFIG_INVALID. */
export function evaluateCondition(
  text: string,
  step: string,
  world: {
    env: ReadonlyMap<string, string>;
    params: ReadonlyMap<string, unknown>;
    /** What is known of earlier steps, by id. */
    steps: ReadonlyMap<string, Readonly<Record<string, string | number | boolean>>>;
    now: number;
  },
): boolean {
  return naming(step, 'condition', () => {
    const compiled = compileExpression(text, { allowed: 'start' });
    const scope: Scope = {
      record: { get: () => undefined, has: () => false },
      meta: new Map(),
      env: world.env,
      params: world.params as ReadonlyMap<string, Value>,
      steps: new Map([...world.steps].map(([id, fields]) => [id, new Map(Object.entries(fields))])),
      now: world.now,
    };
    const value = compiled.evaluate(scope);
    if (typeof value !== 'boolean') throw new ExpressionError('a condition must be true or false', text, 0);
    return value;
  });
}
