/** Functions on text. Positions and sizes count code points, as in CEL; every result is bounded before it is made. */
import { RecordError } from '../engine/contracts.ts';
import type { Call, FunctionDefinition, Implementation } from './calls.ts';
import { isList, typeName } from './operators.ts';
import { compileRegex, type LinearRegex } from './regex.ts';
import { PatternError } from './regex-parse.ts';
import type { Value } from './values.ts';

const WIDE = /[\ud800-\udfff]/;
const MAX_PATTERNS = 100;

function textAt(call: Call, index: number, value: Value | undefined): string {
  if (typeof value === 'string') {
    call.budget.chargeText(value.length);
    return value;
  }
  throw new RecordError(`${call.labels[index]} is ${typeName(value ?? null)}, ${call.name}() needs text`);
}

function wholeAt(call: Call, index: number, value: Value | undefined): number {
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  throw new RecordError(
    `${call.labels[index]} is ${typeof value === 'number' ? 'a number with decimals' : typeName(value ?? null)}, ${call.name}() needs a whole number`,
  );
}

const onText =
  (run: (text: string) => Value): Implementation =>
  (call, a) =>
    run(textAt(call, 0, a));

const onTexts =
  (run: (text: string, other: string) => Value): Implementation =>
  (call, a, b) =>
    run(textAt(call, 0, a), textAt(call, 1, b));

function split(call: Call, a: Value, b: Value | undefined, c: Value | undefined): Value {
  const text = textAt(call, 0, a);
  const separator = textAt(call, 1, b);
  const limit = c === undefined ? -1 : wholeAt(call, 2, c);
  if (limit === 0) return [];
  const parts = separator === '' ? Array.from(text) : text.split(separator);
  call.budget.items(parts.length);
  // The last part keeps what is beyond the limit.
  return limit < 0 || parts.length <= limit
    ? parts
    : [...parts.slice(0, limit - 1), parts.slice(limit - 1).join(separator)];
}

/**
 * Element `index` of what split() makes of a text, without making the others; undefined where there is none, or where it takes the
 * whole list to know. `call`: that of split().
 */
export function partOfSplit(call: Call, a: Value, b: Value, index: number): string | undefined {
  const text = textAt(call, 0, a);
  const separator = textAt(call, 1, b);
  if (separator === '') return undefined;
  let start = 0;
  for (let i = 0; i < index; i++) {
    const at = text.indexOf(separator, start);
    if (at < 0) return undefined;
    start = at + separator.length;
  }
  call.budget.charge(index);
  const end = text.indexOf(separator, start);
  return text.slice(start, end < 0 ? text.length : end);
}

function join(call: Call, a: Value, b: Value | undefined): Value {
  if (!isList(a)) throw new RecordError(`${call.labels[0]} is ${typeName(a)}, join() needs a list of texts`);
  const separator = b === undefined ? '' : textAt(call, 1, b);
  call.budget.charge(a.length);
  let length = separator.length * Math.max(0, a.length - 1);
  const parts = a.map((item, i) => {
    if (typeof item !== 'string') {
      throw new RecordError(
        `element ${i} of ${call.labels[0]} is ${typeName(item)}, join() needs texts; use .map(x, string(x))`,
      );
    }
    length += item.length;
    return item;
  });
  call.budget.textOf(length);
  return parts.join(separator);
}

function replace(call: Call, a: Value, b: Value | undefined, c: Value | undefined): Value {
  const text = textAt(call, 0, a);
  const search = textAt(call, 1, b);
  const replacement = textAt(call, 2, c);
  if (search === '') throw new RecordError(`${call.labels[1]} is empty, replace() needs a text to look for`);
  const parts = text.split(search);
  call.budget.textOf(text.length + (parts.length - 1) * (replacement.length - search.length));
  return parts.join(replacement);
}

function substring(call: Call, a: Value, b: Value | undefined, c: Value | undefined): Value {
  const text = textAt(call, 0, a);
  const points = WIDE.test(text) ? Array.from(text) : undefined;
  const length = points === undefined ? text.length : points.length;
  const start = wholeAt(call, 1, b);
  const end = c === undefined ? length : wholeAt(call, 2, c);
  if (start < 0 || end < start || end > length) {
    throw new RecordError(
      `substring() from ${call.labels[1]} to ${call.labels[2] ?? 'its end'} is outside of ${call.labels[0]}, which has ${length} characters`,
    );
  }
  return points === undefined ? text.slice(start, end) : points.slice(start, end).join('');
}

const patterns = new Map<string, LinearRegex>();

/** Compiles a pattern once. Throws PatternError. */
export function pattern(text: string): LinearRegex {
  let compiled = patterns.get(text);
  if (compiled === undefined) {
    compiled = compileRegex(text);
    if (patterns.size >= MAX_PATTERNS) patterns.clear();
    patterns.set(text, compiled);
  }
  return compiled;
}

function matches(call: Call, a: Value, b: Value | undefined): Value {
  const text = textAt(call, 0, a);
  const source = textAt(call, 1, b);
  const { budget } = call;
  try {
    if (!patterns.has(source)) budget.charge(pattern(source).instructions);
    return pattern(source).test(text, (steps) => budget.charge(steps));
  } catch (error) {
    if (error instanceof PatternError) throw new RecordError(`${call.labels[1]}: ${error.message}`);
    throw error;
  }
}

const ALGORITHMS: ReadonlySet<string> = new Set(['sha256', 'sha1', 'md5']);
let crypto: typeof import('node:crypto') | undefined;

/** Hexadecimal digest of the UTF-8 text. */
function hash(call: Call, a: Value, b: Value | undefined): Value {
  const text = textAt(call, 0, a);
  const algorithm = b === undefined ? 'sha256' : textAt(call, 1, b);
  if (!ALGORITHMS.has(algorithm))
    throw new RecordError(`${call.labels[1]} is no algorithm of hash(): sha256, sha1, md5`);
  call.budget.charge(text.length >> 2);
  // Loaded at the first use: most runs never hash.
  crypto ??= process.getBuiltinModule('node:crypto');
  return crypto.hash(algorithm, text, 'hex');
}

export const texts: [string, FunctionDefinition][] = [
  ['contains', { min: 2, max: 2, run: onTexts((text, other) => text.includes(other)) }],
  ['startsWith', { min: 2, max: 2, run: onTexts((text, other) => text.startsWith(other)) }],
  ['endsWith', { min: 2, max: 2, run: onTexts((text, other) => text.endsWith(other)) }],
  ['lower', { min: 1, max: 1, run: onText((text) => text.toLowerCase()) }],
  ['upper', { min: 1, max: 1, run: onText((text) => text.toUpperCase()) }],
  ['trim', { min: 1, max: 1, run: onText((text) => text.trim()) }],
  ['split', { min: 2, max: 3, run: split }],
  ['join', { min: 1, max: 2, run: join }],
  ['replace', { min: 3, max: 3, run: replace }],
  ['substring', { min: 2, max: 3, run: substring }],
  ['matches', { min: 2, max: 2, run: matches }],
  ['hash', { min: 1, max: 2, run: hash }],
];
