/** Ten mistakes that everybody makes once. `runner/cli/MISTAKES.md` is made from this table. */
import { type BadCase, GOOD, orders } from './case.ts';

export interface Mistake extends BadCase {
  /** What people call it. */
  name: string;
}

export const mistakes: readonly Mistake[] = [
  {
    name: 'wrong name',
    title: 'an oxi that is called almost so',
    pipeline: orders('parse_json', 'parse_jsn'),
    code: 2,
    message: 'pipelines/orders.yaml:5:11: step "parse_jsn": unknown oxi "parse_jsn"; did you mean "parse_json"?',
  },
  {
    name: 'wrong type',
    title: 'a word where a switch is',
    pipeline: `${GOOD}      append: perhaps\n`,
    code: 2,
    message: 'pipelines/orders.yaml:12:15: step "write_file", field "append": must be true or false, got "perhaps"',
  },
  {
    name: 'missing variable',
    title: 'a variable that nobody has set',
    pipeline: orders('input/orders.ndjson', '"${INPUT_FOLDER}/orders.ndjson"'),
    code: 2,
    message:
      'pipelines/orders.yaml:4:13: step "read_file", field "path": ${INPUT_FOLDER} is not set; set the variable INPUT_FOLDER, or give a default as in ${INPUT_FOLDER:-default}',
  },
  {
    name: 'wrong path',
    title: 'an input that is called almost so',
    pipeline: orders('input/orders.ndjson', 'input/order.ndjson'),
    code: 1,
    message: 'step "read_file": input/order.ndjson: no such file (looked in ROOT); did you mean "input/orders.ndjson"?',
  },
  {
    name: 'bad expression',
    title: 'a filter that breaks off',
    pipeline: orders('total > 10', 'total >'),
    code: 2,
    message:
      'pipelines/orders.yaml:8:14: step "filter", field "where": the expression ends too early: a value is missing (at character 8 of "total >")',
  },
  {
    name: 'forward reference',
    title: 'a reference to a step further down',
    pipeline: orders('input/orders.ndjson', '"${steps.write_file.path}"'),
    code: 2,
    message:
      'pipelines/orders.yaml:4:13: step "read_file", field "path": ${steps.write_file...} refers to a later step; only steps above this one can be used',
  },
  {
    name: 'two steps with one id',
    title: 'an id that stands twice',
    pipeline: orders('name: filter', 'name: filter\n    id: orders').replace(
      'name: parse_json',
      'name: parse_json\n    id: orders',
    ),
    code: 2,
    message:
      'pipelines/orders.yaml:8:9: the id "orders" is given twice; the first one is in line 6; give one of them another',
  },
  {
    name: 'secret in clear',
    title: 'a password in the project file',
    files: { 'oxiflow.yaml': 'project: { name: shop }\nenvironment:\n  DB_PASSWORD: hunter-2-hunter\n' },
    code: 0,
    message:
      'warning: oxiflow.yaml:3:16: "DB_PASSWORD" holds a secret in clear; take it out of the file and set the variable DB_PASSWORD where the run starts, or in an --env-file',
  },
  {
    name: 'unreadable file',
    title: 'an input that this user may not read',
    forbidden: ['input/orders.ndjson'],
    code: 126,
    message:
      'step "read_file": input/orders.ndjson: permission denied (EACCES); change its owner or mode, or run as a user who has the right',
  },
];

/** The tenth needs a disk that is full, which only root can make. */
export const diskFull: Pick<Mistake, 'name' | 'title' | 'code' | 'message'> = {
  name: 'disk full',
  title: 'an output on a disk without room',
  code: 1,
  message:
    'error: step "write_file": DISK/rides.ndjson: no space left on the disk; free some and start again, the run resumes',
};

/** The page with the table. */
export function mistakesPage(): string {
  const cell = (text: string): string => `\`${text.replaceAll('|', '\\|')}\``;
  const rows = [...mistakes, diskFull].map(
    ({ name, title, code, message }) => `| ${name} | ${title} | ${cell(message)} | ${code} |`,
  );
  return [
    '# Ten mistakes and what is said of them',
    '',
    'Each gives one sentence on standard error that names the place and what to do. This page is made by',
    '`npm run mistakes` from the table that the tests run (`test/cli/cases/mistakes.ts`). `ROOT` is the folder of the',
    'project, `DISK` that of the full disk.',
    '',
    '| mistake | for example | what oxiflow says | exit code |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
