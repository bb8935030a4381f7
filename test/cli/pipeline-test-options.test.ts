/** What `pipeline test` does beyond running tests: all mistakes at once, one step alone, the clock, differences, --update, --connect. */
import { chmodSync, existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder, NOBODY, oxiflow, pipelineOf, put, snapshot } from './program.ts';

const PROJECT = { 'oxiflow.yaml': 'project:\n  name: shop\n' };
const STEPS = `pipeline: # of orders
  - name: read_file
    config: { path: input/orders.ndjson }
  - name: parse_json
  - name: filter
    config: { where: total >= 10 }
    on_error: dead_letter
  - name: map
    config: { set: { at: string(now()) } }
  - name: batch
    config: { batch_size: 2, emit: array }
  - name: format_csv
    id: csv
    condition: "false"
  - name: write_file
    config: { path: output/large.ndjson }
`;

async function tested(tests: string, args: readonly string[] = []) {
  const cwd = folder({ ...PROJECT, 'pipelines/orders.yaml': `${STEPS}tests:\n${tests}` });
  const ended = await oxiflow(['pipeline', 'test', 'orders', ...args], { cwd });
  return {
    ...ended,
    cwd,
    file: readFileSync(join(cwd, 'pipelines/orders.yaml'), 'utf8').replace(`${STEPS}tests:\n`, ''),
  };
}

describe('a step alone', () => {
  test.concurrent('is given the records, and what leaves it is compared, its dead letters and the clock too', async () => {
    const { code, stdout, stderr } = await tested(`
  - { name: f, step: filter, input: [{ total: 10 }, { total: 9 }, { total: x }], expect: { records: [{ total: 10 }], errors: 1, dead_letters: [{ step: filter }] } }
  - { name: m, step: map, now: "2026-07-31T10:00:00Z", input: [{ a: 1 }], expect: { records: [{ a: 1, at: "2026-07-31T10:00:00Z" }] } }
  - { name: b, step: batch, input: [1, 2, 3], expect: { records: [[1, 2], [3]] } }
  - { name: p, step: parse_json, input: { text: "[1, 2]" }, expect: { records: [1, 2] } }
  - { name: p2, step: parse_json, input: { text: "{" }, expect: { exit_code: 3, message: ends too early } }
`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/orders: good, 5 tests passed\n$/);
  });

  const at = 'pipelines/orders.yaml';
  test.concurrent.each<[string, string, string]>([
    [
      'a source',
      'step: read_file, input: []',
      `${at}:19:22: test "a": "read_file" is a source, and nothing goes into it: test the step behind it`,
    ],
    [
      'a sink',
      'step: write_file, input: []',
      `${at}:19:22: test "a": "write_file" is a sink, and nothing leaves it: test the step before it, or the whole pipeline`,
    ],
    ['nothing', 'step: filtr, input: []', `${at}:19:22: field "tests": no step "filtr"; did you mean "filter"?`],
    [
      'one that is skipped',
      'step: csv, input: []',
      `${at}:19:22: test "a": "csv" is skipped: its condition is false here`,
    ],
    [
      'several inputs',
      'step: filter, inputs: { read_file: [] }',
      `${at}:19:38: field "tests.inputs": the step has one input: write "input"`,
    ],
    [
      'a time that is none',
      'now: noon, input: []',
      `${at}:19:21: field "tests.now": must be a time such as "2026-07-31T10:00:00Z", got "noon"`,
    ],
  ])('is refused where it is %s', async (_what, fields, message) => {
    const { code, stderr } = await tested(`\n  - { name: a, ${fields}, expect: { records: [] } }\n`);
    expect({ code, stderr }).toEqual({ code: 2, stderr: `${message}\n` });
  });
});

test('all mistakes of all pipelines are told at once, and the worst exit code counts', async () => {
  const wrong = pipelineOf([
    ['read_file', { path: 'a' }],
    ['parse_json'],
    ['filter', { where: 'total >' }],
    ['map', { set: { a: 'lowr(b)' } }],
    ['write_file', { path: 'b' }],
  ]);
  const typos = pipelineOf([['read_file', { pth: 'a' }], ['parse_jsn'], ['write_file', { path: 'b' }]]);
  const failing = `${STEPS}tests: [{ name: one, input: [{ total: 11 }], expect: { records: [] } }, { name: two, input: [], params: { x: 1 }, expect: { records: [] } }]\n`;
  const cwd = folder({ ...PROJECT, 'pipelines/a.yaml': wrong, 'pipelines/b.yaml': typos, 'pipelines/c.yaml': failing });
  const { code, stdout, stderr } = await oxiflow(['pipeline', 'test'], { cwd });
  expect(code).toBe(2);
  expect(stdout).toBe(
    'a: 2 errors\nb: 2 errors\nc: failed: one\nc: 1 error, 1 of 1 test failed\n0 of 3 pipelines good, 5 errors, 0 of 1 test passed, 1 failed\n',
  );
  for (const part of ['"filter", field "where"', '"map", field "set.a"', '"pth"', '"parse_jsn"', 'no such parameter'])
    expect(stderr).toContain(part);
});

test('a misspelt field in one step hides no mistake in the expression of another', async () => {
  const both = pipelineOf([
    ['read_file', { pth: 'a' }],
    ['parse_json'],
    ['filter', { where: 'total = 3' }],
    ['map', { set: { a: 'rund(1)' } }],
    ['write_file', { path: 'b' }],
  ]);
  const { code, stdout, stderr } = await oxiflow(['pipeline', 'test', 'both'], {
    cwd: folder({ ...PROJECT, 'pipelines/both.yaml': both }),
  });
  expect({ code, stdout }).toEqual({ code: 2, stdout: 'both: 3 errors\n' });
  for (const part of ['unknown field "pth"', 'equality is "=="', 'did you mean "round"?'])
    expect(stderr).toContain(part);
});

test('a difference is shown with the records one under the other, and what differs is marked', async () => {
  const { code, stderr } = await tested(`
  - name: who
    step: filter
    input: [{ total: 10, who: { name: Ann } }, { total: 11 }, { total: 12 }]
    expect: { records: [{ total: 10, who: { name: Bob } }, { total: 12 }] }
`);
  expect(code).toBe(3);
  expect(stderr).toBe(`orders: who: "filter", record 1, field "who.name": expected "Bob", got "Ann"
  record 1
    expected {"total":10,"who":{"name":"Bob"}}
                                       ^^^^^
    got      {"total":10,"who":{"name":"Ann"}}
                                       ^^^^^
  record 2 too many
    got      {"total":11}
`);
});

test('of many differences a screen is shown, and of a long record what differs', async () => {
  const long = 'x'.repeat(300);
  const rows = (n: number) =>
    Array.from({ length: 30 }, (_, i) => `{ total: 10, a: ${long}, i: ${i}, n: ${n} }`).join(', ');
  const { stderr } = await tested(
    `\n  - { name: many, step: filter, input: [${rows(1)}], expect: { records: [${rows(2)}] } }\n`,
  );
  const lines = stderr.trimEnd().split('\n');
  expect(lines.slice(1, 6)).toEqual([
    '  record 1',
    '    expected {…,"n":2}',
    '                    ^',
    '    got      {…,"n":1}',
    '                    ^',
  ]);
  expect(lines.length).toBeLessThan(22);
  expect(lines.at(-1)).toMatch(/^ {2}and 2\d more records differ$/);
});

describe('--update', () => {
  const TESTS = `
  - name: good # stays
    step: filter
    input: [ {total: 10} ]
    expect: { records:   [ {total: 10.0} ] }
  - name: flow
    step: filter
    input: [{ total: 12, who: { note: "a, b" } }, { total: 30 }, { total: many }]
    expect: { records: [{ total: 12, who: { note: y } }, { total:   30 }], errors: 0, dead_letters: [] } # here
  - name: block
    step: map
    now: "2026-07-31T10:00:00Z"
    input: [{ a: "007" }, { a: true }]
    expect:
      # the first is as it was
      records:
        - a: "007" # text
          at: 2026-07-31T10:00:00Z
        - a: false
`;

  test('rewrites what failed and not another character, and then the tests pass', async () => {
    const { code, stdout, file, cwd } = await tested(TESTS, ['--update']);
    expect(code).toBe(0);
    expect(stdout).toBe(
      'orders: passed: good\norders: updated: flow\norders: updated: block\norders: 2 tests updated, 1 test passed\n',
    );
    expect(file).toBe(
      TESTS.replace('{ total: 12, who: { note: y } }', '{ total: 12, who: { note: "a, b" } }')
        .replace(
          'errors: 0, dead_letters: []',
          'errors: 1, dead_letters: [{ step: filter, code: VALUE, record: { total: many } }]',
        )
        .replace('- a: false', '- a: true\n          at: 2026-07-31T10:00:00Z'),
    );
    expect(await oxiflow(['pipeline', 'test', 'orders'], { cwd })).toMatchObject({ code: 0, stderr: '' });
  });

  test('keeps the mode of the file, and leaves nothing beside it', async () => {
    const cwd = folder({ ...PROJECT, 'pipelines/orders.yaml': `${STEPS}tests:\n${TESTS}` });
    chmodSync(join(cwd, 'pipelines/orders.yaml'), 0o640);
    expect((await oxiflow(['pipeline', 'test', '--update'], { cwd })).code).toBe(0);
    expect(statSync(join(cwd, 'pipelines/orders.yaml')).mode & 0o777).toBe(0o640);
    expect(Object.keys(snapshot(cwd))).toEqual(['oxiflow.yaml', 'pipelines/orders.yaml']);
  });

  test('changes nothing where the run itself ended otherwise, where an anchor is shared, and beside --param', async () => {
    const failing = '\n  - { name: a, step: parse_json, input: { text: "{" }, expect: { records: [] } }\n';
    const run = await tested(failing, ['--update']);
    expect({ code: run.code, file: run.file }).toEqual({ code: 3, file: failing });
    const shared = `
  - { name: a, step: filter, input: [{ total: 10 }], expect: { records: &r [{ total: 11 }] } }
  - { name: b, step: filter, input: [{ total: 11 }], expect: { records: *r } }
`;
    const anchor = await tested(shared, ['--update']);
    expect({ code: anchor.code, file: anchor.file }).toEqual({ code: 2, file: shared });
    expect(anchor.stderr).toContain('"expect.records" can\'t be rewritten without touching something else');
    expect((await tested(failing, ['--update', '--param', 'a=1'])).code).toBe(2);
  });
});

describe('--update leaves alone', () => {
  const WRONG = '[{ name: a, input: [{ n: 1 }], expect: { records: [{ n: 2 }] } }]';
  const through = (script: string): string => `pipeline:
  - { name: read_file, config: { path: a.ndjson } }
  - name: parse_json
  - { name: exec, config: { command: [sh, -c, ${JSON.stringify(script)}] } }
  - { name: write_file, config: { path: b.ndjson } }
tests: ${WRONG}
`;

  test.concurrent.each([
    ['changed', "printf '# mine\\n' >> pipelines/p.yaml; cat"],
    ['taken away', 'rm -f pipelines/p.yaml; cat'],
  ])('a file that is %s while its tests run', async (how, script) => {
    const cwd = folder({ ...PROJECT, 'pipelines/p.yaml': through(script) });
    const before = readFileSync(join(cwd, 'pipelines/p.yaml'), 'utf8');
    const { code, stderr } = await oxiflow(['pipeline', 'test', 'p', '--update'], { cwd });
    expect(code).toBe(2);
    expect(stderr).toContain('pipelines/p.yaml: was changed while its tests ran; run them again\n');
    expect(snapshot(cwd)['pipelines/p.yaml']).toBe(how === 'changed' ? `${before}# mine\n` : undefined);
  });

  // Only root may become a user without rights.
  test.runIf(process.getuid?.() === 0)('a file that its user may only read, in a folder of his own', async () => {
    const cwd = folder({ ...PROJECT, 'pipelines/p.yaml': through('cat') });
    const file = join(cwd, 'pipelines/p.yaml');
    chmodSync(file, 0o444);
    for (const path of [cwd, join(cwd, 'pipelines')]) chmodSync(path, 0o777);
    const before = readFileSync(file, 'utf8');
    const { code, stderr } = await oxiflow(['pipeline', 'test', 'p', '--update'], { cwd, uid: NOBODY });
    expect(code).toBe(126);
    expect(stderr).toContain('pipelines/p.yaml: permission denied');
    expect(readFileSync(file, 'utf8')).toBe(before);
  });
});

test('--connect tells no secret', async () => {
  const steps = pipelineOf([
    ['read_file', { path: '${API_TOKEN}.ndjson' }],
    ['parse_json'],
    ['write_file', { path: 'out/${API_TOKEN}.ndjson' }],
  ]);
  const cwd = folder({ ...PROJECT, 'pipelines/p.yaml': steps });
  const env = { API_TOKEN: 's3cr3t-value-xyz' };
  const missing = await oxiflow(['pipeline', 'test', 'p', '--connect'], { cwd, env });
  put(cwd, { 's3cr3t-value-xyz.ndjson': '{}\n' });
  const there = await oxiflow(['pipeline', 'test', 'p', '--connect'], { cwd, env });
  expect([missing.code, there.code]).toEqual([1, 0]);
  for (const { stdout, stderr } of [missing, there]) expect(stdout + stderr).not.toContain('s3cr3t');
});

test('--test runs the tests of that name, and says when there is none', async () => {
  const tests =
    '\n  - { name: a, input: [], expect: { records: [] } }\n  - { name: b, input: [], expect: { records: [1] } }\n';
  expect(await tested(tests, ['--test', 'a'])).toMatchObject({ code: 0 });
  expect(await tested(tests, ['--test', 'c'])).toMatchObject({ code: 2 });
});

describe('--connect', () => {
  const connected = pipelineOf([
    ['read_file', { path: 'input/orders.ndjson' }],
    ['parse_json'],
    ['exec', { command: ['cat'] }],
    ['write_file', { path: 'output/orders.ndjson' }],
  ]);

  test('tries everything that a run would open, and leaves nothing behind', async () => {
    const cwd = folder({ ...PROJECT, 'pipelines/orders.yaml': connected, 'input/orders.ndjson': '{"a":1}\n' });
    const { code, stdout, stderr } = await oxiflow(['pipeline', 'test', 'orders', '--connect'], { cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.replaceAll(cwd, 'SHOP')).toMatch(
      /^orders: read_file: ok: input\/orders.ndjson, 8 bytes\norders: exec: ok: \/\S+\/cat\norders: write_file: ok: output\/orders.ndjson, in a folder that is to be made\norders: good\nstate: ok: sqlite at SHOP\/.oxiflow\/state.db, 0 runs\n$/,
    );
    expect(existsSync(join(cwd, '.oxiflow'))).toBe(false);
    expect(existsSync(join(cwd, 'output'))).toBe(false);
  });

  test('says what is not there, each in its line, and ends as a run would', async () => {
    const cwd = folder({ ...PROJECT, 'pipelines/orders.yaml': connected.replace('"cat"', '"no-such-cat"') });
    const { code, stderr } = await oxiflow(['pipeline', 'test', 'orders', '--connect'], { cwd });
    expect(code).toBe(1);
    expect(stderr).toContain('orders: read_file: step "read_file": input/orders.ndjson: no such file');
    expect(stderr).toContain('orders: exec: step "exec": "no-such-cat" could not be started: no such program');
  });

  // Only root may become a user without rights.
  test.runIf(process.getuid?.() === 0)('a folder that nobody may write to is exit code 126', async () => {
    const cwd = folder({ ...PROJECT, 'pipelines/orders.yaml': connected });
    put(cwd, { 'input/orders.ndjson': '{"a":1}\n' });
    const { code, stderr } = await oxiflow(['pipeline', 'test', 'orders', '--connect'], { cwd, uid: NOBODY });
    expect(code).toBe(126);
    expect(stderr).toContain('permission denied (EACCES)');
  });
});
