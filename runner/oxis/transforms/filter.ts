/** `filter`: keeps the records for which an expression is true. */
import * as z from 'zod/mini';
import type { RecordStep } from '../../engine/contracts.ts';
import { RecordError } from '../../engine/contracts.ts';
import type { Expression } from '../../kernel/bytes/forms.ts';
import { defineStep, field } from '../define.ts';
import { compileRecordExpression, formsOf } from '../expression.ts';

const config = () =>
  z.strictObject({
    where: field(z.string().check(z.minLength(1)), 'An expression; the record stays where it is true.', {
      expression: true,
    }),
  });

export const filter = defineStep({
  name: 'filter',
  kind: 'step',
  summary: 'Keeps the records for which an expression is true.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  make: (c, context): RecordStep => {
    const where = compileRecordExpression(c.where, context.stepId, 'where');
    return {
      form: 'record',
      cardinality: 'filter',
      touches: where.touches,
      get forms() {
        return formsOf([where], ([form]) => ({ do: 'filter', where: form as Expression }));
      },
      apply: (record, scope) => {
        const kept = where.evaluate(record, scope);
        if (kept === true) return 'keep';
        if (kept === false) return 'filter';
        throw new RecordError('"where" must be true or false for every record');
      },
    };
  },
});
