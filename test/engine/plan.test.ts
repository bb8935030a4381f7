import { expect, test } from 'vitest';
import { hashOf } from '../../runner/engine/plan.ts';

test('the order of fields belongs to the plan, also of those that look like whole numbers', () => {
  const set = (...names: string[]) => hashOf({ set: new Map(names.map((name) => [name, 'ride'])) });
  expect(set('2025', '2024')).not.toBe(set('2024', '2025'));
  expect(set('b', 'a')).not.toBe(set('a', 'b'));
  expect(set('b', 'a')).toBe(hashOf({ set: { b: 'ride', a: 'ride' } }));
});
