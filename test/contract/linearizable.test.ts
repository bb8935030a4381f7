import { describe, expect, test } from 'vitest';
import { explain, type Operation } from './linearizable.ts';

/** `at` is when it was called and when it was answered. */
const write = (at: [number, number], expected: number, version: number, by = 1): Operation => ({
  by,
  invoked: at[0],
  responded: at[1],
  kind: 'written',
  expected,
  version,
  value: `v${version}`,
});
const read = (at: [number, number], version: number, value = `v${version}`, by = 2): Operation => ({
  by,
  invoked: at[0],
  responded: at[1],
  kind: 'read',
  version,
  value: version === 0 ? '' : value,
});
const refused = (at: [number, number], expected: number, version: number, by = 3): Operation => ({
  by,
  invoked: at[0],
  responded: at[1],
  kind: 'refused',
  expected,
  version,
});

describe('a history is explained', () => {
  test.each<[string, Operation[]]>([
    ['of nothing', []],
    ['of one after another', [write([0, 1], 0, 1), read([2, 3], 1), write([4, 5], 1, 2), read([6, 7], 2)]],
    ['where a read during a write saw it', [write([0, 9], 0, 1), read([2, 3], 1)]],
    ['where a read during a write did not see it yet', [write([0, 9], 0, 1), read([2, 3], 0)]],
    [
      'where two reads during a write saw it come',
      [write([0, 9], 0, 1), read([1, 8], 0), read([2, 3], 0), read([4, 5], 1)],
    ],
    ['of a refusal by a write at the same time', [write([0, 5], 0, 1, 1), refused([1, 6], 0, 1)]],
    ['of writes that overlap, told in the wrong order', [write([1, 9], 1, 2, 2), write([0, 8], 0, 1, 1)]],
    ['where versions leave gaps', [write([0, 1], 0, 5), write([2, 3], 5, 9), read([4, 5], 9)]],
  ])('%s', (_, history) => {
    const order = explain(history);
    expect(order).toHaveLength(history.length);
    expect(new Set(order)).toEqual(new Set(history));
  });
});

describe('a history is refused', () => {
  test.each<[string, Operation[]]>([
    ['of a lost update: two writes replaced the same version', [write([0, 5], 0, 1, 1), write([1, 6], 0, 2, 2)]],
    ['of a stale read: it began after a write was answered', [write([0, 1], 0, 1), read([2, 3], 0)]],
    [
      'where a later read sees less than an earlier one',
      [write([0, 1], 0, 1), write([2, 9], 1, 2), read([3, 4], 2), read([5, 6], 1)],
    ],
    ['of a read that saw what nobody wrote', [write([0, 1], 0, 1), read([2, 3], 1, 'torn')]],
    ['of a refusal although the version was right', [write([0, 1], 0, 1), refused([2, 3], 1, 1)]],
    ['where a refused write is read after all', [write([0, 1], 0, 1), refused([2, 3], 0, 1), read([4, 5], 2)]],
    ['where a version goes back', [write([0, 1], 0, 5), write([2, 3], 5, 4)]],
    ['of a write that took effect before it was called', [read([0, 1], 1), write([2, 3], 0, 1)]],
  ])('%s', (_, history) => {
    expect(explain(history)).toBeUndefined();
  });
});
