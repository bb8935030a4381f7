/** The tests that a pipeline brings: what they may say, what they run, and how a failure is told. */
import { describe, expect, test } from 'vitest';
import { folder, oxiflow, put, snapshot } from './program.ts';

const PROJECT = { 'oxiflow.yaml': 'project:\n  name: shop\n' };

/** Orders above a price, with the tax of a country; bad ones are kept apart. */
const ORDERS = `
parameters:
  least: { type: float, default: 10 }
environment: { COUNTRY: de }
dead_letter: { path: output/bad.ndjson }
pipeline:
  - name: read_file
    config: { path: input/orders.ndjson }
  - name: parse_json
  - name: filter
    config: { where: total >= params.least }
    on_error: dead_letter
  - name: map
    config: { set: { country: env.COUNTRY } }
  - name: write_file
    config: { path: output/large.ndjson }
tests:
`;

/** What `pipeline test` says of a pipeline with these tests (YAML, indented by two). */
async function tested(tests: string, pipeline = ORDERS, files: Record<string, string> = {}) {
  const cwd = folder({ ...PROJECT, ...files, 'pipelines/orders.yaml': `${pipeline.trimStart()}${tests}` });
  const before = snapshot(cwd);
  const ended = await oxiflow(['pipeline', 'test', 'orders'], { cwd });
  expect(snapshot(cwd)).toEqual(before);
  return ended;
}

const said = (...lines: string[]): string => lines.map((line) => `${line}\n`).join('');

describe('a test of a pipeline', () => {
  test.concurrent('gives records, text or a file in place of the source, and nothing is read or written', async () => {
    const { code, stdout, stderr } = await tested(
      `
  - name: records
    input: [{ total: 12.5, note: "a \${NAME} stays" }, { total: 1 }]
    expect: { records: [{ note: "a \${NAME} stays", total: 12.50, country: de }], dead_letters: [], errors: 0 }
  - name: text
    input: { text: "{\\"total\\":40.0}\\n" }
    expect: { text: "{\\"total\\":40.0,\\"country\\":\\"de\\"}\\n" }
  - name: a file
    input: { file: samples/two.ndjson }
    expect: { outputs: { write_file: [{ total: 11, country: de }] } }
`,
      ORDERS,
      { 'samples/two.ndjson': '{"total":11}\n{"total":2}\n' },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(
      said('orders: passed: records', 'orders: passed: text', 'orders: passed: a file', 'orders: good, 3 tests passed'),
    );
  });

  test.concurrent('sets parameters and variables, for itself alone', async () => {
    const { code, stderr } = await tested(`
  - name: both
    input: [{ total: 12 }, { total: 50 }]
    params: { least: 20 }
    environment: { COUNTRY: fr }
    expect: { records: [{ total: 50, country: fr }] }
  - name: neither
    input: [{ total: 12 }]
    expect: { records: [{ total: 12, country: de }] }
`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test.concurrent('may expect dead letters, errors, and a run that fails with a message', async () => {
    const { code, stderr } = await tested(
      `
  - name: a letter
    input: [{ total: many }, { total: 12 }]
    expect:
      records: [{ total: 12, country: de }]
      errors: 1
      dead_letters: [{ step: filter, code: VALUE, record: { total: many } }]
  - name: a bad document
    input: { text: "{" }
    expect: { exit_code: 3, message: "step \\"parse_json\\"" }
  - name: a missing file
    input: { file: nowhere.ndjson }
    expect: { message: no such file }
`,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test.concurrent('that fails is told by its first difference, and ends with exit code 3', async () => {
    const tests = `
  - name: another value
    input: [{ total: 11 }, { total: 12, who: { name: Ann } }]
    expect: { records: [{ total: 11, country: de }, { total: 12, who: { name: Bob }, country: de }] }
  - name: one too many
    input: [{ total: 11 }, { total: 12 }]
    expect: { records: [{ total: 11, country: de }] }
  - name: one too few
    input: [{ total: 1 }]
    expect: { records: [{ total: 1 }] }
  - name: a field too many
    input: [{ total: 11, tip: 1 }]
    expect: { records: [{ total: 11, country: de }] }
  - name: a text
    input: [{ total: 11 }]
    expect: { text: "{\\"total\\":11}\\n" }
  - name: another letter
    input: [{ total: many }]
    expect: { dead_letters: [{ step: map }] }
  - name: no failure
    input: []
    expect: { message: no such file }
  - name: another failure
    input: { text: "{" }
    expect: { message: no such file }
  - name: a failure
    input: { text: "{" }
    expect: { records: [] }
  - name: fewer errors
    input: [{ total: many }]
    expect: { errors: 0 }
`;
    const { code, stdout, stderr } = await tested(tests);
    expect(code).toBe(3);
    expect(stdout).toMatch(/^orders: failed: another value\norders: failed: one too many\n/);
    expect(stdout).toMatch(/\norders: 10 of 10 tests failed\n$/);
    const broken =
      'input/orders.ndjson: record at byte 0: step "parse_json": a key in quotes is missing (byte 1). Set "on_error: drop" on the step to leave such records out, or "on_error: dead_letter" to keep them in a file';
    const lines = stderr.split('\n').filter((line) => line.startsWith('orders: '));
    expect(lines.map((line) => line.replace('orders: ', ''))).toEqual([
      'another value: "write_file", record 2, field "who.name": expected "Bob", got "Ann"',
      'one too many: "write_file", record 2: expected nothing: 1 record in all, got {"total":12,"country":"de"}',
      'one too few: "write_file", record 1: expected {"total":1}, got nothing: 0 records came out',
      'a field too many: "write_file", record 1, field "tip": expected no such field, got 1',
      'a text: "write_file", line 1: expected "{\\"total\\":11}", got "{\\"total\\":11,\\"country\\":\\"de\\"}"',
      'another letter: the dead letters, record 1, field "step": expected "map", got "filter"',
      'no failure: the run succeeded, and a failure was expected',
      `another failure: the message does not say "no such file": ${broken}`,
      `a failure: the run ended with exit code 3, expected 0: ${broken}`,
      'fewer errors: 1 record error, expected 0',
    ]);
  });

  test.concurrent('is told as JSON to whoever asks, other pipelines with it', async () => {
    const pipeline = `${ORDERS.trimStart()}  - { name: none, input: [{ total: 1 }], expect: { records: [{ total: 1 }] } }\n`;
    const cwd = folder({ ...PROJECT, 'pipelines/orders.yaml': pipeline });
    put(cwd, { 'pipelines/plain.yaml': ORDERS.replace('tests:\n', '') });
    const { code, stdout, stderr } = await oxiflow(['pipeline', 'test', '--json'], { cwd });
    expect({ code, stderr }).toEqual({ code: 3, stderr: '' });
    const { exit_code, summary, pipelines } = JSON.parse(stdout);
    expect(exit_code).toBe(3);
    expect(summary).toEqual({ pipelines: 2, good: 1, errors: 0, tests: 1, passed: 0, updated: 0, failed: 1 });
    expect(pipelines).toEqual([
      {
        pipeline: 'orders',
        errors: [],
        tests: [
          {
            name: 'none',
            passed: false,
            problem: expect.stringContaining('"write_file", record 1'),
            difference: {
              output: '"write_file"',
              place: 'record 1',
              expected: '{"total":1}',
              got: 'nothing: 0 records came out',
            },
          },
        ],
      },
      { pipeline: 'plain', errors: [], tests: [] },
    ]);
  });

  test.concurrent('compares CSV and YAML by what they mean, and every sink that it names', async () => {
    const pipeline = `
pipeline:
  - name: read_stdin
  - name: parse_csv
    config: { delimiter: ";", types: { km: float } }
  - name: tee
    config:
      steps:
        - name: format_yaml
        - { name: write_file, id: notes, config: { path: rides.yaml } }
  - name: format_csv
    config: { delimiter: "\\t" }
  - { name: write_file, id: table, config: { path: rides.tsv } }
tests:
`;
    const { code, stderr } = await tested(
      `
  - name: rides
    input: [{ rider: 'Ann; "A"', km: 3.50 }, { rider: Bob, bell: true }]
    expect:
      records: [{ rider: 'Ann; "A"', km: 3.5, bell: null }, { rider: Bob, bell: true }]
      outputs:
        notes: [{ rider: 'Ann; "A"', km: 3.5, bell: "" }, { rider: Bob, km: null, bell: "true" }]
`,
      pipeline,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test.concurrent('names its sources where there are several; what it leaves out is missing', async () => {
    const pipeline = `
pipeline:
  - { name: read_file, id: live, config: { path: live.ndjson }, continue_on_error: true }
  - { name: read_file, id: backup, config: { path: backup.ndjson } }
  - name: parse_json
  - { name: write_file, id: first, config: { path: a.ndjson } }
  - { name: read_file, id: later, config: { path: b.ndjson } }
  - name: parse_json
  - name: map
    config: { set: { before: "steps.first.records" } }
  - { name: write_file, id: second, config: { path: c.ndjson } }
tests:
`;
    const { code, stderr } = await tested(
      `
  - name: the backup stands in
    inputs: { backup: [{ n: 1 }, { n: 2 }], later: [{ n: 3 }] }
    expect: { outputs: { first: [{ n: 1 }, { n: 2 }] }, records: [{ n: 3, before: 2 }] }
`,
      pipeline.replace('"steps.first.records"', "'${steps.first.records}'"),
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});

describe('a bad block of tests is one sentence with its place', () => {
  const at = 'pipelines/orders.yaml';
  const cases: [string, string, string][] = [
    [
      'no list',
      ' { name: a }',
      `${at}:16:8: field "tests": must be a list of tests, each with "- name:", "input:" and "expect:"`,
    ],
    ['no expectation', '  - { name: a, input: [] }', `${at}:17:5: field "tests.expect": is required`],
    [
      'an empty expectation',
      '  - { name: a, input: [], expect: {} }',
      `${at}:17:35: field "tests.expect": must say what is expected: records, text, outputs, dead_letters, errors, exit_code or message`,
    ],
    [
      'a typo',
      '  - { name: a, input: { txt: x }, expect: { records: [] } }',
      `${at}:17:25: field "tests": unknown field "txt" in "input"; did you mean "text"? allowed: text, file`,
    ],
    [
      'a step that is not there',
      '  - { name: a, input: [], expect: { outputs: { write_fil: [] } } }',
      `${at}:17:59: field "tests": no step "write_fil"; did you mean "write_file"?`,
    ],
    [
      'a step that is no sink',
      '  - { name: a, input: [], expect: { outputs: { filter: [] } } }',
      `${at}:17:56: test "a": "filter" has written nothing: it is no sink, or was skipped`,
    ],
    [
      'a step that is no source',
      '  - { name: a, inputs: { filter: [] }, expect: { records: [] } }',
      `${at}:17:34: test "a": "filter" is no source`,
    ],
    [
      'records of a run that fails',
      '  - { name: a, input: [], expect: { records: [], exit_code: 3 } }',
      `${at}:17:35: field "tests.expect": a run that fails publishes nothing: leave out records, text, outputs and dead_letters`,
    ],
    [
      'a parameter that is not there',
      '  - { name: a, input: [], params: { most: 1 }, expect: { records: [] } }',
      `${at}:17:5: test "a": --param most: the pipeline has no such parameter; it has: least`,
    ],
    [
      'the same name twice',
      '  - &a { name: a, input: [], expect: { records: [] } }\n  - *a',
      `${at}:17:16: field "tests": the name "a" is given twice; the first one is in line 17`,
    ],
  ];
  test.concurrent.each(cases)('%s', async (_title, tests, message) => {
    const { code, stderr } = await tested(`${tests}\n`, tests.startsWith(' {') ? ORDERS.trimEnd() : ORDERS);
    expect({ code, stderr }).toEqual({ code: 2, stderr: `${message}\n` });
  });

  test.concurrent('records where nothing parses, or which are no rows', async () => {
    const bytes = `
pipeline:
  - { name: read_file, config: { path: a.csv } }
  - { name: write_file, config: { path: b.csv } }
tests:
  - { name: a, input: [], expect: { text: "" } }
`;
    const bare = await tested('', bytes);
    expect(bare).toMatchObject({
      code: 2,
      stderr: `${at}:5:23: test "a": no parser follows the source, so its input is text: write "input: { text: ... }"\n`,
    });
    const rows = bytes.replace('  - { name: write', '  - name: parse_csv\n  - { name: write').replace('[]', '[3]');
    expect(await tested('', rows)).toMatchObject({
      code: 2,
      stderr: `${at}:6:23: test "a": record 1 must be a map: it becomes a row of CSV\n`,
    });
  });
});
