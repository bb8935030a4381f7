/** What goes wrong in the YAML files. */
import { type BadCase, GOOD, orders } from './case.ts';

export const yamlCases: readonly BadCase[] = [
  { title: 'an empty pipeline', pipeline: '', code: 2, message: 'pipelines/orders.yaml:1:1: the file is empty' },
  {
    title: 'a test of a pipeline without an expectation',
    pipeline: `${GOOD}tests:\n  - name: no orders\n    input: []\n`,
    code: 2,
    message: 'pipelines/orders.yaml:13:5: field "tests.expect": is required',
  },
  {
    title: 'a pipeline without steps',
    pipeline: 'pipeline: []\n',
    code: 2,
    message: 'pipelines/orders.yaml:1:11: "pipeline" must be a list of steps, each with "- name:" of an oxi',
  },
  {
    title: 'a list in place of a map',
    pipeline: '- name: read_file\n',
    code: 2,
    message: 'pipelines/orders.yaml:1:1: must be a map with "pipeline:" and a list of steps under it',
  },
  {
    title: 'a tab',
    pipeline: orders('      where', '\t  where'),
    code: 2,
    message: 'pipelines/orders.yaml:8:1: a tab is used to indent; use spaces',
  },
  {
    title: 'a bracket that is not closed',
    pipeline: orders('input/orders.ndjson', '[input/orders.ndjson'),
    code: 2,
    message: 'pipelines/orders.yaml:5:3: a closing ] is missing above',
  },
  {
    title: 'a key that stands twice',
    pipeline: orders('      where: total > 10\n', '      where: total > 10\n      where: total > 20\n'),
    code: 2,
    message: 'pipelines/orders.yaml:9:7: "where" is given twice; the first one is in line 8',
  },
  {
    title: 'a mistyped field',
    pipeline: orders('where', 'wher'),
    code: 2,
    message: 'pipelines/orders.yaml:8:7: step "filter": unknown field "wher"; did you mean "where"? allowed: where',
  },
  {
    title: 'a mistyped field of the pipeline',
    pipeline: `${GOOD}paramters: {}\n`,
    code: 2,
    message:
      'pipelines/orders.yaml:12:1: unknown field "paramters"; did you mean "parameters"? allowed: pipeline, parameters, environment, delivery, dead_letter, max_errors, tests, metadata',
  },
  {
    title: 'a field of the config beside it',
    pipeline: orders('    config:\n      where: total > 10', '    where: total > 10'),
    code: 2,
    message:
      'pipelines/orders.yaml:7:5: step "filter": unknown field "where"; it belongs under "config:"; allowed: name, id, config, continue_on_error, retry_attempts, retry_delay_seconds, timeout_seconds, max_memory_mb, condition, on_error, ordered, limits',
  },
  {
    title: 'a mistyped oxi',
    pipeline: orders('parse_json', 'parse_jsn'),
    code: 2,
    message: 'pipelines/orders.yaml:5:11: step "parse_jsn": unknown oxi "parse_jsn"; did you mean "parse_json"?',
  },
  {
    title: 'a field of a wrong type',
    pipeline: orders('where: total > 10', 'where: [1]'),
    code: 2,
    message: 'pipelines/orders.yaml:8:14: step "filter", field "where": must be text, got a list',
  },
  {
    title: 'a required field left out',
    pipeline: orders('    config:\n      path: output/large.ndjson\n', ''),
    code: 2,
    message: 'pipelines/orders.yaml:9:5: step "write_file", field "path": is required',
  },
  {
    title: 'a value that is not allowed',
    pipeline: orders('parse_json', 'parse_json\n    config: { framing: line }'),
    code: 2,
    message:
      'pipelines/orders.yaml:6:24: step "parse_json", field "framing": must be one of auto, lines, array, document, got "line"; did you mean "lines"?',
  },
  {
    title: 'a variable that is not set',
    pipeline: orders('input/orders.ndjson', '"${INPUT_FOLDER}/orders.ndjson"'),
    code: 2,
    message:
      'pipelines/orders.yaml:4:13: step "read_file", field "path": ${INPUT_FOLDER} is not set; set the variable INPUT_FOLDER, or give a default as in ${INPUT_FOLDER:-default}',
  },
  {
    title: 'a variable with a message',
    pipeline: orders('input/orders.ndjson', '"${INPUT_FOLDER:?where the orders of the day are}"'),
    code: 2,
    message:
      'pipelines/orders.yaml:4:13: step "read_file", field "path": ${INPUT_FOLDER} is not set: where the orders of the day are',
  },
  {
    title: 'a reference that is not closed',
    pipeline: orders('input/orders.ndjson', '"${INPUT_FOLDER"'),
    code: 2,
    message:
      'pipelines/orders.yaml:4:13: step "read_file", field "path": a reference ${ has no closing }; write $${ for a plain ${',
  },
  {
    title: 'a reference to a later step',
    pipeline: orders('input/orders.ndjson', '"${steps.write_file.path}"'),
    code: 2,
    message:
      'pipelines/orders.yaml:4:13: step "read_file", field "path": ${steps.write_file...} refers to a later step; only steps above this one can be used',
  },
  {
    title: 'two equal ids',
    pipeline: orders('name: filter', 'name: filter\n    id: orders').replace(
      'name: parse_json',
      'name: parse_json\n    id: orders',
    ),
    code: 2,
    message:
      'pipelines/orders.yaml:8:9: the id "orders" is given twice; the first one is in line 6; give one of them another',
  },
  {
    title: 'an alias bomb',
    pipeline: bomb(),
    code: 2,
    message: 'pipelines/orders.yaml:6:12: its aliases grow to more than 100000 values; write them out or use fewer',
  },
  {
    title: 'a prototype as key',
    pipeline: orders('where: total > 10', 'where: total > 10\n      __proto__: { polluted: true }'),
    code: 2,
    message: 'pipelines/orders.yaml:9:7: the key "__proto__" is not allowed',
  },
  {
    title: 'a file nested too deep',
    pipeline: `pipeline: ${'['.repeat(5000)}${']'.repeat(5000)}\n`,
    code: 2,
    message: 'pipelines/orders.yaml:1:138: is nested deeper than 64 levels',
  },
  {
    title: 'a file too large',
    pipeline: `# ${'x'.repeat(6 * 1024 * 1024)}\n${GOOD}`,
    code: 2,
    message: 'pipelines/orders.yaml: is larger than 1 MB (6291672 characters); a configuration file is not data',
  },
  {
    title: 'several mistakes at once',
    pipeline: orders('where', 'wher').replace('parse_json', 'parse_jsn'),
    code: 2,
    message:
      'pipelines/orders.yaml:5:11: step "parse_jsn": unknown oxi "parse_jsn"; did you mean "parse_json"?\nand 1 more; -v shows them all',
  },
  {
    title: 'several mistakes at once, all shown',
    args: ['run', 'orders', '-v'],
    pipeline: orders('where', 'wher').replace('parse_json', 'parse_jsn'),
    code: 2,
    message:
      'pipelines/orders.yaml:5:11: step "parse_jsn": unknown oxi "parse_jsn"; did you mean "parse_json"?\npipelines/orders.yaml:8:7: step "filter": unknown field "wher"; did you mean "where"? allowed: where',
  },
  {
    title: 'a mistyped section of the project',
    files: { 'oxiflow.yaml': 'projekt:\n  name: shop\n' },
    code: 2,
    message:
      'oxiflow.yaml:1:1: unknown section "projekt"; did you mean "project"? allowed: environment, state_manager, project, settings, state, oxis, monitoring, analytics',
  },
  {
    title: 'a state backend in the project that is not there',
    files: { 'oxiflow.yaml': 'state_manager:\n  backend: postgresql\n' },
    code: 2,
    message:
      'oxiflow.yaml:2:12: field "state_manager.backend": must be one of auto, file, nfs, sqlite, redis, http, database, got "postgresql"',
  },
  {
    title: 'an expression that breaks off',
    pipeline: orders('total > 10', 'total >'),
    code: 2,
    message:
      'pipelines/orders.yaml:8:14: step "filter", field "where": the expression ends too early: a value is missing (at character 8 of "total >")',
  },
  {
    title: 'a mistyped function',
    pipeline: orders('total > 10', 'rond(total) > 10'),
    code: 2,
    message:
      'pipelines/orders.yaml:8:14: step "filter", field "where": there is no function rond(); did you mean "round"? (at character 1 of "rond(total) > 10")',
  },
  {
    title: 'a bad expression in map',
    pipeline: orders('name: filter', 'name: map').replace('where: total > 10', 'set:\n        gross: total * * 2'),
    code: 2,
    message:
      'pipelines/orders.yaml:9:16: step "map", field "set.gross": "*" is not expected here: a value is missing (at character 9 of "total * * 2")',
  },
  {
    title: 'a condition that reads a record',
    pipeline: orders('name: filter', 'name: filter\n    condition: total > 10'),
    code: 2,
    message:
      'pipelines/orders.yaml:7:16: step "filter", field "condition": "total" is a field of a record, and this condition is evaluated at start, before any record; env, params and steps are there (at character 1 of "total > 10")',
  },
  {
    title: 'a condition that is no boolean',
    pipeline: orders('name: filter', 'name: filter\n    condition: 1 + 1'),
    code: 2,
    message:
      'pipelines/orders.yaml:7:16: step "filter", field "condition": a condition must be true or false (at character 1 of "1 + 1")',
  },
  {
    title: 'a pattern with a bracket that is not closed',
    pipeline: orders('where: total > 10', "where: matches(string(total), '(a')"),
    code: 2,
    message:
      'pipelines/orders.yaml:8:14: step "filter", field "where": the pattern of matches(): a "(" has no ")" (at character 3 of the pattern) (at character 24 of "matches(string(total), \'(a\')")',
  },
  {
    title: 'a selection that is no path',
    pipeline: orders('name: filter', 'name: json_select').replace('where: total > 10', 'path: "a[b"'),
    code: 2,
    message:
      'pipelines/orders.yaml:8:13: step "json_select", field "path": must be a path such as `.data.items`, `[0].users[1].profile` or `["odd key"]`, got "a[b"',
  },
];

function bomb(): string {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 9; i++) lines.push(`a${i}: &a${i} [${Array.from({ length: 9 }, () => `*a${i - 1}`).join(', ')}]`);
  return `${lines.map((line) => `x-${line}`).join('\n')}\npipeline: *a8\n`;
}
