/** Patterns: the syntax of RE2, in linear time. */
import { describe, expect, test } from 'vitest';
import { compileRegex } from '../../runner/expressions/regex.ts';

const free = (): void => {};

describe('a pattern is read as RE2 reads it', () => {
  test.each<[string, string, boolean]>([
    ['', '', true],
    ['a{2,3}', 'caab', true],
    ['^a{2,3}$', 'aaaa', false],
    ['a{,3}', 'a{,3}', true],
    ['x{a}', 'x{a}', true],
    ['[[:digit:]]+', 'a7', true],
    ['^[[:^alpha:]]$', 'a', false],
    ['[]a]', ']', true],
    ['[a-]', '-', true],
    ['[\\]\\-]', '-', true],
    ['\\.\\*', '.*', true],
    ['\\x41\\x{1F600}', 'A😀', true],
    ['^\\pL+$', 'größe', true],
    ['^\\p{Greek}+$', 'αβγ', true],
    ['^\\P{Lu}$', 'A', false],
    ['^\\p{^Lu}$', 'a', true],
    ['(?i)straSSE', 'STRASSE', true],
    ['(?i)é', 'É', true],
    ['(?i)[^a]', 'A', false],
    ['(?i:a)b', 'AB', false],
    ['a(?i)b|c', 'aB', true],
    ['a.b', 'a\nb', false],
    ['(?s)a.b', 'a\nb', true],
    ['^b', 'a\nb', false],
    ['(?m)^b$', 'a\nb\nc', true],
    ['a$', 'a\n', false],
    ['\\Aa\\z', 'a', true],
    ['(?P<year>\\d{4})-(?<month>\\d\\d)', 'on 2026-03-01', true],
    ['(a|ab)(c|bcd)$', 'abcd', true],
    ['()*', '', true],
    ['(a*)*b', 'aaab', true],
    ['\\s', '\u00a0', false],
  ])('%s on %s', (pattern, text, matches) => {
    expect(compileRegex(pattern).test(text, free)).toBe(matches);
  });
});

test.each([
  '(',
  ')',
  '[a',
  'a**',
  '*a',
  '{2}a',
  'a|{1,}',
  '\\é',
  'a{2,1}',
  'a{1001}',
  '\\1',
  '(?=a)',
  '(?<!a)',
  '\\q',
  '\\',
  '[b-a]',
  '[[:nope:]]',
  '\\p{Nope}',
  '((a{1000}){1000}){1000}',
  '('.repeat(200),
])('%s is refused', (pattern) => {
  expect(() => compileRegex(pattern)).toThrow(/pattern|supported/);
});

test('what is remembered of texts stays bounded, and answers stay right, over many different characters', () => {
  const regex = compileRegex('^[^x]*x$');
  const many = Array.from({ length: 60_000 }, (_, i) => String.fromCodePoint(0x10000 + i)).join('');
  expect(regex.test(`${many}x`, free)).toBe(true);
  expect(regex.test(many, free)).toBe(false);
  expect(regex.test('abx', free)).toBe(true);
});

test('empty groups with nested counts take no time to compile', () => {
  expect(compileRegex(`${'('.repeat(90)}a?b${'(){1000}){1000}'.repeat(1)}${')'.repeat(89)}`).instructions).toBeLessThan(
    5000,
  );
  expect(compileRegex(`${'('.repeat(90)}${'){1000}'.repeat(90)}`).test('', free)).toBe(true);
});

test('work is charged in proportion to the text, whatever the pattern', () => {
  const regex = compileRegex('(a?){50}(a|b|[ab]){50}$');
  let steps = 0;
  regex.test('ab'.repeat(100_000), (more) => {
    steps += more;
  });
  expect(steps).toBeGreaterThan(10_000);
  expect(steps).toBeLessThan(100_000);
});
