/** What goes wrong in what steps are asked to do together. */
import { pipelineOf } from '../program.ts';
import { type BadCase, ORDERS, parse, read, write } from './case.ts';

export const planCases: readonly BadCase[] = [
  {
    title: 'a filter before the parser',
    pipeline: pipelineOf([read, ['filter', { where: 'true' }], parse, write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:75: step "filter": "filter" works on records and bytes come here: put parse_json or parse_csv before it',
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
      'pipelines/orders.yaml:1:75: step "parse_json": what "parse_json" makes goes nowhere: "read_file_2" behind it is a source and begins anew; end this part with write_file or write_stdout',
  },
  {
    title: 'a layout that somebody else has made already',
    pipeline: pipelineOf([read, parse, ['format_json', {}], ['write_stdout', { format: 'json', json_pretty: true }]]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:195: step "write_stdout", field "json_pretty": has no effect: "format_json" lays the records out',
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
    message:
      'pipelines/orders.yaml:1:135: step "validate", field "schema": "requird" is no word of JSON Schema; did you mean "required"?',
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
    title: 'broken records that are to go on',
    pipeline: pipelineOf([read, ['parse_json', {}, { continue_on_error: true }], write] as never),
    code: 2,
    message:
      'pipelines/orders.yaml:1:75: step "parse_json": "continue_on_error" can\'t hold here: what is broken can\'t be passed on; use on_error',
  },
  {
    title: 'a limit that is wider than the step can take',
    pipeline: pipelineOf([read, parse, ['batch', {}, { limits: { max_memory_mb: 4096 } }], write] as never),
    code: 2,
    message:
      'pipelines/orders.yaml:1:134: step "batch": "limits.max_memory_mb" is 4096 and "batch" allows 512 at most: a limit can be tightened, never widened',
  },
  {
    title: 'a second chain without steps',
    pipeline: pipelineOf([read, parse, ['tee', {}], write]),
    code: 2,
    message: 'pipelines/orders.yaml:1:120: step "tee": "steps" must be a list of steps, each with "- name:" of an oxi',
  },
  {
    title: 'a second chain that goes nowhere',
    pipeline: pipelineOf([read, parse, ['tee', { steps: [{ name: 'filter', config: { where: 'true' } }] }], write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:130: step "filter": the pipeline ends with "filter" and what it makes goes nowhere: end it with write_file or write_stdout',
  },
  {
    title: 'two sinks with the same file in two chains',
    pipeline: pipelineOf([
      read,
      parse,
      ['tee', { steps: [{ name: 'write_file', id: 'copy', config: { path: 'output/large.ndjson' } }] }],
      write,
    ]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:207: step "write_file": "copy" writes to the same place: ROOT/output/large.ndjson',
  },
  {
    title: 'a batch larger than it may be',
    pipeline: pipelineOf([read, parse, ['batch', { batch_size: 100, max_batch_size: 10 }], write]),
    code: 2,
    message: 'pipelines/orders.yaml:1:157: step "batch", field "max_batch_size": is smaller than batch_size, got 10',
  },
  {
    title: 'a strategy that is none',
    pipeline: pipelineOf([read, parse, ['batch', { strategy: 'weekly' }], write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:134: step "batch", field "strategy": must be one of size, time, memory, size_or_time, size_or_memory, any, got "weekly"',
  },
  {
    title: 'indented lines',
    pipeline: pipelineOf([read, parse, ['format_json', { pretty: true }], write]),
    code: 2,
    message: 'step "format_json": "pretty" needs "framing: array" or "framing: document", and the framing is lines',
  },
  {
    title: 'an oxi of a later version',
    pipeline: pipelineOf([read, ['parse_xml'], write]),
    code: 2,
    message: 'pipelines/orders.yaml:1:83: step "parse_xml": unknown oxi "parse_xml"; did you mean "parse_csv"?',
  },
  {
    title: 'a type that is none',
    pipeline: pipelineOf([read, ['parse_csv', { types: { total: 'flot' } }], write]),
    code: 2,
    message:
      'pipelines/orders.yaml:1:122: step "parse_csv", field "types.total": must be one of int, float, decimal, bool, string, timestamp, json, got "flot"; did you mean "float"?',
  },
  {
    title: 'a mistyped list of steps',
    pipeline: pipelineOf([read, parse, ['tee', { stps: [] }], write]),
    code: 2,
    message: 'pipelines/orders.yaml:1:121: step "tee": unknown field "stps"; did you mean "steps"? allowed: steps',
  },
];
