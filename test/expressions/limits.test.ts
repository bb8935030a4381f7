/** Hostile and oversized expressions and records end in one clear error: no crash, no hang, no way out to the host. */
import { describe, expect, test } from 'vitest';
import { RecordError } from '../../runner/engine/contracts.ts';
import { compileExpression } from '../../runner/expressions/compile.ts';
import { BudgetError, ExpressionError } from '../../runner/expressions/errors.ts';
import { toJson } from '../../runner/expressions/stringify.ts';
import type { Value } from '../../runner/expressions/values.ts';
import { scopeOf } from './scope.ts';

const run = (expression: string, record: Value = new Map()): Value =>
  compileExpression(expression, { allowed: 'record' }).evaluate(scopeOf(record));

describe('text that nests or chains without end is refused, and never overflows the stack', () => {
  const long = 4000;
  test.each([
    ['signs', `${'!'.repeat(long)}true`],
    ['minuses', `${'- '.repeat(long)}x`],
    ['brackets', '('.repeat(long)],
    ['lists', '['.repeat(long)],
    ['objects', '{"a":'.repeat(long / 4)],
    ['calls', 'int('.repeat(long / 2)],
    ['members', `a${'.a'.repeat(long)}`],
    ['indices', `a${'[0]'.repeat(long / 2)}`],
    ['sums', `a${'+a'.repeat(long)}`],
    ['relations', `a${'==a'.repeat(long / 2)}`],
    ['choices', `${'a?b:'.repeat(long / 2)}c`],
    ['receivers', `a${'.trim()'.repeat(1000)}`],
  ])('%s', (_name, text) => {
    expect(() => run(text)).toThrow(ExpressionError);
    expect(() => run(text)).toThrow(/nests deeper|chains more/);
  });

  test('an expression of more than 10,000 characters is refused', () => {
    expect(() => run('1'.padEnd(10_001))).toThrow('at most 10000');
  });

  test('a long list of alternatives is no nesting', () => {
    const text = Array.from({ length: 500 }, (_, i) => `id == ${i}`).join(' || ');
    expect(run(text, new Map([['id', 499]]))).toBe(true);
  });
});

describe('work and memory of one record are bounded', () => {
  const list = Array.from({ length: 3000 }, (_, i) => i);

  test.each([
    ['nested loops', 'n.all(a, n.all(b, n.all(c, c >= 0)))'],
    ['nested equality', 'n.all(a, n.all(b, n == same))'],
    ['an error that || would absorb', 'n.all(a, n.all(b, n == same)) || true'],
    ['a list that doubles', `[n]${'.map(m, m + m)'.repeat(12)}`],
    ['a text that doubles', `["aaaaaaaaaaaaaaaa"]${'.map(s, s + s + s + s)'.repeat(14)}`],
    ['a replacement that multiplies', `replace("${'a'.repeat(2000)}", "a", t)`],
    ['a separator that multiplies', 'n.map(i, t).join(t)'],
  ])('%s', (_name, text) => {
    const record = new Map<string, Value>([
      ['n', list],
      ['same', [...list]],
      ['t', 'x'.repeat(10_000)],
    ]);
    expect(() => run(text, record)).toThrow(BudgetError);
  });

  test('a budget that one record used up is whole again for the next', () => {
    const expression = compileExpression('n.all(a, n.all(b, n.all(c, true)))', { allowed: 'record' });
    expect(() => expression.evaluate(scopeOf(new Map([['n', list]])))).toThrow(BudgetError);
    expect(expression.evaluate(scopeOf(new Map([['n', [1, 2]]])))).toBe(true);
  });

  test('a pattern that makes backtracking engines explode matches at once', () => {
    const started = process.cpuUsage();
    expect(run('matches(t, "^(a+)+$")', new Map([['t', `${'a'.repeat(50_000)}!`]]))).toBe(false);
    expect(process.cpuUsage(started).user).toBeLessThan(2_000_000);
  });
});

test('values that nest deeper than the stack are a record error', () => {
  const deep = (): Value => {
    let value: Value = [];
    for (let i = 0; i < 100_000; i++) value = [value];
    return value;
  };
  expect(() =>
    run(
      'a == b',
      new Map([
        ['a', deep()],
        ['b', deep()],
      ]),
    ),
  ).toThrow(RecordError);
});

describe('an expression reaches fields, and nothing of the host', () => {
  const record = new Map<string, Value>([
    ['s', 'text'],
    ['o', new Map([['a', 1]])],
  ]);

  test.each([
    's.constructor.constructor("return process")()',
    'o["constructor"]["constructor"]',
    'o.size',
    'o.get',
    's["length"]',
    '[1]["constructor"]',
    '[1].concat([2])',
    'process.env.PATH',
    'globalThis',
    'this.process',
    'require("fs")',
    'import("fs")',
    'eval("1")',
    'Function("return 1")()',
    's.toString()',
    '(1).__proto__',
    'env.__proto__',
    'env["constructor"]',
    'params.toString',
    'meta["__proto__"]',
    'steps.constructor',
    'o.__proto__.polluted',
    '"${process.exit()}" + absent',
    'a`b`',
    '"\\u0022+process.exit()+\\u0022".absent',
  ])('%s', (text) => {
    let failure: unknown;
    try {
      run(text, record);
    } catch (error) {
      failure = error;
    }
    expect(failure instanceof ExpressionError || failure instanceof RecordError, `${text} gave ${failure}`).toBe(true);
  });

  test('text that looks like code stays text', () => {
    const hostile = '"+process.exit(9)+"\n\u2028${1}`\\';
    expect(run(`s == ${JSON.stringify(hostile).replaceAll('$', '\\x24')}`, new Map([['s', hostile]]))).toBe(true);
  });

  test('an object with a key __proto__ is written as data and changes no prototype', () => {
    expect(toJson(run('{"__proto__": {"polluted": true}}'))).toBe('{"__proto__":{"polluted":true}}');
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });
});
