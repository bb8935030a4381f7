/** What a compiled expression says of itself, and what it asks of the record. */
import { describe, expect, test } from 'vitest';
import { RecordError } from '../../runner/engine/contracts.ts';
import { compileExpression } from '../../runner/expressions/compile.ts';
import { Decimal } from '../../runner/expressions/decimal.ts';
import { ExpressionError } from '../../runner/expressions/errors.ts';
import { toJson } from '../../runner/expressions/stringify.ts';
import type { Value } from '../../runner/expressions/values.ts';
import { recordOf, scopeOf } from './scope.ts';

describe('an expression names the fields that it touches, by their longest constant path', () => {
  test.each<[string, readonly (readonly string[])[] | 'all']>([
    ['ok == true', [['ok']]],
    [
      'user.country + record["user"].id',
      [
        ['user', 'country'],
        ['user', 'id'],
      ],
    ],
    ['record["in"].x + record["in"].x', [['in', 'x']]],
    ['has(user.email) ? user.email : "-"', [['user', 'email']]],
    ['default(note, 1)', [['note']]],
    ['items[0].sku', [['items']]],
    ['items.map(i, i.price * rate)', [['items'], ['rate']]],
    ['items.map(rate, rate.x)', [['items']]],
    ['env.REGION == params.day', []],
    ['meta.file', []],
    ['1 + 2', []],
    ['record[name]', 'all'],
    ['size(record)', 'all'],
    ['name in record', 'all'],
  ])('%s', (text, touched) => {
    expect(compileExpression(text, { allowed: 'record' }).touches).toEqual(touched);
  });
});

test('an expression asks for each path with one and the same array, so that readers may remember it', () => {
  const { paths, evaluate } = compileExpression('user.id + user.id', { allowed: 'record' });
  const seen = new Set<unknown>();
  const scope = scopeOf(new Map());
  const get = (path: readonly string[]): number => {
    seen.add(path);
    return 1;
  };
  evaluate({ ...scope, record: { get, has: () => true } });
  expect([...seen]).toEqual(paths);
  expect(seen.size).toBe(1);
});

describe('a condition at start has no record', () => {
  test('it reads the environment, parameters, earlier steps and the clock', () => {
    const text = 'env.REGION == "eu" && params.rate > 1 && steps.orders.records > 0 && now() > params.day';
    expect(compileExpression(text, { allowed: 'start' }).evaluate(scopeOf(null))).toBe(true);
  });
  test.each(['total > 1', 'has(total)', 'default(total, 1)', 'size(record)', 'meta.file', '[1].map(x, total)'])(
    '%s is refused',
    (text) => {
      expect(() => compileExpression(text, { allowed: 'start' })).toThrow(ExpressionError);
      expect(() => compileExpression(text, { allowed: 'start' })).toThrow(/at start/);
    },
  );
});

test('an expression over records has no steps, and says how to have what they left', () => {
  for (const text of ['steps.rides.records > 1', '[1].map(x, x + steps["rides"].records)', 'size(steps)'])
    expect(() => compileExpression(text, { allowed: 'record' })).toThrow(
      /steps is there only in a condition; write what a step has left as \$\{steps\.ID\.FIELD\}/,
    );
});

test('an error knows its place in the expression', () => {
  try {
    compileExpression('ok &&\n  uper(name)', { allowed: 'record' });
    expect.unreachable();
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    expect(error.offset).toBe(8);
    expect(error.place.column).toBe(3);
    expect(error.exitCode).toBe(2);
  }
});

test('decimal of a field takes the digits of the source, beyond what a double holds', () => {
  const scope = scopeOf(recordOf('{"amount":12345678901234567.89}'), { amount: '12345678901234567.89' });
  expect(toJson(compileExpression('decimal(amount) * 2', { allowed: 'record' }).evaluate(scope))).toBe(
    '24691357802469135.78',
  );
});

test('now is the start of the run, however often and late it is asked', () => {
  const expression = compileExpression('string(now())', { allowed: 'record' });
  const scope = scopeOf(new Map());
  expect(expression.evaluate(scope)).toBe('2026-03-01T12:00:00Z');
  expect(expression.evaluate({ ...scope, now: 1.5 })).toBe('1970-01-01T00:00:00.0015Z');
});

describe('a value is written as JSON.stringify would, with exact digits', () => {
  test.each<[Value, string]>([
    ['a"\n\u2028é😀', JSON.stringify('a"\n\u2028é😀')],
    ['\ud800', '"\\ud800"'],
    [-0, '0'],
    [1e21, '1e+21'],
    [2n ** 70n, '1180591620717411303424'],
    [Decimal.fromNumber(0.1), '0.1'],
    [
      new Map<string, Value>([
        ['2', null],
        ['10', [true, 'x']],
        ['1', new Map()],
      ]),
      '{"2":null,"10":[true,"x"],"1":{}}',
    ],
  ])('%o', (value, text) => {
    expect(toJson(value)).toBe(text);
  });
  test.each([Number.NaN, Number.POSITIVE_INFINITY])('%d is refused', (value) => {
    expect(() => toJson([value])).toThrow(RecordError);
  });
  test('a value that nests without end is refused', () => {
    let deep: Value = [];
    for (let i = 0; i < 5000; i++) deep = [deep];
    expect(() => toJson(deep)).toThrow('nests deeper');
  });
});
