/** Holds what came of a run against what its test expects. */
import { parseAllDocuments } from 'yaml';
import * as z from 'zod/mini';
import type { PipelineTest } from '../config/tests.ts';
import type { BlockStep, ParserOxi, StepContext } from '../engine/contracts.ts';
import { EXIT, OxiError } from '../engine/errors.ts';
import { parseCsv } from '../oxis/formats/parse-csv.ts';
import { compareRecords, compareText, type Difference } from './compare.ts';
import { differing, type Hunk, isMap } from './diff.ts';
import { cellText } from './input.ts';
import type { MemorySink } from './memory.ts';

/** What one sink was given. */
export interface Kept {
  sink: MemorySink;
  /** Records as their JSON text, where JSON was laid out. */
  json: string[] | undefined;
  formatter: string | undefined;
  /** Config of the formatter. */
  config: unknown;
}

/** Id of the output of a step that is tested alone. */
export const ALONE = '.output';

export interface Ended {
  exitCode: number;
  message: string | undefined;
  /** Record errors that did not stop the run. */
  errors: number;
  /** By id of the sink. */
  kept: ReadonlyMap<string, Kept>;
  /** The dead letters, as they would stand in their file. */
  letters: string;
}

export interface Wrong {
  problem: string;
  /** Where two lists or texts differ first. */
  difference?: Difference & { output: string };
  /** All that differs, where an expectation and what came can be held side by side. */
  differs?: Differs;
}

export interface Differs {
  /** Of `expect`, dots between. */
  field: string;
  /** What the field would have to say. */
  value: unknown;
  what: 'record' | 'line' | 'letter';
  hunks: readonly Hunk[];
}

/** How the run ended is not how it should. */
export function wrongEnd({ expect }: PipelineTest, { exitCode, message }: Ended): Wrong | undefined {
  const said = message === undefined ? '' : `: ${message}`;
  const wanted = expect.exit_code ?? (expect.message === undefined ? EXIT.ok : undefined);
  if (wanted === undefined && exitCode === EXIT.ok) return { problem: 'the run succeeded, and a failure was expected' };
  if (wanted !== undefined && exitCode !== wanted)
    return { problem: `the run ended with exit code ${exitCode}, expected ${wanted}${said}` };
  if (expect.message !== undefined && message?.includes(expect.message) !== true)
    return { problem: `the message does not say ${JSON.stringify(expect.message)}${said}` };
  return undefined;
}

/** How many records were bad is not what it should be. */
export function wrongErrors({ expect }: PipelineTest, { errors }: Ended): Wrong[] {
  if (expect.errors === undefined || errors === expect.errors) return [];
  const problem = `${errors} record ${errors === 1 ? 'error' : 'errors'}, expected ${expect.errors}`;
  return [{ problem, differs: { field: 'errors', value: errors, what: 'record', hunks: [] } }];
}

/** What the sinks and the dead letters got is not what they should. `order`: ids of the steps, top to bottom. */
export function wrongOutputs(test: PipelineTest, order: readonly string[], ended: Ended): Wrong[] {
  const { expect } = test;
  const { kept } = ended;
  const found: (Wrong | undefined)[] = [];
  const last = order.findLast((id) => kept.has(id)) ?? '';
  const name = (id: string): string => `"${id === ALONE ? (test.step ?? '') : id}"`;
  const wanted = Object.entries(expect.outputs ?? {}).map(([id, records]) => ({ id, records, field: `outputs.${id}` }));
  if (expect.records !== undefined) wanted.unshift({ id: last, records: expect.records, field: 'records' });
  for (const { id, records, field } of wanted) {
    const one = kept.get(id);
    if (one === undefined)
      throw testError(test, `expect.${field}`, `"${id}" has written nothing: it is no sink, or was skipped`);
    const got = located(test, `expect.${field}`, () => recordsOf(one));
    const isRows = one.formatter === 'format_csv';
    const [left, right] = isRows ? [records.map(asRow), got.map(asRow)] : [records, got];
    const value = isRows ? asWritten(records, got) : got;
    found.push(
      differs(name(id), compareRecords(left, right), { field, value, what: 'record', hunks: differing(left, right) }),
    );
  }
  if (expect.text !== undefined) {
    const text = kept.get(last)?.sink.bytes.toString() ?? '';
    const hunks = differing(expect.text.split('\n'), text.split('\n'));
    found.push(
      differs(name(last), compareText(expect.text, text), { field: 'text', value: text, what: 'line', hunks }),
    );
  }
  const { dead_letters: wish } = expect;
  if (wish !== undefined) {
    const letters = ended.letters.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Letter]));
    const got = letters.map((letter, i) => seen(letter, wish[i]));
    const value = letters.map((letter, i) => {
      const { step, code, record } = letter;
      return wish[i] === undefined ? { step, code, record: parsed(record) } : seen(letter, wish[i]);
    });
    const hunks = differing(wish, got);
    found.push(
      differs('the dead letters', compareRecords(wish, got), { field: 'dead_letters', value, what: 'letter', hunks }),
    );
  }
  return found.filter((one) => one !== undefined);
}

/** Rows of CSV are text; where a cell means what the expectation says, it is written as there. */
function asWritten(expected: readonly unknown[], got: readonly unknown[]): unknown[] {
  return got.map((row, i) => {
    const wish = expected[i];
    if (!isMap(row) || !isMap(wish)) return row;
    const cells = Object.entries(row).filter(([, cell]) => cell !== '');
    return Object.fromEntries(
      cells.map(([key, cell]) => [key, Object.hasOwn(wish, key) && cellText(wish[key]) === cell ? wish[key] : cell]),
    );
  });
}

/** Gives a sentence the place in the file. */
export function located<T>(test: PipelineTest, field: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Error) || error instanceof OxiError) throw error;
    throw testError(test, field, error.message);
  }
}

export function testError(test: PipelineTest, field: string, text: string): OxiError {
  const { file, line, column } = test.locate(field);
  return new OxiError('CONFIG_INVALID', `${file}:${line}:${column}: test "${test.name}": ${text}`, {
    place: { field: `tests.${field}`, file, line, column },
  });
}

function differs(output: string, difference: Difference | undefined, all: Differs): Wrong | undefined {
  if (difference === undefined) return undefined;
  const { place, expected, got } = difference;
  const problem = `${output}, ${place}: expected ${expected}, got ${got}`;
  return { problem, difference: { output, ...difference }, differs: all };
}

// ---------------------------------------------------------------- records

type Letter = Record<'step' | 'code' | 'reason' | 'record', string>;

/** Of a letter, what the expectation speaks of. */
function seen(
  letter: Letter,
  expected: NonNullable<PipelineTest['expect']['dead_letters']>[number] | undefined,
): unknown {
  const { step, code, reason, record } = letter;
  if (expected === undefined) return { step, code, reason, record };
  const hasPart = expected.reason !== undefined && reason.includes(expected.reason);
  return {
    step,
    ...(expected.code === undefined ? {} : { code }),
    ...(expected.reason === undefined ? {} : { reason: hasPart ? expected.reason : reason }),
    ...(expected.record === undefined ? {} : { record: typeof expected.record === 'string' ? record : parsed(record) }),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The records that a sink was given. Throws an Error with a sentence where it was given something else. */
function recordsOf({ sink, json, formatter, config }: Kept): unknown[] {
  if (json !== undefined) return json.map((text) => JSON.parse(text) as unknown);
  if (formatter === 'format_csv') return rowsOf(sink.bytes, config as CsvOutput);
  if (formatter === 'format_yaml') {
    const documents = parseAllDocuments(sink.bytes.toString()).map((one) => one.toJS() as unknown);
    return documents.length === 1 && Array.isArray(documents[0]) ? documents[0] : documents;
  }
  throw new Error('what is written there is text, not records: write "text: ..." in place of records');
}

interface CsvOutput {
  headers: boolean;
  columns: unknown;
  delimiter: string;
  quote_char: string;
  escape_char?: string;
}

/** Rows of CSV, read by the parser of the product: every cell is text. */
function rowsOf(bytes: Buffer, { headers, columns, delimiter, quote_char, escape_char }: CsvOutput): unknown[] {
  const parser = parseCsv as unknown as ParserOxi<unknown>;
  const config = z.parse(parseCsv.config as z.ZodMiniType, {
    headers,
    delimiter,
    quote_char,
    ...(escape_char === undefined ? {} : { escape_char }),
    ...(headers || !Array.isArray(columns) ? {} : { columns }),
  });
  const framer = parser.frame(config, { framing: 'rows', selected: false }, undefined, {
    offset: 0,
    state: null,
    name: 'output',
  });
  const step = parser.make(config, { projectRoot: '.', stepId: 'output' }) as BlockStep;
  const rows: unknown[] = [];
  for (const framed of [framer.push(Uint8Array.from(bytes)), framer.end()]) {
    const block = step.process({ ...framed, split: 0, whole: false }, {} as StepContext, (_i, error) => {
      throw error;
    });
    if (block instanceof Promise) throw new Error('parse_csv does not wait');
    for (let i = 0; i < block.count; i++) {
      const [from, to] = block.spans.subarray(2 * i, 2 * i + 2);
      rows.push(JSON.parse(Buffer.from(block.bytes.subarray(from, to)).toString()));
    }
  }
  return rows;
}

/** A record as CSV shows it: an empty cell, null and a missing field are the same. */
function asRow(record: unknown): unknown {
  if (typeof record !== 'object' || record === null || Array.isArray(record)) return record;
  const cells = Object.entries(record).map(([name, value]) => [name, cellText(value)] as const);
  return Object.fromEntries(cells.filter(([, text]) => text !== ''));
}
