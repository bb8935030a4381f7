/** Runs every row of expressions.yaml: what an expression means, and how it fails. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { RecordError } from '../../runner/engine/contracts.ts';
import { compileExpression } from '../../runner/expressions/compile.ts';
import { ExpressionError } from '../../runner/expressions/errors.ts';
import { toJson } from '../../runner/expressions/stringify.ts';
import { recordOf, scopeOf } from '../expressions/scope.ts';

interface Group {
  promise: string;
  record: string;
  rows: [expression: string, result: string][];
}

const groups = parse(readFileSync(new URL('expressions.yaml', import.meta.url), 'utf8')) as Group[];

/** JSON text of the result, or "error: " and the message of a failure that belongs to the expression or the record. */
function outcome(expression: string, record: string): string {
  try {
    return toJson(compileExpression(expression, { allowed: 'record' }).evaluate(scopeOf(recordOf(record))));
  } catch (error) {
    if (error instanceof ExpressionError || error instanceof RecordError) return `error: ${error.message}`;
    throw error;
  }
}

for (const { promise, record, rows } of groups) {
  describe(promise, () => {
    test.each(rows)('%s', (expression, result) => {
      const actual = outcome(expression, record);
      if (result.startsWith('error: ')) {
        expect(actual).toMatch(/^error: /);
        expect(actual).toContain(result.slice('error: '.length));
      } else {
        expect(actual).toBe(result);
      }
    });
  });
}

test('the table has at least 150 rows, and none twice', () => {
  const rows = groups.flatMap((group) => group.rows.map(([expression]) => `${group.record} ${expression}`));
  expect(rows.length).toBeGreaterThanOrEqual(150);
  expect(new Set(rows).size).toBe(rows.length);
});
