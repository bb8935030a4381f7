/** What an error of the server means: worth another try, or the end. */
import { expect, test } from 'vitest';
import { judge } from '../../runner/state/redis/trouble.ts';

test.each([
  ['ERR max number of clients reached', 'passing'],
  ['LOADING Redis is loading the dataset in memory', 'passing'],
  ['NOAUTH Authentication required.', 'final'],
  ['ERR something that nobody knows', 'bug'],
])('%s', (message, kind) => {
  expect(judge(new Error(message), 'redis at here').kind).toBe(kind);
});
