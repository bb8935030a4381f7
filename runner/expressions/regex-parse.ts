/**
 * Reads the regular expressions of RE2 (CEL's `matches`) into a tree. What RE2 lacks because it can't be matched in linear
 * time (back references, look-around) is refused, as are counts above 1000.
 */

/** Whether a code point belongs to a set. */
export type CharTest = (code: number) => boolean;
export type Assertion = 'text-start' | 'text-end' | 'line-start' | 'line-end' | 'word' | 'not-word';

export type Regex =
  | { kind: 'empty' }
  | { kind: 'char'; test: CharTest }
  | { kind: 'assert'; what: Assertion }
  | { kind: 'sequence'; items: Regex[] }
  | { kind: 'either'; items: Regex[] }
  | { kind: 'repeat'; item: Regex; min: number; max: number };

/** A pattern that is wrong; the message says how. */
export class PatternError extends Error {}

interface Flags {
  fold: boolean;
  lines: boolean;
  dotAll: boolean;
}

const MAX_COUNT = 1000;
const MAX_GROUPS = 100;

const digit: CharTest = (c) => c >= 48 && c <= 57;
const space: CharTest = (c) => c === 32 || c === 9 || c === 10 || c === 12 || c === 13;
const lower: CharTest = (c) => c >= 97 && c <= 122;
const upper: CharTest = (c) => c >= 65 && c <= 90;
const alpha: CharTest = (c) => lower(c) || upper(c);
export const isWord: CharTest = (c) => alpha(c) || digit(c) || c === 95;
const not =
  (test: CharTest): CharTest =>
  (c) =>
    !test(c);

const PERL: ReadonlyMap<string, CharTest> = new Map([
  ['d', digit],
  ['D', not(digit)],
  ['w', isWord],
  ['W', not(isWord)],
  ['s', space],
  ['S', not(space)],
]);
const POSIX: ReadonlyMap<string, CharTest> = new Map<string, CharTest>([
  ['alnum', (c) => alpha(c) || digit(c)],
  ['alpha', alpha],
  ['ascii', (c) => c < 128],
  ['blank', (c) => c === 32 || c === 9],
  ['cntrl', (c) => c < 32 || c === 127],
  ['digit', digit],
  ['graph', (c) => c > 32 && c < 127],
  ['lower', lower],
  ['print', (c) => c >= 32 && c < 127],
  ['punct', (c) => c > 32 && c < 127 && !alpha(c) && !digit(c)],
  ['space', (c) => space(c) || c === 11],
  ['upper', upper],
  ['word', isWord],
  ['xdigit', (c) => digit(c) || (c >= 97 && c <= 102) || (c >= 65 && c <= 70)],
]);
const CONTROL: ReadonlyMap<string, number> = new Map([
  ['n', 10],
  ['t', 9],
  ['r', 13],
  ['f', 12],
  ['v', 11],
  ['a', 7],
]);
const ASSERTIONS: ReadonlyMap<string, Assertion> = new Map([
  ['b', 'word'],
  ['B', 'not-word'],
  ['A', 'text-start'],
  ['z', 'text-end'],
]);

/** Throws PatternError. */
export function parseRegex(pattern: string): Regex {
  const chars = Array.from(pattern);
  let at = 0;
  let depth = 0;
  let flags: Flags = { fold: false, lines: false, dotAll: false };

  const fail = (message: string): PatternError =>
    new PatternError(`${message} (at character ${at + 1} of the pattern)`);
  const rest = (pattern: RegExp): RegExpExecArray | null => pattern.exec(chars.slice(at, at + 64).join(''));

  function either(): Regex {
    const items = [sequence()];
    while (chars[at] === '|') {
      at++;
      items.push(sequence());
    }
    return items.length === 1 && items[0] !== undefined ? items[0] : { kind: 'either', items };
  }

  function sequence(): Regex {
    const items: Regex[] = [];
    while (at < chars.length && chars[at] !== '|' && chars[at] !== ')') items.push(repeated());
    return { kind: 'sequence', items };
  }

  function repeated(): Regex {
    const item = atom();
    const count = repetition();
    if (count === undefined) return item;
    if (chars[at] === '?') at++;
    if (repetition() !== undefined) throw fail('a repetition follows a repetition');
    return { kind: 'repeat', item, ...count };
  }

  function repetition(): { min: number; max: number } | undefined {
    const character = chars[at];
    if (character === '*' || character === '+' || character === '?') {
      at++;
      return { min: character === '+' ? 1 : 0, max: character === '?' ? 1 : Number.POSITIVE_INFINITY };
    }
    const counted = character === '{' ? rest(/^\{(\d{1,5})(,(\d{0,5}))?\}/) : null;
    if (counted === null) return undefined;
    const min = Number(counted[1]);
    const max = counted[2] === undefined ? min : counted[3] === '' ? Number.POSITIVE_INFINITY : Number(counted[3]);
    if (min > MAX_COUNT || (max > MAX_COUNT && max !== Number.POSITIVE_INFINITY))
      throw fail(`a count is at most ${MAX_COUNT}`);
    if (max < min) throw fail('a repetition ends below its beginning');
    at += counted[0].length;
    return { min, max };
  }

  function atom(): Regex {
    const character = chars[at] ?? '';
    if (/^[*+?]$/.test(character) || rest(/^\{\d{1,5}(,\d{0,5})?\}/) !== null)
      throw fail(`"${character}" has nothing to repeat`);
    if (character === '(') return group();
    if (character === '[') return charOf(charClass());
    at++;
    if (character === '.') return { kind: 'char', test: flags.dotAll ? () => true : (c) => c !== 10 };
    if (character === '^') return { kind: 'assert', what: flags.lines ? 'line-start' : 'text-start' };
    if (character === '$') return { kind: 'assert', what: flags.lines ? 'line-end' : 'text-end' };
    if (character !== '\\') return charOf(single(character.codePointAt(0) ?? 0));
    const assertion = ASSERTIONS.get(chars[at] ?? '');
    if (assertion !== undefined) {
      at++;
      return { kind: 'assert', what: assertion };
    }
    return charOf(escaped());
  }

  function charOf(test: CharTest): Regex {
    return { kind: 'char', test: flags.fold ? (c) => test(c) || folded(c).some(test) : test };
  }

  function group(): Regex {
    if (++depth > MAX_GROUPS) throw fail(`groups nest deeper than ${MAX_GROUPS}`);
    at++;
    const outer = flags;
    const special = rest(/^\?(?:P?<([A-Za-z_]\w*)>|([imsU]*(?:-[imsU]+)?)([:)]))/);
    if (special !== null) {
      at += special[0].length;
      if (special[2] !== undefined) flags = changed(flags, special[2]);
      if (special[3] === ')') {
        // (?i) holds to the end of the group that it stands in.
        depth--;
        return { kind: 'empty' };
      }
    } else if (chars[at] === '?') {
      throw fail('look-around and other "(?" groups are not supported: matching takes linear time');
    }
    const inner = either();
    if (chars[at] !== ')') throw fail('a "(" has no ")"');
    at++;
    flags = outer;
    depth--;
    return inner;
  }

  function charClass(): CharTest {
    at++;
    const negated = chars[at] === '^';
    if (negated) at++;
    const tests: CharTest[] = [];
    for (let first = true; first || chars[at] !== ']'; first = false) {
      if (at >= chars.length) throw fail('a "[" has no "]"');
      const posix = rest(/^\[:(\^?)([a-z]+):\]/);
      if (posix !== null) {
        const test = POSIX.get(posix[2] ?? '');
        if (test === undefined) throw fail(`[:${posix[2]}:] is no class`);
        tests.push(posix[1] === '^' ? not(test) : test);
        at += posix[0].length;
        continue;
      }
      const low = classMember();
      if (typeof low !== 'number') {
        tests.push(low);
      } else if (chars[at] === '-' && at + 1 < chars.length && chars[at + 1] !== ']') {
        at++;
        const high = classMember();
        if (typeof high !== 'number' || high < low) throw fail('a range in "[...]" ends below its beginning');
        tests.push((c) => c >= low && c <= high);
      } else {
        tests.push(single(low));
      }
    }
    at++;
    // Folding comes before negation: (?i)[^a] refuses "A" too.
    const fold = flags.fold;
    const any: CharTest = (c) =>
      tests.some((test) => test(c)) || (fold && folded(c).some((other) => tests.some((test) => test(other))));
    if (!negated) return any;
    return not(any);
  }

  /** One code point, or a set. */
  function classMember(): number | CharTest {
    const character = chars[at++] ?? '';
    if (character !== '\\') return character.codePointAt(0) ?? 0;
    return codeOrSet();
  }

  function escaped(): CharTest {
    const found = codeOrSet();
    return typeof found === 'number' ? single(found) : found;
  }

  /** What stands behind a backslash. */
  function codeOrSet(): number | CharTest {
    const character = chars[at] ?? '';
    const set = PERL.get(character);
    const control = CONTROL.get(character);
    const hex = rest(/^x(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]{1,6})\})/);
    const property = rest(/^([pP])(?:([A-Z])|\{(\^?)([A-Za-z_]+)\})/);
    if (set !== undefined || control !== undefined) {
      at++;
      return set ?? control ?? 0;
    }
    if (hex !== null) {
      at += hex[0].length;
      return Number.parseInt(hex[1] ?? hex[2] ?? '', 16);
    }
    if (property !== null) {
      const test = unicode(property[2] ?? property[4] ?? '');
      if (test === undefined) throw fail(`\\${property[0]} is no Unicode category or script`);
      at += property[0].length;
      return (property[1] === 'P') !== (property[3] === '^') ? not(test) : test;
    }
    if (/^[1-9]$/.test(character)) throw fail('back references are not supported: matching takes linear time');
    if (!/^[!-~]$/.test(character) || /^[A-Za-z0-9]$/.test(character)) throw fail(`"\\${character}" is not an escape`);
    at++;
    return character.codePointAt(0) ?? 0;
  }

  const tree = either();
  if (at < chars.length) throw fail('a ")" has no "("');
  return tree;
}

function single(code: number): CharTest {
  return (c) => c === code;
}

function changed(flags: Flags, text: string): Flags {
  const [on = '', off = ''] = text.split('-');
  const of = (letter: string, before: boolean): boolean => (on.includes(letter) || before) && !off.includes(letter);
  return { fold: of('i', flags.fold), lines: of('m', flags.lines), dotAll: of('s', flags.dotAll) };
}

/** The other letter cases of a code point, where they are one code point. */
function folded(code: number): number[] {
  const text = String.fromCodePoint(code);
  return [text.toLowerCase(), text.toUpperCase(), text.toUpperCase().toLowerCase()]
    .filter((other) => other !== text && Array.from(other).length === 1)
    .map((other) => other.codePointAt(0) ?? code);
}

/** A general category such as L or Lu, or a script such as Greek. Only a checked name enters the test of one code point. */
function unicode(name: string): CharTest | undefined {
  for (const property of [name, `Script=${name}`]) {
    try {
      const test = new RegExp(`^\\p{${property}}$`, 'u');
      return (c) => test.test(String.fromCodePoint(c));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  return undefined;
}
