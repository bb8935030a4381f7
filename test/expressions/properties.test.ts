/** Random expressions against oracles that share no code with the compiler: fractions of bigints, and the platform's RegExp. */
import { describe, expect, test } from 'vitest';
import { RecordError } from '../../runner/engine/contracts.ts';
import { compileExpression } from '../../runner/expressions/compile.ts';
import { Decimal } from '../../runner/expressions/decimal.ts';
import { compileRegex } from '../../runner/expressions/regex.ts';
import { toJson } from '../../runner/expressions/stringify.ts';
import type { Value } from '../../runner/expressions/values.ts';
import { scopeOf } from './scope.ts';

/** Mulberry32: numbers from 0 to 1, the same for the same seed. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const SEED = 20260301;

/** A random expression as text, and what it is worth: 'error' where some part of it fails. */
interface Sample<T> {
  text: string;
  value: T | 'error';
}

describe('random expressions mean what an independent evaluator says', () => {
  const run = (text: string): unknown => {
    try {
      return compileExpression(text, { allowed: 'record' }).evaluate(scopeOf(new Map([['a', 7]])));
    } catch (error) {
      if (error instanceof RecordError) return 'error';
      throw error;
    }
  };

  test('arithmetic of small whole numbers, held against bigint', () => {
    const random = generator(SEED);
    const sample = (depth: number): Sample<bigint> => {
      if (depth === 0 || random() < 0.2) {
        const value = BigInt(Math.floor(random() * 9) - 4);
        return random() < 0.2 ? { text: 'a', value: 7n } : { text: String(value), value };
      }
      const left = sample(depth - 1);
      const right = sample(depth - 1);
      const op = '+-*%'[Math.floor(random() * 4)] ?? '+';
      const text = `(${left.text} ${op} ${right.text})`;
      if (left.value === 'error' || right.value === 'error') return { text, value: 'error' };
      const [l, r] = [left.value, right.value];
      if (op === '%') return { text, value: r === 0n ? 'error' : l % r };
      return { text, value: op === '+' ? l + r : op === '-' ? l - r : l * r };
    };
    for (let i = 0; i < 2000; i++) {
      const { text, value } = sample(4);
      const actual = run(text);
      expect(actual === 'error' ? actual : BigInt(actual as number), `seed ${SEED}, sample ${i}: ${text}`).toBe(value);
    }
  });

  test('precedence without brackets, held against the platform, which shares it for these operators', () => {
    const random = generator(SEED + 1);
    const pick = (all: readonly string[]): string => all[Math.floor(random() * all.length)] ?? '';
    for (let i = 0; i < 2000; i++) {
      let text = String(Math.floor(random() * 20));
      for (let n = Math.floor(random() * 6); n > 0; n--)
        text += ` ${pick(['+', '-', '*', '/'])} ${1 + Math.floor(random() * 20)}`;
      const compared = `${text} ${pick(['<', '<=', '>', '>=', '==', '!='])} ${Math.floor(random() * 20)}`;
      const both = `${compared} ${pick(['&&', '||'])} ${pick(['true', 'false'])} ${pick(['&&', '||'])} ${pick(['!true', 'true'])} ? ${text} : 1`;
      const oracle = new Function(`return ${both}`) as () => unknown;
      expect(run(both), `seed ${SEED + 1}, sample ${i}: ${both}`).toBe(oracle());
    }
  });

  test('boolean logic with failing parts, held against a table of three values', () => {
    const random = generator(SEED + 2);
    const sample = (depth: number): Sample<boolean> => {
      const leaf = Math.floor(random() * 3);
      if (depth === 0)
        return (
          (
            [
              { text: 'true', value: true },
              { text: 'false', value: false },
              { text: 'gone', value: 'error' },
            ] as const
          )[leaf] ?? { text: 'true', value: true }
        );
      const left = sample(depth - 1);
      const right = sample(depth - 1);
      const op = random() < 0.4 ? '&&' : random() < 0.7 ? '||' : '?';
      if (op === '?') {
        const value = left.value === 'error' ? 'error' : left.value ? right.value : 'error';
        return { text: `(${left.text} ? ${right.text} : gone)`, value };
      }
      const decisive = op === '||';
      const text =
        random() < 0.5
          ? `(${left.text} ${op} ${right.text})`
          : `!(!${left.text} ${decisive ? '&&' : '||'} !${right.text})`;
      const values = [left.value, right.value];
      return { text, value: values.includes(decisive) ? decisive : values.includes('error') ? 'error' : !decisive };
    };
    for (let i = 0; i < 2000; i++) {
      const { text, value } = sample(4);
      expect(run(text), `seed ${SEED + 2}, sample ${i}: ${text}`).toBe(value);
    }
  });

  test('decimals, held against fractions of bigints', () => {
    const random = generator(SEED + 3);
    const number = (): { text: string; units: bigint; scale: number } => {
      const scale = Math.floor(random() * 6);
      const units = BigInt(Math.floor((random() - 0.5) * 1e9));
      const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0');
      const split = digits.length - scale;
      return {
        text: `${units < 0n ? '-' : ''}${digits.slice(0, split)}${scale > 0 ? '.' : ''}${digits.slice(split)}`,
        units,
        scale,
      };
    };
    for (let i = 0; i < 1000; i++) {
      const [a, b, c] = [number(), number(), number()];
      const text = `decimal("${a.text}") * decimal("${b.text}") - decimal("${c.text}")`;
      // Everything in units of 10^-20.
      const exact = a.units * b.units * 10n ** BigInt(20 - a.scale - b.scale) - c.units * 10n ** BigInt(20 - c.scale);
      const result = run(text);
      expect(result, text).toBeInstanceOf(Decimal);
      const { units, scale } = result as Decimal;
      expect(units * 10n ** BigInt(20 - scale), `seed ${SEED + 3}, sample ${i}: ${text}`).toBe(exact);
    }
  });

  test('round(x, places) of doubles, held against rounding of their exact texts', () => {
    const random = generator(SEED + 4);
    for (let i = 0; i < 3000; i++) {
      const digits = Math.floor(random() * 5);
      const value = Number(((random() - 0.5) * 10 ** Math.floor(random() * 8)).toFixed(Math.floor(random() * 12)));
      const text = `round(${value}, ${digits})`;
      const plain = Math.abs(value).toFixed(20);
      const shortest = String(Math.abs(value)).includes('e') ? plain : String(Math.abs(value));
      const [whole = '0', fraction = ''] = shortest.split('.');
      const units =
        BigInt(whole + fraction.slice(0, digits).padEnd(digits, '0')) + (Number(fraction[digits] ?? 0) >= 5 ? 1n : 0n);
      const expected = Number(`${value < 0 ? '-' : ''}${units}e-${digits}`);
      expect(toJson(run(text) as number), `seed ${SEED + 4}, sample ${i}: ${text}`).toBe(JSON.stringify(expected));
    }
  });
});

test('one part of split() is what the list of all has there, or it tells how many there are', () => {
  const random = generator(SEED + 6);
  const letters = (most: number): string =>
    Array.from({ length: Math.floor(random() * (most + 1)) }, () => 'ab,'[Math.floor(random() * 3)]).join('');
  for (let i = 0; i < 3000; i++) {
    const [text, separator, at] = [letters(8), letters(2), Math.floor(random() * 5)];
    const parts = separator === '' ? [...text] : text.split(separator);
    const one = (): Value =>
      compileExpression(`split(t, ${JSON.stringify(separator)})[${at}]`, { allowed: 'record' }).evaluate(
        scopeOf(new Map([['t', text]])),
      );
    const shown = `seed ${SEED + 6}: ${JSON.stringify(text)} by ${JSON.stringify(separator)}`;
    if (at < parts.length) expect(one(), shown).toBe(parts[at]);
    else expect(one, shown).toThrow(`has ${parts.length} elements, there is no element ${at}`);
  }
});

// Without characters beyond U+FFFF: the platform finds \B inside of their surrogate pairs.
test('patterns match as the platform says, where both know the syntax', () => {
  const random = generator(SEED + 5);
  const pick = (all: readonly string[]): string => all[Math.floor(random() * all.length)] ?? '';
  const piece = (depth: number): string => {
    const kind = Math.floor(random() * (depth === 0 ? 4 : 8));
    if (kind < 2) return pick(['a', 'b', 'c', '.', '\\d', '\\w', 'é']);
    if (kind === 2) return pick(['[ab]', '[^a]', '[a-c1]', '[\\d_]', '[^\\w]']);
    if (kind === 3) return pick(['^', '$', '\\b', '\\B', 'ab', '']);
    const inner = `${piece(depth - 1)}${piece(depth - 1)}`;
    if (kind === 4) return `(?:${inner}|${piece(depth - 1)})`;
    return `(?:${inner})${pick(['*', '+', '?', '{2}', '{1,3}', '{0,}', '*?', '+?'])}`;
  };
  for (let i = 0; i < 1500; i++) {
    const pattern = piece(3) + piece(2);
    const linear = compileRegex(pattern);
    const oracle = new RegExp(pattern, 'u');
    for (let n = 0; n < 8; n++) {
      let text = '';
      for (let length = Math.floor(random() * 9); length > 0; length--)
        text += pick(['a', 'b', 'c', '1', '_', ' ', '\n', 'é']);
      expect(
        linear.test(text, () => {}),
        `seed ${SEED + 5}: ${pattern} on ${JSON.stringify(text)}`,
      ).toBe(oracle.test(text));
    }
  }
});
