import { describe, expect, it } from 'vitest';
import { didYouMean, listNames, nearest } from '../../runner/config/nearest.ts';
import { parseDuration, parseSize } from '../../runner/config/units.ts';

describe('units', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5m', 90_000],
    ['2 h', 7_200_000],
    ['1d', 86_400_000],
    ['0s', 0],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['30', 's', '-5s', '5 minutes', '5S', '1e3s', '', ' 5s', '999999999999d', '5toString', '1__proto__'])(
    '%j is no duration',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );

  it.each([
    ['64MB', 67_108_864],
    ['64 MiB', 67_108_864],
    ['1.5kb', 1536],
    ['7B', 7],
    ['2GB', 2_147_483_648],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['64', '64M', '64 Mb/s', '-1MB'])('%j is no size', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });
});

describe('the nearest name', () => {
  const fields = ['delimiter', 'headers', 'quote_char'];
  it.each([
    ['delimeter', 'delimiter'],
    ['Headers', 'headers'],
    ['qoute_char', 'quote_char'],
    ['header', 'headers'],
    ['rows', undefined],
    ['x', undefined],
  ])('to %s is %s', (name, expected) => {
    expect(nearest(name, fields)).toBe(expected);
  });

  it('is offered only where there is one', () => {
    expect(didYouMean('delimeter', fields)).toBe('; did you mean "delimiter"?');
    expect(didYouMean('zzz', fields)).toBe('');
    expect(listNames(['a', 'b', 'c'], 2)).toBe('a, b and 1 more');
  });
});
