import { describe, expect, it } from 'vitest';
import { humanBytes, humanCount, humanDuration, humanRate, humanShare } from '../../runner/observe/human.ts';

describe('figures for people', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 KB'],
    [999_499, '999 KB'],
    [999_500, '1.00 MB'],
    [45_678_900, '45.7 MB'],
    [1_000_000_000, '1.00 GB'],
    [2.5e15, '2.50 PB'],
    [5e18, '5000 PB'],
  ])('%d bytes are %s', (bytes, text) => expect(humanBytes(bytes)).toBe(text));

  it.each([
    [0, '0.0 s'],
    [420, '0.4 s'],
    [9949, '9.9 s'],
    [9950, '10 s'],
    [59_499, '59 s'],
    [59_500, '1m 00s'],
    [185_000, '3m 05s'],
    [7_620_000, '2h 07m'],
    [273_600_000, '3d 04h'],
  ])('%d ms are %s', (ms, text) => expect(humanDuration(ms)).toBe(text));

  it.each([
    [0, '0'],
    [0.04, '0.0'],
    [9.94, '9.9'],
    [9.96, '10'],
    [1234.5, '1,235'],
  ])('%d a second is %s', (rate, text) => expect(humanRate(rate)).toBe(text));

  it.each([
    [0, '0 %'],
    [0.001, '<1 %'],
    [0.42, '42 %'],
    [0.9999, '99 %'],
    [1, '100 %'],
  ])('a share of %d is %s', (share, text) => expect(humanShare(share)).toBe(text));

  it('counts have separators', () => expect(humanCount(1_234_567)).toBe('1,234,567'));
});
