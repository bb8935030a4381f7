/** The requests that a run is known by. */
import { expect, test } from 'vitest';
import { alsoFor, isFor } from '../../runner/engine/invocations.ts';

test('a run that was saved with one request is known by it, and by those that come to it', () => {
  const both = alsoFor({ invocation: 'monday' }, 'tuesday');
  expect(both).toEqual({ invocation: 'tuesday', invocations: ['monday', 'tuesday'] });
  expect(['monday', 'tuesday', 'wednesday'].map((day) => isFor(both, day))).toEqual([true, true, false]);
  expect(alsoFor(both, undefined)).toEqual(both);
  expect(alsoFor(both, 'monday')).toEqual({ invocation: 'monday', invocations: ['tuesday', 'monday'] });
});

test('a request without a name is never the same as another', () => {
  expect(alsoFor(undefined, undefined)).toEqual({});
  expect(isFor({}, undefined)).toBe(false);
});

test('of many, the newest 64 are known', () => {
  let run = {};
  for (let i = 0; i < 100; i++) run = alsoFor(run, `night-${i}`);
  expect([35, 36, 99].map((i) => isFor(run, `night-${i}`))).toEqual([false, true, true]);
});
