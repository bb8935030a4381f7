/** Runs every row of expressions.yaml: what an expression means, and how it fails. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { programsOf } from '../../runner/engine/byte-pass.ts';
import { RecordError } from '../../runner/engine/contracts.ts';
import { compileExpression } from '../../runner/expressions/compile.ts';
import { ExpressionError } from '../../runner/expressions/errors.ts';
import { toJson } from '../../runner/expressions/stringify.ts';
import { map } from '../../runner/oxis/transforms/map.ts';
import { recordOf, scopeOf } from '../expressions/scope.ts';
import { ByteStage, opsOf } from '../kernel/tiers.ts';

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

/** The same of the kernel: the expression sets a field; undefined where the kernel has no program for it. */
function outcomeOnBytes(expression: string, record: string): { says: string; isOwn: boolean } | undefined {
  const context = { projectRoot: '.', stepId: 'step' };
  const ops = opsOf([...(map.make({ set: new Map([['the_result', expression]]) } as never, context) as never[])]);
  const { env, params, now } = scopeOf(recordOf(record));
  const given = { env: env as ReadonlyMap<string, string>, params, now };
  if ('why' in programsOf(ops, given, false)) return undefined;
  const stage = new ByteStage(ops, given);
  const { left, failed } = stage.run(Buffer.from(`${record}\n`));
  const [, says] = /"the_result":(.*)\}$/s.exec(Buffer.from(left[0] ?? '', 'latin1').toString()) ?? [];
  return { says: says ?? `error: ${failed[0]}`, isOwn: stage.deferred === 0 };
}

test('every row that the kernel has a program for means the same there', () => {
  let programs = 0;
  let own = 0;
  for (const { record, rows } of groups)
    for (const [expression] of rows) {
      const expected = outcome(expression, record);
      // A constant part may be wrong for every record: that is found before there is a step.
      const found =
        expected.startsWith('error: ') && isWrongForAll(expression) ? undefined : outcomeOnBytes(expression, record);
      if (found === undefined) continue;
      programs++;
      own += Number(found.isOwn);
      if (expected.startsWith('error: ')) expect(found.says, expression).toContain(expected.slice('error: '.length));
      else expect(found.says, expression).toBe(expected);
    }
  process.stdout.write(`${programs} rows have a program, the kernel itself answers ${own}\n`);
  expect(own).toBeGreaterThanOrEqual(250);
});

function isWrongForAll(expression: string): boolean {
  try {
    compileExpression(expression, { allowed: 'record' });
    return false;
  } catch (error) {
    if (error instanceof ExpressionError || error instanceof RecordError) return true;
    throw error;
  }
}

test('the table has at least 150 rows, and none twice', () => {
  const rows = groups.flatMap((group) => group.rows.map(([expression]) => `${group.record} ${expression}`));
  expect(rows.length).toBeGreaterThanOrEqual(150);
  expect(new Set(rows).size).toBe(rows.length);
});
