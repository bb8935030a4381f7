/**
 * Cuts the text of an expression into tokens: CEL's names, numbers, strings (raw, triple-quoted, with escapes), operators
 * and comments. The whole text is cut before parsing; it is at most MAX_LENGTH characters.
 */
import { ExpressionError } from './errors.ts';

const MAX_LENGTH = 10_000;

export interface Token {
  kind: 'name' | 'quoted-name' | 'number' | 'string' | 'operator' | 'end';
  /** The name, the operator, or the text of a string with its escapes resolved. */
  text: string;
  /** Of a number: whole numbers beyond 2^53 are bigint. */
  value?: number | bigint;
  at: number;
  end: number;
}

const SPACE = /[ \t\n\r\f]+|\/\/[^\n]*/y;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const HEX = /0[xX][0-9a-fA-F]+[uU]?/y;
const NUMBER = /(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[uU]?)/y;
const STRING_START = /([rRbB]{0,2})("""|'''|"|')/y;
const OPERATOR = /==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()[\]{}]/y;
const BACKTICK = /`([^`\n]+)`/y;

const ESCAPES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    a: '\x07',
    b: '\b',
    f: '\f',
    n: '\n',
    r: '\r',
    t: '\t',
    v: '\v',
    '\\': '\\',
    '?': '?',
    '"': '"',
    "'": "'",
    '`': '`',
  }),
);

/** Throws ExpressionError at the first character that fits no token. */
export function tokenize(text: string): Token[] {
  if (text.length > MAX_LENGTH) {
    throw new ExpressionError(
      `the expression has ${text.length} characters, at most ${MAX_LENGTH} are allowed`,
      text,
      0,
    );
  }
  if (!text.isWellFormed()) throw new ExpressionError('the expression holds half a surrogate pair', text, 0);
  const tokens: Token[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  while (at < text.length) {
    const space = take(SPACE);
    if (space !== null) {
      at += space[0].length;
      continue;
    }
    const start = take(STRING_START);
    if (start !== null) {
      const token = stringToken(text, at, start[1] ?? '', start[2] ?? '"');
      tokens.push(token);
      at = token.end;
      continue;
    }
    const token = plainToken(text, at, tokens.at(-1), take);
    tokens.push(token);
    at = token.end;
  }
  tokens.push({ kind: 'end', text: '', at: text.length, end: text.length });
  return tokens;
}

function plainToken(
  text: string,
  at: number,
  before: Token | undefined,
  take: (pattern: RegExp) => RegExpExecArray | null,
): Token {
  const name = take(NAME);
  if (name !== null) return { kind: 'name', text: name[0], at, end: at + name[0].length };
  const afterOperand = before !== undefined && (before.kind !== 'operator' || /^[)\]}]$/.test(before.text));
  // ".5" is a number only where a value may begin: behind an operand the dot selects a member.
  const number = take(HEX) ?? (afterOperand && text[at] === '.' ? null : take(NUMBER));
  if (number !== null) {
    const end = at + number[0].length;
    if (/[A-Za-z0-9_]/.test(text[end] ?? ''))
      throw new ExpressionError(`"${number[0]}${text[end]}" is not a number`, text, at);
    return { kind: 'number', text: number[0], value: numberValue(number[0], text, at), at, end };
  }
  const quoted = take(BACKTICK);
  if (quoted !== null) return { kind: 'quoted-name', text: quoted[1] ?? '', at, end: at + quoted[0].length };
  const operator = take(OPERATOR);
  if (operator !== null) return { kind: 'operator', text: operator[0], at, end: at + operator[0].length };
  const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
  const hint =
    character === '='
      ? '; equality is "=="'
      : character === '&' || character === '|'
        ? `; use "${character}${character}"`
        : /[\p{L}\p{N}$@#]/u.test(character)
          ? '; a field with such a character in its name is record["..."]'
          : '';
  throw new ExpressionError(`${JSON.stringify(character)} is not expected here${hint}`, text, at);
}

function numberValue(digits: string, text: string, at: number): number | bigint {
  const plain = digits.replace(/[uU]$/, '');
  if (/^[0-9]+$|^0[xX]/.test(plain)) {
    const whole = BigInt(plain);
    return whole > 9007199254740992n ? whole : Number(whole);
  }
  const value = Number(plain);
  if (!Number.isFinite(value)) throw new ExpressionError(`${digits} is beyond the range of a number`, text, at);
  return value;
}

function stringToken(text: string, at: number, prefix: string, quote: string): Token {
  if (/b/i.test(prefix))
    throw new ExpressionError('byte strings are not supported: records are JSON, use a string', text, at);
  if (prefix.length > 1) throw new ExpressionError(`${JSON.stringify(prefix)} is not a prefix of a string`, text, at);
  const raw = prefix !== '';
  let i = at + prefix.length + quote.length;
  let value = '';
  for (;;) {
    const character = text[i];
    if (character === undefined || (quote.length === 1 && (character === '\n' || character === '\r'))) {
      throw new ExpressionError(`the string has no closing ${quote}`, text, at);
    }
    if (text.startsWith(quote, i)) return { kind: 'string', text: value, at, end: i + quote.length };
    if (character === '\\' && raw) {
      // In a raw string a backslash stands for itself, and so does a quote behind it.
      value += character + (text[i + 1] ?? '');
      i += 2;
    } else if (character === '\\') {
      const [resolved, length] = escapeAt(text, i);
      value += resolved;
      i += length;
    } else {
      value += character;
      i++;
    }
  }
}

/** The character that the escape at `i` stands for, and how long it is in the text. */
function escapeAt(text: string, i: number): [string, number] {
  const next = text[i + 1] ?? '';
  const simple = ESCAPES.get(next);
  if (simple !== undefined) return [simple, 2];
  const coded = /^(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))/.exec(
    text.slice(i + 1, i + 10),
  );
  if (coded === null)
    throw new ExpressionError(`"\\${next}" is not an escape; a backslash is "\\\\", or use r"..."`, text, i);
  const octal = coded[4];
  const code =
    octal !== undefined ? Number.parseInt(octal, 8) : Number.parseInt(coded[1] ?? coded[2] ?? coded[3] ?? '', 16);
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
    throw new ExpressionError(`"\\${coded[0]}" is no character; beyond U+FFFF write \\U and eight digits`, text, i);
  }
  return [String.fromCodePoint(code), coded[0].length + 1];
}
