/** What goes wrong on the command line. */
import { pipelineOf } from '../program.ts';
import { type BadCase, GOOD, parse, read } from './case.ts';

export const commandCases: readonly BadCase[] = [
  {
    title: 'a mistyped pipeline',
    args: ['run', 'ordres'],
    code: 125,
    message: 'no pipeline "ordres" in pipelines/; did you mean "orders"?',
  },
  {
    title: 'a drain for a launcher that nobody can see go',
    args: ['run', 'orders', '--on-orphan', 'drain'],
    code: 2,
    message: 'run: --on-orphan drain needs --parent-fd N, the pipe whose end says that the launcher is gone',
  },
  {
    title: 'a worker that waits for a launcher that it has no pipe to',
    args: ['run', 'orders', '--join', '--when-told'],
    code: 2,
    message: 'run: --when-told needs --join, and --parent-fd N, the pipe that the launcher writes to',
  },
  {
    title: 'a pipeline that is like none',
    args: ['run', 'rides'],
    code: 125,
    message: 'no pipeline "rides" in pipelines/; there are: orders',
  },
  {
    title: 'a name that climbs out of the folder',
    args: ['run', '../../etc/x'],
    code: 125,
    message: 'no pipeline "../../etc/x" in pipelines/; there are: orders',
  },
  {
    title: 'a path to no file',
    args: ['run', 'pipelines/rides.yaml'],
    code: 125,
    message: 'no pipeline "pipelines/rides.yaml"; there are: orders',
  },
  {
    title: 'a project without pipelines',
    args: ['run', 'orders', '--project', 'empty'],
    folders: ['empty'],
    code: 125,
    message: 'no pipeline "orders" in ROOT/empty/pipelines/; there are no pipelines yet',
  },
  {
    title: 'a project that is not there',
    args: ['run', 'orders', '--project', 'nowhere'],
    code: 2,
    message: '--project nowhere: no such folder',
  },
  {
    title: 'no pipeline named',
    args: ['run'],
    code: 2,
    message: 'oxiflow run: missing required argument "pipeline"; oxiflow run --help shows how',
  },
  {
    title: 'an extra word',
    args: ['run', 'orders', 'rides'],
    code: 2,
    message: 'oxiflow run: too many arguments for "run": expected 1 argument but got 2; oxiflow run --help shows how',
  },
  {
    title: 'a mistyped option',
    args: ['run', 'orders', '--dryrun'],
    code: 2,
    message: 'oxiflow run: unknown option "--dryrun"; did you mean --dry-run? oxiflow run --help shows how',
  },
  {
    title: 'a mistyped verb',
    args: ['rnu', 'orders'],
    code: 2,
    message: 'oxiflow: unknown verb "rnu"; did you mean "run"?',
  },
  {
    title: 'an option without its value',
    args: ['run', 'orders', '--set'],
    code: 2,
    message: 'oxiflow run: option "--set <step.field=value>" argument missing; oxiflow run --help shows how',
  },
  {
    title: 'a limit that is no number',
    args: ['run', 'orders', '--limit', 'abc'],
    code: 2,
    message:
      'oxiflow run: option "--limit <n>" argument "abc" is invalid: it must be a whole number from 0; oxiflow run --help shows how',
  },
  {
    title: 'no threads',
    args: ['run', 'orders', '--threads', '0'],
    code: 2,
    message:
      'oxiflow run: option "--threads <n>" argument "0" is invalid: it must be a whole number from 1 to 64; oxiflow run --help shows how',
  },
  {
    title: 'a log format that is not there',
    args: ['run', 'orders', '--log-format', 'xml'],
    code: 2,
    message:
      'oxiflow run: option "--log-format <format>" argument "xml" is invalid: allowed choices are text, json; oxiflow run --help shows how',
  },
  {
    title: 'a time without a unit that is known',
    args: ['run', 'orders', '--drain-timeout', '5parsecs'],
    code: 2,
    message:
      'oxiflow run: option "--drain-timeout <time>" argument "5parsecs" is invalid: it must be a duration with its unit, such as 30d, 12h, 5m, 10s or 500ms; oxiflow run --help shows how',
  },
  {
    title: 'an age without a unit, which is never taken for seconds,',
    args: ['state', 'cleanup', '--older-than', '5'],
    code: 2,
    message:
      'oxiflow state cleanup: option "--older-than <time>" argument "5" is invalid: it must be a duration with its unit, such as 30d, 12h, 5m, 10s or 500ms; oxiflow state cleanup --help shows how',
  },
  {
    title: '--set without a value',
    args: ['run', 'orders', '--set', 'filter.where'],
    code: 2,
    message: '--set: must be step.field=value',
  },
  {
    title: '--set of a step that is not there',
    args: ['run', 'orders', '--set', 'fliter.where=true'],
    code: 2,
    message: '--set fliter.where: no step "fliter"; did you mean "filter"?',
  },
  {
    title: '--set of a field that is not there',
    args: ['run', 'orders', '--set', 'filter.were=true'],
    code: 2,
    message: '--set filter.were: filter has no field "were"; did you mean "where"?',
  },
  {
    title: '--set of a wrong type',
    args: ['run', 'orders', '--set', 'write_file.append=perhaps'],
    code: 2,
    message: '--set write_file.append: must be true or false, got "perhaps"',
  },
  {
    title: '--set of a prototype',
    args: ['run', 'orders', '--set', 'filter.__proto__.where=true'],
    code: 2,
    message: '--set filter.__proto__.where: the name is not allowed',
  },
  {
    title: '--param without a value',
    args: ['run', 'orders', '--param', 'day'],
    code: 2,
    message: '--param: must be name=value',
  },
  {
    title: '--param that nobody declared',
    args: ['run', 'orders', '--param', 'day=2026-03-01'],
    code: 2,
    message: '--param day: the pipeline has no such parameter; it declares none',
  },
  {
    title: '--param of a wrong type',
    pipeline: `${GOOD}parameters:\n  day:\n    type: date\n`,
    args: ['run', 'orders', '--param', 'day=tomorrow'],
    code: 2,
    message: '--param day: must be a date such as 2026-07-31, got "tomorrow"',
  },
  {
    title: 'a parameter that is not given',
    pipeline: `${GOOD}parameters:\n  day:\n    type: date\n`,
    code: 2,
    message: 'pipelines/orders.yaml:13:3: the parameter "day" has no default; give it with --param day=...',
  },
  {
    title: 'an env file that is not there',
    args: ['run', 'orders', '--env-file', 'secrets.env'],
    code: 2,
    message: '--env-file secrets.env: no such file',
  },
  {
    title: 'an env file with a line that is none',
    files: { 'secrets.env': 'A=1\nthis is no variable\n' },
    args: ['run', 'orders', '--env-file', 'secrets.env'],
    code: 2,
    message: 'secrets.env:2: must be NAME=value',
  },
  {
    title: '--json with a pipeline that writes to stdout',
    pipeline: pipelineOf([read, parse, ['write_stdout']]),
    args: ['run', 'orders', '--json'],
    code: 2,
    message: 'run: --json and write_stdout both want standard output; use --summary FILE',
  },
  {
    title: '--events to a descriptor that is not open',
    args: ['run', 'orders', '--events', 'fd:77'],
    code: 2,
    message: '--events fd:77: descriptor 77 is not open for writing; have the launcher pass it on, or give a file',
  },
  {
    title: '--events to no descriptor',
    args: ['run', 'orders', '--events', 'fd:x'],
    code: 2,
    message: '--events fd:x: after fd: comes the number of an open descriptor, such as fd:3',
  },
  {
    title: '--events to stdout of a pipeline that writes there',
    pipeline: pipelineOf([read, parse, ['write_stdout']]),
    args: ['run', 'orders', '--events', 'fd:1'],
    code: 2,
    message:
      '--events fd:1: 0, 1 and 2 are for input, data and people; pass another descriptor, such as fd:3, or a file',
  },
  {
    title: '--events into a folder that is not there',
    args: ['run', 'orders', '--events', 'nowhere/events.ndjson'],
    code: 2,
    message: '--events nowhere/events.ndjson: its folder is not there; make it first',
  },
  {
    title: '--events to a folder',
    args: ['run', 'orders', '--events', 'input'],
    code: 2,
    message: '--events input: that is a folder; name a file in it',
  },
  {
    title: '--summary into a folder that is not there',
    args: ['run', 'orders', '--summary', 'nowhere/summary.json'],
    code: 2,
    message: '--summary nowhere/summary.json: its folder is not there; make it first',
  },
  {
    title: '--parent-fd that is not open',
    args: ['run', 'orders', '--parent-fd', '77'],
    code: 2,
    message: '--parent-fd 77: no open pipe has this number',
  },
  {
    title: 'a state backend that is not there',
    args: ['run', 'orders', '--state-backend', 'sqlight'],
    code: 2,
    message: '--state-backend: must be one of auto, file, nfs, sqlite, redis, http, database, got "sqlight"',
  },
  {
    title: 'a state backend of a later version',
    args: ['run', 'orders', '--state-backend', 'http'],
    code: 2,
    message: 'the state backend "http" is not part of this oxiflow; there are: auto, sqlite, file, nfs, redis',
  },
  {
    title: 'a state backend without its address',
    args: ['run', 'orders', '--state-backend', 'redis'],
    code: 2,
    message: 'state_manager.redis needs a connection_url, or set OXIFLOW_STATE_URL',
  },
  {
    title: 'a run key with odd signs',
    args: ['run', 'orders', '--run-key', ''],
    code: 2,
    message: 'a run key is a text of 1 to 1000 valid Unicode characters',
  },
  {
    title: 'status of a run that is not there',
    args: ['status', '--run-key', 'orders'],
    code: 2,
    message: 'no run "orders" in ROOT/.oxiflow/state.db: there are no runs yet',
  },
  {
    title: 'state of a run that is not there',
    args: ['state', 'show', 'orders'],
    code: 2,
    message: 'no run "orders" in ROOT/.oxiflow/state.db: there are no runs yet',
  },
  {
    title: 'status without a run',
    args: ['status'],
    code: 2,
    message: 'oxiflow status: required option "--run-key <key>" not specified; oxiflow status --help shows how',
  },
  {
    title: 'a schema of nothing',
    args: ['schema', 'step'],
    code: 2,
    message: 'oxiflow schema: must be pipeline, project or manifest, got "step"',
  },
];
