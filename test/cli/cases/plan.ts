/** What goes wrong in what steps are asked to do together. */
import { pipelineOf } from '../program.ts';
import { type BadCase, ORDERS, parse, read, write } from './case.ts';

export const planCases: readonly BadCase[] = [
  {
    title: 'a filter before the parser',
    pipeline: pipelineOf([read, ['filter', { where: 'true' }], parse, write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:75: step "filter": "filter" works on records and bytes come here: put parse_json before it',
  },
  {
    title: 'a filter behind the formatter',
    pipeline: pipelineOf([read, parse, ['format_json'], ['filter', { where: 'true' }], write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:120: step "filter": "filter" works on records and text comes here: put it before "format_json"',
  },
  {
    title: 'two parsers',
    pipeline: pipelineOf([read, parse, parse, write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:97: step "parse_json_2": "parse_json" reads bytes and what comes here is records; put it straight behind the source',
  },
  {
    title: 'no source',
    pipeline: pipelineOf([parse, write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:14: step "parse_json": nothing comes into this step: begin the pipeline with a source such as read_file',
  },
  {
    title: 'no sink',
    pipeline: pipelineOf([read, parse]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:75: step "parse_json": the pipeline ends with "parse_json" and what it makes goes nowhere: end it with write_file or write_stdout',
  },
  {
    title: 'two sources',
    pipeline: pipelineOf([read, parse, read, write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:97: step "read_file_2": the pipeline has a source already ("read_file"), and this version reads one a pipeline',
  },
  {
    title: 'a layout that somebody else has made already',
    pipeline: pipelineOf([read, parse, ['format_json', {}], ['write_stdout', { format: 'json', json_pretty: true }]]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:198: step "write_stdout", field "json_pretty": has no effect: "format_json" lays the records out',
  },
  {
    title: 'a query that is none',
    pipeline: pipelineOf([read, parse, ['json', { query: '.a +' }], write]),
    code: 2,
    message: 'pipelines/orders.yaml:1:130: step "json", field "query": jq says: syntax error, unexpected end of file',
  },
  {
    title: 'a schema that is none',
    pipeline: pipelineOf([read, parse, ['validate', { schema: { requird: ['id'] } }], write]),
    code: 2,
    message: 'pipelines/orders.yaml:1:135: step "validate", field "schema": strict mode: unknown keyword: "requird"',
  },
  {
    title: 'a layout without its format',
    pipeline: pipelineOf([read, parse, ['write_stdout', { json_pretty: true }]]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:144: step "write_stdout", field "json_pretty": has no effect without "format: json", got true',
  },
  {
    title: 'two fields renamed to one',
    pipeline: pipelineOf([read, parse, ['map', { rename: { order: 'id', total: 'id' } }], write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:152: step "map", field "rename.total": "order" is renamed to "id" already; only one of them can have that name',
  },
  {
    title: 'a field with two dots',
    pipeline: pipelineOf([read, parse, ['map', { drop: ['order', 'customer..name'] }], write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:137: step "map", field "drop.1": "customer..name" has an empty part: a dot stands between two names (write \\. for a dot in a name)',
  },
  {
    title: 'a field and a part of it set',
    pipeline: pipelineOf([read, parse, ['map', { set: { 'tax.rate': '1', tax: 'total' } }], write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:149: step "map", field "set.tax.rate": it lies in "tax", which is set as well; set the whole of it, or its parts',
  },
  {
    title: 'two sinks to one file',
    pipeline: pipelineOf([read, parse, write, write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:159: step "write_file_2": "write_file" writes to the same place: ROOT/output/large.ndjson',
  },
  {
    title: 'exactly once from stdin',
    pipeline: pipelineOf([['read_stdin'], parse, write], { delivery: 'exactly_once' }),
    input: ORDERS,
    code: 2,
    message:
      'pipelines/orders.yaml:1:58: step "write_file": "delivery: exactly_once" can\'t hold: "read_stdin" can be read only once',
  },
  {
    title: 'exactly once to stdout',
    pipeline: pipelineOf([read, parse, ['write_stdout']], { delivery: 'exactly_once' }),
    code: 2,
    message:
      'pipelines/orders.yaml:1:97: step "write_stdout": "delivery: exactly_once" can\'t hold: what "write_stdout" has written can\'t be taken back; write to a file, or say at_least_once',
  },
  {
    title: 'retries',
    pipeline: pipelineOf([read, parse, [...write, { retry_attempts: 3 }]] as never),
    code: 2,
    message:
      'pipelines/orders.yaml:1:97: step "write_file": "retry_attempts" belongs to the format and this version can\'t honour it: leave it out',
  },
  {
    title: 'dead letters of a step',
    pipeline: pipelineOf([read, ['parse_json', {}, { on_error: 'dead_letter' }], write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:75: step "parse_json": "on_error: dead_letter" belongs to the format and this version can\'t honour it: leave it out',
  },
  {
    title: 'a timeout',
    pipeline: pipelineOf([read, parse, [...write, { timeout_seconds: 3 }]] as never),
    code: 2,
    message:
      'pipelines/orders.yaml:1:97: step "write_file": "timeout_seconds" belongs to the format and this version can\'t honour it: leave it out',
  },
  {
    title: 'going on after errors',
    pipeline: pipelineOf([read, parse, [...write, { continue_on_error: true }]] as never),
    code: 2,
    message:
      'pipelines/orders.yaml:1:97: step "write_file": "continue_on_error" belongs to the format and this version can\'t honour it: leave it out',
  },
  {
    title: 'indented lines',
    pipeline: pipelineOf([read, parse, ['format_json', { pretty: true }], write]),
    code: 2,
    message: 'step "format_json": "pretty" needs "framing: array" or "framing: document", and the framing is lines',
  },
  {
    title: 'an oxi of a later version',
    pipeline: pipelineOf([read, ['parse_csv'], write]),
    code: 2,
    message: 'pipelines/orders.yaml:1:83: step "parse_csv": unknown oxi "parse_csv"; did you mean "parse_json"?',
  },
];
