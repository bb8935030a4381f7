/** Records that are not like the ones before them: what the scan has learnt of a stream must never change what it finds. */
import { expect, test } from 'vitest';
import type { RecordStep, StepContext } from '../../runner/engine/contracts.ts';
import { Pass } from '../../runner/engine/fuse.ts';
import { blockOf, recordsOf } from '../contract/oxi-suite.ts';

const context: StepContext = {
  now: 0,
  params: new Map(),
  env: new Map(),
  stream: { framing: 'lines', selected: false },
  splitName: 'orders',
  offset: 0,
};

/** Drops `total` and `user.id`, and says which records were broken. */
function drops(records: readonly string[]): string[] {
  const touches = [['total'], ['user', 'id']];
  const step: RecordStep = {
    form: 'record',
    cardinality: 'one',
    touches,
    apply: (record) => {
      for (const path of touches) record.drop(path);
      return 'keep';
    },
  };
  const broken: string[] = [];
  const pass = new Pass([{ owner: 0, step }], { parser: 0, checked: false });
  const out = pass.run(blockOf(records), context, {
    filtered: () => undefined,
    failed: (_owner, index, error) => {
      broken.push(`${index}: ${error.message} at ${error.at}`);
      return false;
    },
  });
  return [...recordsOf(out), ...broken];
}

const USUAL = '{"id":1,"total":2,"user":{"id":3,"name":"Ana"},"note":4}';
const LEFT = '{"id":1,"user":{"name":"Ana"},"note":4}';

const odd: [what: string, record: string, expected: string][] = [
  [
    'keys in another order',
    '{"note":4,"user":{"name":"Ana","id":3},"total":2,"id":1}',
    '{"note":4,"user":{"name":"Ana"},"id":1}',
  ],
  [
    'a key that begins like the usual one',
    '{"id":1,"totals":2,"user":{"idx":3}}',
    '{"id":1,"totals":2,"user":{"idx":3}}',
  ],
  ['a key that ends where the usual one goes on', '{"id":1,"tota":2}', '{"id":1,"tota":2}'],
  ['an escaped key', '{"id":1,"t\\u006ftal":2,"user":{"\\u0069d":3}}', '{"id":1,"user":{}}'],
  ['white space before the colon', '{"id" :1,"total" : 2,"user" : {"id" :3}}', '{"id":1,"user":{}}'],
  ['white space behind the colon', '{"id": 1,"total":\t2,"user": {"id": 3}}', '{"id":1,"user":{}}'],
  ['a touched key twice', '{"total":1,"id":1,"total":2}', '{"id":1}'],
  [
    'another kind of value',
    '{"id":1,"total":{"x":1},"user":[{"id":3}],"note":4}',
    '{"id":1,"user":[{"id":3}],"note":4}',
  ],
  ['no members', '{}', '{}'],
  ['no object', '[1]', '[1]'],
  ['the end behind a usual key', '{"id":', '1: a value is missing at 6'],
  ['the end and a space behind a usual key', '{"id": ', '1: a value is missing at 7'],
  ['the end inside a usual key', '{"id":1,"tot', '1: a string is not closed at 12'],
  ['no colon behind a usual key', '{"id"1}', '1: a colon is missing behind a key at 5'],
  ['a comma behind the last member', '{"id":1,}', '1: a key in quotes is missing at 8'],
];

test.each(odd)('%s', (_what, record, expected) => {
  const isBroken = expected.startsWith('1: ');
  expect(drops([USUAL, record, USUAL])).toEqual(isBroken ? [LEFT, LEFT, expected] : [LEFT, expected, LEFT]);
});

test('records that are all different are still read right when nothing more is learnt of them', () => {
  const records = Array.from({ length: 3000 }, (_, i) => `{"k${i}":0,"total":1,"z${i % 7}":2}`);
  expect(drops(records)).toEqual(records.map((record) => record.replace('"total":1,', '')));
});
