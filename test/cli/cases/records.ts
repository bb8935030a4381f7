/** What goes wrong in the records. -q leaves out the table of the run. */
import { pipelineOf } from '../program.ts';
import { type BadCase, ORDERS, orders, read, write } from './case.ts';

export const dataCases: readonly BadCase[] = [
  {
    title: 'a broken line',
    args: ['run', 'orders', '-q'],
    files: { 'input/orders.ndjson': `${ORDERS}{"order":4,"total":}\n` },
    code: 3,
    message:
      'error: input/orders.ndjson: record at byte 70: step "parse_json": unexpected text in place of a value (byte 89). Set "on_error: drop" on the step to leave such records out, or "on_error: dead_letter" to keep them in a file',
  },
  {
    title: 'a line that is cut off',
    args: ['run', 'orders', '-q'],
    files: { 'input/orders.ndjson': `${ORDERS}{"order":4,"tot` },
    code: 3,
    message:
      'error: input/orders.ndjson: record at byte 70: step "parse_json": a string is not closed (byte 85). Set "on_error: drop" on the step to leave such records out, or "on_error: dead_letter" to keep them in a file',
  },
  {
    title: 'bytes that are no UTF-8',
    args: ['run', 'orders', '-q'],
    files: { 'input/orders.ndjson': Buffer.from('{"order":1,"total":12}\n{"order":"\u00e9"}\n', 'latin1') },
    code: 3,
    message:
      'error: input/orders.ndjson: record at byte 23: step "parse_json": invalid UTF-8 (byte 33). Set "on_error: drop" on the step to leave such records out, or "on_error: dead_letter" to keep them in a file',
  },
  {
    title: 'a field that is not there',
    args: ['run', 'orders', '-q'],
    pipeline: orders('total > 10', 'totl > 10'),
    code: 3,
    message:
      'error: input/orders.ndjson: record at byte 0: step "filter": the field "totl" is not in this record; guard it with has(totl) or default(totl, ...). Set "on_error: drop" on the step to leave such records out, or "on_error: dead_letter" to keep them in a file',
  },
  {
    title: 'a field of another type',
    args: ['run', 'orders', '-q'],
    pipeline: orders('total > 10', 'total > "10"'),
    code: 3,
    message:
      'error: input/orders.ndjson: record at byte 0: step "filter": "total" is a number and ""10"" is text: ">" needs two numbers, texts, timestamps or durations. Set "on_error: drop" on the step to leave such records out, or "on_error: dead_letter" to keep them in a file',
  },
  {
    title: 'a filter that is no boolean',
    args: ['run', 'orders', '-q'],
    pipeline: orders('total > 10', 'total'),
    code: 3,
    message:
      'error: input/orders.ndjson: record at byte 0: step "filter": "where" must be true or false for every record. Set "on_error: drop" on the step to leave such records out, or "on_error: dead_letter" to keep them in a file',
  },
  {
    title: 'a broken array',
    args: ['run', 'orders', '-q'],
    pipeline: orders('input/orders.ndjson', 'input/orders.json'),
    files: { 'input/orders.json': '[{"order":1,"total":12},\n {"order":2,"total":]\n' },
    code: 3,
    message: 'error: input/orders.json: byte 45: a value is missing',
  },
  {
    title: 'an array that is cut off',
    args: ['run', 'orders', '-q'],
    pipeline: orders('input/orders.ndjson', 'input/orders.json'),
    files: { 'input/orders.json': '[{"order":1,"total":12}' },
    code: 3,
    message: 'error: input/orders.json: byte 23: the document ends too early',
  },
  {
    title: 'a broken document',
    args: ['run', 'orders', '-q'],
    pipeline: orders('input/orders.ndjson', 'input/orders.json'),
    files: { 'input/orders.json': '{\n "order": 1,\n "total": nil\n}\n' },
    code: 3,
    message: 'error: input/orders.json: byte 25: unexpected text in place of a value',
  },
  {
    title: 'several documents in one',
    args: ['run', 'orders', '-q'],
    pipeline: orders('parse_json', 'parse_json\n    config: { framing: document }'),
    code: 3,
    message:
      'error: input/orders.ndjson: byte 25: there is more text behind its end; if it holds many values, set "framing: lines" on parse_json',
  },
  {
    title: 'several records for one document',
    args: ['run', 'orders', '-q'],
    pipeline: orders(
      '  - name: write_file',
      '  - name: format_json\n    config: { framing: document }\n  - name: write_file',
    ).replace('total > 10', 'true'),
    code: 3,
    message:
      'error: step "format_json": a document holds one record and the stream has more: set "framing: lines" or "framing: array"',
  },
  {
    title: 'nothing at the selected path',
    args: ['run', 'orders', '-q'],
    pipeline: pipelineOf([read, ['parse_json', { framing: 'document' }], ['json_select', { path: '.orders' }], write]),
    files: { 'input/orders.ndjson': '{"rides":[]}' },
    code: 3,
    message:
      'error: input/orders.ndjson: byte 12: .orders is not in it; check the path, or set "strict: false" or "default_on_missing"',
  },
  {
    title: 'more errors than allowed',
    args: ['run', 'orders', '-q'],
    pipeline: `${orders('name: parse_json', 'name: parse_json\n    on_error: drop')}max_errors: 1\n`,
    files: { 'input/orders.ndjson': `{bad}\n${ORDERS}{worse}\n` },
    code: 3,
    message: 'error: 2 records were bad and "max_errors" allows 1',
  },
  {
    title: 'a text that can not be cast',
    args: ['run', 'orders', '-q'],
    pipeline: orders('name: filter', 'name: map').replace('where: total > 10', 'cast: { order: timestamp }'),
    files: { 'input/orders.ndjson': '{"order":"soon"}\n' },
    code: 3,
    message:
      'error: input/orders.ndjson: record at byte 0: step "map": "order" can\'t be cast to timestamp: it is a text that does not read as one. Set "on_error: drop" on the step to leave such records out, or "on_error: dead_letter" to keep them in a file',
  },
];
