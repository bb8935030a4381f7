/** Holds what came of a run against what its test expects. */
import { parseAllDocuments } from 'yaml';
import * as z from 'zod/mini';
import type { PipelineTest } from '../config/tests.ts';
import type { BlockStep, ParserOxi, StepContext } from '../engine/contracts.ts';
import { EXIT, OxiError } from '../engine/errors.ts';
import { parseCsv } from '../oxis/formats/parse-csv.ts';
import { compareRecords, compareText, type Difference } from './compare.ts';
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
}

/** How the run ended is not how it should. */
export function wrongEnd({ expect }: PipelineTest, { exitCode, message, errors }: Ended): Wrong | undefined {
  const said = message === undefined ? '' : `: ${message}`;
  const wanted = expect.exit_code ?? (expect.message === undefined ? EXIT.ok : undefined);
  if (wanted === undefined && exitCode === EXIT.ok) return { problem: 'the run succeeded, and a failure was expected' };
  if (wanted !== undefined && exitCode !== wanted)
    return { problem: `the run ended with exit code ${exitCode}, expected ${wanted}${said}` };
  if (expect.message !== undefined && message?.includes(expect.message) !== true)
    return { problem: `the message does not say ${JSON.stringify(expect.message)}${said}` };
  if (expect.errors !== undefined && errors !== expect.errors)
    return { problem: `${errors} record ${errors === 1 ? 'error' : 'errors'}, expected ${expect.errors}` };
  return undefined;
}

/** What the sinks and the dead letters got is not what they should. `order`: ids of the steps, top to bottom. */
export function wrongOutput(test: PipelineTest, order: readonly string[], ended: Ended): Wrong | undefined {
  const { expect } = test;
  const { kept } = ended;
  const last = order.findLast((id) => kept.has(id)) ?? '';
  const wanted = Object.entries(expect.outputs ?? {}).map(([id, records]) => ({ id, records, field: `outputs.${id}` }));
  if (expect.records !== undefined) wanted.unshift({ id: last, records: expect.records, field: 'records' });
  for (const { id, records, field } of wanted) {
    const one = kept.get(id);
    if (one === undefined)
      throw testError(test, `expect.${field}`, `"${id}" has written nothing: it is no sink, or was skipped`);
    const got = located(test, `expect.${field}`, () => recordsOf(one));
    const isRows = one.formatter === 'format_csv';
    const found = compareRecords(isRows ? records.map(asRow) : records, isRows ? got.map(asRow) : got);
    if (found !== undefined) return differs(`"${id}"`, found);
  }
  if (expect.text !== undefined) {
    const found = compareText(expect.text, kept.get(last)?.sink.bytes.toString() ?? '');
    if (found !== undefined) return differs(`"${last}"`, found);
  }
  if (expect.dead_letters === undefined) return undefined;
  const letters = ended.letters.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Letter]));
  const found = compareRecords(
    expect.dead_letters,
    letters.map((letter, i) => seen(letter, expect.dead_letters?.[i])),
  );
  return found && differs('the dead letters', found);
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

function differs(output: string, difference: Difference): Wrong {
  const { place, expected, got } = difference;
  return { problem: `${output}, ${place}: expected ${expected}, got ${got}`, difference: { output, ...difference } };
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
