/** The closures of operators: the plain cases of numbers, texts and constants inline, for speed; the rest in operators.ts. */
import { RecordError } from '../engine/contracts.ts';
import type { Budget } from './budget.ts';
import { Decimal } from './decimal.ts';
import type { Run } from './frame.ts';
import { arithmetic, compare, equal, isList, isObject, type Sides, typeName } from './operators.ts';
import { Duration } from './time.ts';
import type { Value } from './values.ts';

/** `constant` is the right side where it is a literal. */
export function binary(sides: Sides, left: Run, right: Run, constant: Value | undefined, budget: Budget): Run {
  switch (sides.op) {
    case '==':
      return equality(left, right, constant, true, budget);
    case '!=':
      return equality(left, right, constant, false, budget);
    case '<':
    case '<=':
    case '>':
    case '>=':
      return order(sides, left, right, budget);
    case 'in':
      return membership(sides, left, right, budget);
    default:
      return calculation(sides, left, right, budget);
  }
}

function equality(left: Run, right: Run, constant: Value | undefined, wanted: boolean, budget: Budget): Run {
  if (constant === null || typeof constant === 'boolean' || typeof constant === 'string') {
    return () => (left() === constant) === wanted;
  }
  return () => {
    const a = left();
    const b = right();
    if (typeof a === 'number' && typeof b === 'number') return (a === b) === wanted;
    return equal(a, b, budget) === wanted;
  };
}

function order(sides: Sides, left: Run, right: Run, budget: Budget): Run {
  switch (sides.op) {
    case '<':
      return () => {
        const a = left();
        const b = right();
        return typeof a === 'number' && typeof b === 'number' ? a < b : compare(a, b, sides, budget) < 0;
      };
    case '<=':
      return () => {
        const a = left();
        const b = right();
        return typeof a === 'number' && typeof b === 'number' ? a <= b : compare(a, b, sides, budget) <= 0;
      };
    case '>':
      return () => {
        const a = left();
        const b = right();
        return typeof a === 'number' && typeof b === 'number' ? a > b : compare(a, b, sides, budget) > 0;
      };
    default:
      return () => {
        const a = left();
        const b = right();
        return typeof a === 'number' && typeof b === 'number' ? a >= b : compare(a, b, sides, budget) >= 0;
      };
  }
}

function membership(sides: Sides, left: Run, right: Run, budget: Budget): Run {
  return () => {
    const value = left();
    const group = right();
    if (isObject(group)) return typeof value === 'string' && group.has(value);
    if (!isList(group)) throw new RecordError(`${sides.right} is ${typeName(group)}, "in" needs a list or an object`);
    budget.charge(group.length);
    return group.some((item) => equal(value, item, budget));
  };
}

/** A result that is not finite, and every operand that is no number, goes the long way, which knows the message. */
function calculation(sides: Sides, left: Run, right: Run, budget: Budget): Run {
  switch (sides.op) {
    case '+':
      return () => {
        const a = left();
        const b = right();
        if (typeof a === 'number' && typeof b === 'number') {
          const sum = a + b;
          if (sum - sum === 0) return sum;
        } else if (typeof a === 'string' && typeof b === 'string' && a.length + b.length <= 64) {
          return a + b;
        }
        return arithmetic(a, b, sides, budget);
      };
    case '-':
      return () => {
        const a = left();
        const b = right();
        if (typeof a === 'number' && typeof b === 'number') {
          const difference = a - b;
          if (difference - difference === 0) return difference;
        }
        return arithmetic(a, b, sides, budget);
      };
    case '*':
      return () => {
        const a = left();
        const b = right();
        if (typeof a === 'number' && typeof b === 'number') {
          const product = a * b;
          if (product - product === 0) return product;
        }
        return arithmetic(a, b, sides, budget);
      };
    case '/':
      return () => {
        const a = left();
        const b = right();
        if (typeof a === 'number' && typeof b === 'number' && b !== 0) {
          const quotient = a / b;
          if (quotient - quotient === 0) return quotient;
        }
        return arithmetic(a, b, sides, budget);
      };
    default:
      return () => arithmetic(left(), right(), sides, budget);
  }
}

export function negate(operand: Run, label: string): Run {
  return () => {
    const value = operand();
    if (typeof value === 'number') return -value;
    if (value instanceof Decimal) return value.negated();
    if (value instanceof Duration) return Duration.of(-value.ns);
    if (typeof value === 'bigint')
      throw new RecordError(`${label} is a whole number beyond 2^53: "-" would lose digits, use decimal(...)`);
    throw new RecordError(`${label} is ${typeName(value)}, "-" needs a number`);
  };
}
