import { describe, expect, it } from 'vitest';
import { ConfigErrors } from '../../runner/engine/errors.ts';
import { type Given, load, refusal } from './fixtures.ts';

/** What is wrong, the lines of the file, the first message (`@` is the file), how it was called. */
type Case = [title: string, lines: string[], message: string, given?: Given];

const CASES: Case[] = [
  ['an empty file', [''], '@:1:1: the file is empty'],
  ['a file of comments', ['# nothing'], '@:1:1: the file is empty'],
  [
    'a list in place of a map',
    ['- name: read_file'],
    '@:1:1: must be a map with "pipeline:" and a list of steps under it',
  ],
  ['no steps', ['pipeline: []'], '@:1:11: "pipeline" must be a list of steps, each with "- name:" of an oxi'],
  ['no "pipeline"', ['metadata: {}'], '@:1:1: "pipeline" must be a list of steps, each with "- name:" of an oxi'],
  [
    'a key given twice',
    ['pipeline:', '  - name: read_file', '    config: { path: a, path: b }'],
    '@:3:24: "path" is given twice; the first one is in line 3',
  ],
  ['a tab as indent', ['pipeline:', '	- name: read_file'], '@:2:1: a tab is used to indent; use spaces'],
  [
    'a crooked indent',
    ['pipeline:', '  - name: read_file', '   config: {}'],
    '@:3:4: the indentation does not fit the lines above; align it with its neighbours (or a "- " is missing)',
  ],
  [
    'an open quote',
    ['pipeline:', '  - name: "read_file'],
    '@:3:1: a double quote that was opened above is never closed',
  ],
  ['an open bracket', ['pipeline: [ { name: read_file }'], '@:2:1: a closing ] is missing above'],
  [
    'a second colon',
    ['pipeline:', '  - name: read_file', '    config: path: a'],
    '@:3:13: a second ": " in one line; put the value in quotes, or begin a new line',
  ],
  ['a value that begins with %', ['pipeline:', '  - name: %x'], "@:2:11: a value can't begin with %; put it in quotes"],
  ['a value that begins with @', ['pipeline:', '  - name: @x'], "@:2:11: a value can't begin with @; put it in quotes"],
  [
    'an unknown escape',
    ['pipeline:', '  - name: "\\q"'],
    '@:2:12: an unknown escape in double quotes; write \\\\ for a backslash, or use single quotes',
  ],
  [
    'two documents',
    ['pipeline: []', '---', 'pipeline: []'],
    '@:2:1: holds more than one YAML document; keep one and remove "---"',
  ],
  [
    'a tag of a programming language',
    ['pipeline: !!js/function x'],
    '@:1:25: the tag !!js/function is not allowed; write plain data',
  ],
  [
    'a tag of its own',
    ['pipeline:', '  - !step { name: read_file, config: {path: a} }'],
    '@:2:11: the tag !step is not allowed; write plain data',
  ],
  [
    'a merge key',
    ['x-a: &a { path: b }', 'pipeline:', '  - name: read_file', '    config: { <<: *a }'],
    '@:4:15: merge keys (<<) are not supported; write the fields out',
  ],
  [
    'a prototype name',
    ['pipeline:', '  - name: read_file', '    config: { __proto__: { path: a } }'],
    '@:3:15: the key "__proto__" is not allowed',
  ],
  [
    'a number as key',
    ['pipeline:', '  - name: read_file', '    1: a', '    config: {path: a}'],
    '@:3:5: a key must be text; write "1" in quotes',
  ],
  ['an alias without an anchor', ['pipeline: *steps'], '@:1:11: the alias *steps has no anchor &steps above it'],
  ['an alias inside its own anchor', ['pipeline: &a [*a]'], '@:1:15: the alias *a stands inside its own anchor'],
  [
    'another version of YAML',
    ['%YAML 1.1', '---', 'pipeline: []'],
    '@:1:1: is written for another version of YAML; remove the %YAML line (this is YAML 1.2)',
  ],
  [
    'a mistyped "pipeline"',
    ['pipelin:', '  - { name: read_file, config: { path: a.csv } }'],
    '@:1:1: unknown field "pipelin"; did you mean "pipeline"? allowed: pipeline, parameters, environment, delivery, dead_letter, max_errors, tests, metadata',
  ],
  [
    'an unknown key at the top',
    ['pipeline:', '  - { name: read_file, config: { path: a.csv } }', 'retries: 3'],
    '@:3:1: unknown field "retries"; allowed: pipeline, parameters, environment, delivery, dead_letter, max_errors, tests, metadata',
  ],
  [
    'a mistyped field',
    ['pipeline:', '  - name: read_file', '    id: orders', '    config: { path: a, encodin: utf-8 }'],
    '@:4:24: step "orders": unknown field "encodin"; did you mean "encoding"? allowed: path, encoding, binary, chunk',
  ],
  [
    'an unknown field',
    ['pipeline:', '  - name: read_file', '    config: { path: a, zzz: utf-8 }'],
    '@:3:24: step "read_file": unknown field "zzz"; allowed: path, encoding, binary, chunk',
  ],
  [
    'a universal field under config',
    ['pipeline:', '  - name: read_file', '    config: { path: a, retry_attempts: 2 }'],
    '@:3:24: step "read_file": unknown field "retry_attempts"; it stands beside "config:", not in it; allowed: path, encoding, binary, chunk',
  ],
  [
    'a field of the oxi beside config',
    ['pipeline:', '  - name: read_file', '    path: a'],
    '@:3:5: step "read_file": unknown field "path"; it belongs under "config:"; allowed: name, id, config, continue_on_error, retry_attempts, retry_delay_seconds, timeout_seconds, max_memory_mb, condition, on_error, ordered, limits',
  ],
  [
    'a mistyped oxi',
    ['pipeline:', '  - name: read_fil'],
    '@:2:11: step "read_fil": unknown oxi "read_fil"; did you mean "read_file"?',
  ],
  [
    'an unknown oxi',
    ['pipeline:', '  - name: explode'],
    '@:2:11: step "explode": unknown oxi "explode"; there are: read_file, read_many, parse_csv, format_csv, filter, map, fetch_api, write_file',
  ],
  [
    'a step without a name',
    ['pipeline:', '  - id: orders', '    config: {}'],
    '@:2:5: step "step_1", field "name": is required',
  ],
  ['a step that is text', ['pipeline:', '  - read_file'], '@:2:5: step 1 must be a map that begins with "- name:"'],
  [
    'a delimiter of two characters',
    ['pipeline:', '  - name: parse_csv', '    id: orders', '    config:', '      delimiter: "ab"'],
    '@:5:18: step "orders", field "delimiter": must be one character, got "ab"',
  ],
  [
    'a number with a unit',
    ['pipeline:', '  - name: parse_csv', '    config: { skip_rows: 4x }'],
    '@:3:26: step "parse_csv", field "skip_rows": must be a whole number, got "4x"',
  ],
  [
    'a broken number',
    ['pipeline:', '  - name: parse_csv', '    config: { skip_rows: 1.5 }'],
    '@:3:26: step "parse_csv", field "skip_rows": must be a whole number, got 1.5',
  ],
  [
    'a number below the range',
    ['pipeline:', '  - name: parse_csv', '    config: { skip_rows: -1 }'],
    '@:3:26: step "parse_csv", field "skip_rows": must be at least 0, got -1',
  ],
  [
    'yes as a switch',
    ['pipeline:', '  - name: parse_csv', '    config: { headers: yes }'],
    '@:3:24: step "parse_csv", field "headers": must be true or false, got "yes"',
  ],
  [
    'a field and its alias',
    ['pipeline:', '  - name: parse_csv', '    config: { headers: true, has_headers: false }'],
    '@:3:30: step "parse_csv", field "headers": is given twice, as "headers" and as "has_headers"; keep one',
  ],
  [
    'a value that is not in the list',
    ['pipeline:', '  - name: read_file', '    config: { path: a, encoding: utf8 }'],
    '@:3:34: step "read_file", field "encoding": must be one of utf-8, latin1, got "utf8"; did you mean "utf-8"?',
  ],
  [
    'a field without a value',
    ['pipeline:', '  - name: read_file', '    config: { path: }'],
    '@:3:21: step "read_file", field "path": has no value; it must be text',
  ],
  [
    'a map in place of text',
    ['pipeline:', '  - name: read_file', '    config: { path: { a: 1 } }'],
    '@:3:21: step "read_file", field "path": must be text, got a map',
  ],
  [
    'text in place of a list',
    ['pipeline:', '  - name: map', '    config: { drop: a }'],
    '@:3:21: step "map", field "drop": must be a list, got "a"',
  ],
  [
    'a map in a list of texts',
    ['pipeline:', '  - name: map', '    config: { drop: [a, {}] }'],
    '@:3:25: step "map", field "drop.1": must be text, got a map',
  ],
  [
    'neither a choice nor a list',
    ['pipeline:', '  - name: format_csv', '    config: { columns: some }'],
    '@:3:24: step "format_csv", field "columns": must be one of auto, first, or a list, got "some"',
  ],
  [
    'a required field left out',
    ['pipeline:', '  - name: read_file'],
    '@:2:5: step "read_file", field "path": is required',
  ],
  [
    'config as a list',
    ['pipeline:', '  - name: read_file', '    config: [path]'],
    '@:3:13: "config" must be a map of fields',
  ],
  [
    'two equal ids',
    ['pipeline:', '  - { name: read_file, id: a, config: { path: a } }', '  - { name: parse_csv, id: a }'],
    '@:3:28: the id "a" is given twice; the first one is in line 2; give one of them another',
  ],
  [
    'an id with a space',
    ['pipeline:', '  - { name: parse_csv, id: "a b" }'],
    '@:2:28: step "step_1", field "id": must begin with a letter or _, and hold letters, digits, _ and - only, got "a b"',
  ],
  [
    'too many threads',
    ['pipeline:', '  - { name: parse_csv, config: { threads: 65 } }'],
    '@:2:43: step "parse_csv", field "threads": must be at most 64, got 65',
  ],
  [
    'a variable that is not set',
    ['pipeline:', '  - name: read_file', '    config: { path: "${INPUT}" }'],
    '@:3:21: step "read_file", field "path": ${INPUT} is not set; set the variable INPUT, or give a default as in ${INPUT:-default}',
  ],
  [
    'a variable that is demanded',
    ['pipeline:', '  - name: read_file', '    config: { path: "${INPUT:?say where the orders are}" }'],
    '@:3:21: step "read_file", field "path": ${INPUT} is not set: say where the orders are',
  ],
  [
    'a reference that is not closed',
    ['pipeline:', '  - name: read_file', '    config: { path: "${INPUT" }'],
    '@:3:21: step "read_file", field "path": a reference ${ has no closing }; write $${ for a plain ${',
  ],
  [
    'a malformed reference',
    ['pipeline:', '  - name: read_file', '    config: { path: "${in put}" }'],
    '@:3:21: step "read_file", field "path": a reference is ${NAME}, ${NAME:-default}, ${NAME:?message} or ${steps.ID.FIELD}; write $${ for a plain ${',
  ],
  [
    'a reference in a default',
    ['pipeline:', '  - name: read_file', '    config: { path: "${A:-${B}}" }'],
    '@:3:21: step "read_file", field "path": the default of a reference can\'t hold another reference; set a variable in "environment" for it',
  ],
  [
    'a reference forward',
    ['pipeline:', '  - name: read_file', '    config: { path: "${steps.parse_csv.rows}" }', '  - name: parse_csv'],
    '@:3:21: step "read_file", field "path": ${steps.parse_csv...} refers to a later step; only steps above this one can be used',
  ],
  [
    'a reference to itself',
    ['pipeline:', '  - name: read_file', '    config: { path: "${steps.read_file.rows}" }'],
    '@:3:21: step "read_file", field "path": ${steps.read_file...} refers to the step itself',
  ],
  [
    'a reference to a mistyped step',
    [
      'pipeline:',
      '  - name: read_file',
      '    id: orders',
      '    config:',
      '      path: a.csv',
      '  - name: write_file',
      '    config: { path: "${steps.order.rows}" }',
    ],
    '@:7:21: step "write_file", field "path": there is no step "order" above this one; did you mean "orders"?',
  ],
  [
    'a reference to a step in a name',
    ['pipeline:', '  - name: "${steps.a.b}"'],
    '@:2:11: step "step_1", field "name": a reference to a step can stand under "config:" only',
  ],
  [
    'on_error and continue_on_error',
    ['pipeline:', '  - name: parse_csv', '    continue_on_error: true', '    on_error: drop'],
    '@:4:5: step "parse_csv": on_error and continue_on_error exclude each other; keep one',
  ],
  [
    'a share above the whole',
    ['pipeline:', '  - { name: read_file, config: { path: a.csv } }', 'max_errors: 200%'],
    '@:3:13: field "max_errors": must be a whole number of records, or a share such as "1%", got "200%"',
  ],
  [
    'a negative threshold',
    ['pipeline:', '  - { name: read_file, config: { path: a.csv } }', 'max_errors: -1'],
    '@:3:13: field "max_errors": must be at least 0, got -1',
  ],
  [
    'a mistyped delivery',
    ['pipeline:', '  - { name: read_file, config: { path: a.csv } }', 'delivery: exactly_onc'],
    '@:3:11: field "delivery": must be one of at_least_once, exactly_once, got "exactly_onc"; did you mean "exactly_once"?',
  ],
  [
    'an unknown field of dead_letter',
    ['pipeline:', '  - { name: read_file, config: { path: a.csv } }', 'dead_letter: { file: a }'],
    '@:3:16: unknown field "file" in "dead_letter"; allowed: path, max_records',
  ],
  [
    'a parameter without a value',
    ['pipeline:', '  - { name: read_file, config: { path: a.csv } }', 'parameters: { day: { type: date } }'],
    '@:3:15: the parameter "day" has no default; give it with --param day=...',
  ],
  [
    'a default that is no date',
    [
      'pipeline:',
      '  - { name: read_file, config: { path: a.csv } }',
      'parameters: { day: { type: date, default: today } }',
    ],
    '@:3:43: field "parameters.day.default": must be a date such as 2026-07-31, got "today"',
  ],
  [
    'a mistyped type',
    ['pipeline:', '  - { name: read_file, config: { path: a.csv } }', 'parameters: { day: { type: dat } }'],
    '@:3:28: field "parameters.day.type": must be one of string, int, float, bool, date, timestamp, got "dat"; did you mean "date"?',
  ],
  [
    'a day that does not exist',
    ['pipeline:', '  - { name: read_file, config: { path: a.csv } }', 'parameters: { day: { type: date } }'],
    '--param day: must be a date such as 2026-07-31, got "2026-02-30"',
    { params: ['day=2026-02-30'] },
  ],
  [
    'a mistyped --param',
    [
      'pipeline:',
      '  - { name: read_file, config: { path: a.csv } }',
      'parameters: { day: { type: date, default: 2026-01-01 } }',
    ],
    '--param dya: the pipeline has no such parameter; did you mean "day"?',
    { params: ['dya=2026-02-20'] },
  ],
  [
    'a --param that is no choice',
    [
      'pipeline:',
      '  - { name: read_file, config: { path: a.csv } }',
      'parameters: { size: { choices: [s, m], default: s } }',
    ],
    '--param size: must be one of s, m, got "l"',
    { params: ['size=l'] },
  ],
  [
    '--set of a mistyped step',
    ['pipeline:', '  - name: read_file', '    id: orders', '    config:', '      path: a.csv'],
    '--set order.path: no step "order"; did you mean "orders"?',
    { sets: ['order.path=b'] },
  ],
  [
    '--set of a mistyped field',
    ['pipeline:', '  - name: read_file', '    id: orders', '    config:', '      path: a.csv'],
    '--set orders.pth: read_file has no field "pth"; did you mean "path"?',
    { sets: ['orders.pth=b'] },
  ],
  [
    '--set of a prototype name',
    ['pipeline:', '  - name: read_file', '    id: orders', '    config:', '      path: a.csv'],
    '--set orders.__proto__.x: the name is not allowed',
    { sets: ['orders.__proto__.x=b'] },
  ],
  [
    '--set of a wrong value',
    ['pipeline:', '  - name: read_file', '    id: orders', '    config:', '      path: a.csv'],
    '--set orders.encoding: must be one of utf-8, latin1, got "latin2"; did you mean "latin1"?',
    { sets: ['orders.encoding=latin2'] },
  ],
  [
    '--set without a value',
    ['pipeline:', '  - name: read_file', '    id: orders', '    config:', '      path: a.csv'],
    '--set: must be step.field=value',
    { sets: ['orders'] },
  ],
  [
    '--set of a list as text',
    ['pipeline:', '  - name: read_file', '    id: orders', '    config:', '      path: a.csv', '  - name: map'],
    '--set map.drop: must be JSON, such as ["a", "b"] or {"a": 1}',
    { sets: ['map.drop=a'] },
  ],
  [
    '--set of a number as JSON',
    ['pipeline:', '  - name: read_file', '    id: orders', '    config:', '      path: a.csv', '  - name: map'],
    '--set orders.chunk: must be a whole number, got "{\\"a\\":1}"',
    { sets: ['map.drop.x.y=a', 'orders.chunk={"a":1}'] },
  ],
  [
    '--set of JSON with a prototype name',
    ['pipeline:', '  - name: read_file', '    id: orders', '    config:', '      path: a.csv', '  - name: map'],
    '--set map.set: the key "__proto__" is not allowed',
    { sets: ['map.set={"__proto__":"1"}'] },
  ],
  [
    'a variable with a space in its name',
    ['environment: { "a b": 1 }', 'pipeline:', '  - { name: read_file, config: { path: a.csv } }'],
    '@:1:23: field "environment.a b": the name must be letters, digits and _',
  ],
  [
    'a variable that is a list',
    ['environment: { A: [1] }', 'pipeline:', '  - { name: read_file, config: { path: a.csv } }'],
    '@:1:19: field "environment.A": must be text, got a list',
  ],
  [
    'a list as a secret',
    ['pipeline:', '  - name: fetch_api', '    config: { url: a, password: "hunter2-tiny" , token: [a]}'],
    '@:3:57: step "fetch_api", field "token": must be text, got a list',
  ],
  [
    'a secret that is too short',
    ['pipeline:', '  - name: fetch_api', '    config: { url: a, password: "tiny" }'],
    '@:3:33: step "fetch_api", field "password": must have at least 12 characters',
  ],
  [
    'a bad value from a variable that looks secret',
    ['pipeline:', '  - name: parse_csv', '    config: { delimiter: "${API_TOKEN}" }'],
    '@:3:26: step "parse_csv", field "delimiter": must be one character',
    { env: { API_TOKEN: 'canary-xyz' } },
  ],
  [
    'a required list or text left out',
    ['pipeline:', '  - name: read_many'],
    '@:2:5: step "read_many", field "path": is required',
  ],
  [
    'an empty text',
    ['pipeline:', '  - name: read_many', '    config: { path: "" }'],
    '@:3:21: step "read_many", field "path": must not be empty',
  ],
];

describe('a bad configuration is refused with its place and what is allowed', () => {
  it.each(CASES)('%s', async (_title, lines, message, given) => {
    const error = await refusal(load(`${lines.join('\n')}\n`, given));
    expect(error.message.split('\n')[0]).toBe(message.replace('@', 'pipelines/orders.yaml'));
    expect(error.exitCode).toBe(2);
  });

  it('every problem of a file is said at once, by line', async () => {
    const text =
      'pipeline:\n  - name: parse_csv\n    retries: 1\n    config: { skip_rows: x, delimiter: ab }\nmax_errors: many\n';
    const error = await refusal(load(text));
    expect(error).toBeInstanceOf(ConfigErrors);
    expect(error.message.split('\n').map((line) => /:(\d+:\d+):/.exec(line)?.[1])).toEqual([
      '3:5',
      '4:26',
      '4:40',
      '5:13',
    ]);
  });
});
