/** What a record holds reaches no log line, no event and no saved state, whatever a step thinks of it. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder, oxiflow, pipelineOf } from './program.ts';

const CANARY = 'canary-guest-Rw83Kf';
/** As a number and as a whole number that no double holds. */
const NUMBER = '7391.8264';
const WHOLE = '90071992547409931777';

/** Steps that can't work on this record: it is dropped, or it stops the run. */
const FAILING: readonly [string, readonly [string, object]][] = [
  ['a cast', ['map', { cast: { guest: 'int' } }]],
  ['a cast to a time', ['map', { cast: { guest: 'timestamp' } }]],
  ['a cast to json', ['map', { cast: { guest: 'json' } }]],
  ['a conversion', ['map', { set: { x: 'int(guest)' } }]],
  ['a conversion to a time', ['filter', { where: 'timestamp(guest) != null' }]],
  ['a conversion to a decimal', ['filter', { where: 'decimal(guest) > decimal("1")' }]],
  ['a conversion to a boolean', ['filter', { where: 'bool(guest)' }]],
  ['a comparison', ['filter', { where: 'guest > 1' }]],
  ['a rest of a fraction', ['filter', { where: 'fare % 2 == 0' }]],
  ['arithmetic on a large number', ['map', { set: { x: 'number + 1' } }]],
  ['a large number negated', ['map', { set: { x: '-number' } }]],
  ['a key that is a value', ['map', { set: { x: 'room[guest]' } }]],
  ['a key of a text', ['map', { set: { x: 'guest[guest]' } }]],
  ['a place beyond a list', ['map', { set: { x: 'list[int(fare)]' } }]],
  ['a part beyond a text', ['map', { set: { x: 'guest.substring(int(fare))' } }]],
  ['a key that is made twice', ['map', { set: { x: '{guest: 1, guest: 2}' } }]],
  ['an algorithm', ['map', { set: { x: 'hash(guest, guest)' } }]],
  ['a time zone', ['map', { set: { x: 'timestamp("2026-03-01T12:00:00Z").getHours(guest)' } }]],
  ['a pattern', ['filter', { where: 'guest.matches("(" + guest)' }]],
  ['a schema', ['validate', { schema: { properties: { guest: { type: 'string', maxLength: 3 } } } }]],
  ['types', ['validate', { fields: { guest: 'int' } }]],
  ['a query that adds', ['json', { query: '.guest + 1' }]],
  ['a query that indexes', ['json', { query: '.fare[.guest]' }]],
  ['a query that reads a time', ['json', { query: '.guest | strptime("%Y")' }]],
  ['a query that reads a number', ['json', { query: '.guest | tonumber' }]],
  ['a query that reads json', ['json', { query: '.guest | fromjson' }]],
  ['a query that throws a value', ['json', { query: 'error(.guest)' }]],
  ['a query that throws an object', ['json', { query: 'error({guest, fare})' }]],
  ['a program that answers nonsense', ['exec', { command: ['sed', '-u', 's/^/=/'] }]],
];

const RECORD = `{"guest":"${CANARY}","fare":${NUMBER},"number":${WHOLE},"room":{"floor":1},"list":[1]}`;

/** Everything that the program said or wrote, but for its data. */
function told(root: string, said: string): string {
  const files = ['events.ndjson', 'summary.json', '.oxiflow']
    .map((name) => join(root, name))
    .flatMap((path) => {
      if (!existsSync(path)) return [];
      if (!statSync(path).isDirectory()) return [path];
      return readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name));
    });
  return [said, ...files.filter((path) => statSync(path).isFile()).map((path) => readFileSync(path, 'latin1'))].join(
    '\n',
  );
}

function leaks(text: string): string[] {
  return [CANARY, NUMBER, WHOLE, CANARY.slice(0, 12)].filter((part) => text.includes(part));
}

describe('nothing of a record is told by', () => {
  test.concurrent.each(FAILING)('%s that fails', async (what, [oxi, config]) => {
    const steps = (onError: string): string =>
      pipelineOf([
        ['read_file', { path: 'guests.ndjson' }],
        ['parse_json'],
        [oxi, config, { on_error: onError }],
        ['write_file', { path: 'output/guests.ndjson' }],
      ]);
    const root = folder({
      'oxiflow.yaml': 'project: { name: hotel }\n',
      'guests.ndjson': `${RECORD}\n`,
      'pipelines/stop.yaml': steps('stop'),
      'pipelines/letters.yaml': steps('dead_letter'),
    });
    const loud = ['-v', '--events', 'events.ndjson', '--summary', 'summary.json'];
    // Both say the same of the record: one in four stops the run, and logs JSON.
    const stops = FAILING.findIndex(([name]) => name === what) % 4 === 0;
    const stop = stops ? await oxiflow(['run', 'stop', '--log-format', 'json', ...loud], { cwd: root }) : undefined;
    if (stop !== undefined) expect(stop.code, stop.stderr).toBe(3);
    const letters = await oxiflow(['run', 'letters', ...loud, '--json'], { cwd: root });
    expect(letters.code, letters.stderr).toBe(0);
    const said = [stop, letters].map((one) => (one?.stdout ?? '') + (one?.stderr ?? '')).join('\n');
    expect(said).toContain('byte 0');
    expect(leaks(told(root, said))).toEqual([]);
    // The file of dead letters has the record, and a reason that does not repeat it.
    const letter = JSON.parse(readFileSync(join(root, 'output/dead_letters/letters.ndjson'), 'utf8'));
    expect({ record: leaks(letter.record).length > 0, reason: leaks(letter.reason) }).toEqual({
      record: true,
      reason: [],
    });
  });

  test.concurrent.each([
    ['a line that is no JSON', `{"guest":"${CANARY}",}\n`],
    ['a line that breaks off', `{"guest":"${CANARY}\n`],
    ['text in place of a record', `${CANARY}\n`],
  ])('%s', async (_what, text) => {
    const root = folder({
      'oxiflow.yaml': 'project: { name: hotel }\n',
      'guests.ndjson': text,
      'pipelines/guests.yaml': pipelineOf([
        ['read_file', { path: 'guests.ndjson' }],
        ['parse_json', { framing: 'lines' }],
        ['write_file', { path: 'output/guests.ndjson' }],
      ]),
    });
    const { code, stdout, stderr } = await oxiflow(['run', 'guests', '-v', '--events', 'events.ndjson'], { cwd: root });
    expect(code, stderr).toBe(3);
    expect(leaks(told(root, stdout + stderr))).toEqual([]);
    for (const verb of [['history'], ['state', 'show', 'guests'], ['doctor']])
      expect(leaks((await oxiflow([...verb, '--json'], { cwd: root })).stdout)).toEqual([]);
  });
});
