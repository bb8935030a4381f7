import { expect, test } from 'vitest';
import { giveBuffer, takeBuffer } from '../../runner/kernel/buffers.ts';

const MB = 1 << 20;

/** Buffers of one size, given back together. */
function through(count: number, size: number): Set<ArrayBufferLike> {
  const taken = Array.from({ length: count }, () => takeBuffer(size));
  for (const one of taken) giveBuffer(one);
  return new Set(taken.map(({ buffer }) => buffer));
}

test('when blocks become larger, those of before make room: what is given is there for the next block', () => {
  // More than is kept, and too small for what follows.
  through(200, MB / 4);
  const large = through(10, 3 * MB);
  const again = Array.from({ length: 10 }, () => takeBuffer(3 * MB));
  expect(again.every(({ buffer }) => large.has(buffer))).toBe(true);
});

test('what nobody asks for any more is let go, little by little', () => {
  const before = through(20, MB);
  for (let i = 0; i < 5000; i++) giveBuffer(takeBuffer(5 * MB));
  const again = Array.from({ length: 20 }, () => takeBuffer(MB));
  expect(again.some(({ buffer }) => before.has(buffer))).toBe(false);
});

test('a giant is not kept, and drives out nobody', () => {
  const usual = through(10, MB);
  giveBuffer(takeBuffer(40 * MB));
  const again = Array.from({ length: 10 }, () => takeBuffer(MB));
  expect(again.every(({ buffer }) => usual.has(buffer))).toBe(true);
});

test('a buffer that is given twice would have two owners, and is refused', () => {
  const one = takeBuffer(MB);
  giveBuffer(one);
  expect(() => giveBuffer(one)).toThrow('given back twice');
});
