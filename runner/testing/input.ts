/** Records of a test as the text that the pipeline's parser reads. */
import type { Oxi } from '../engine/contracts.ts';
import type { StepInput } from '../engine/plan.ts';
import { dialectOf } from '../oxis/formats/csv-fields.ts';

/** What the text is read by, with its config as far as it is known before the run. */
export interface ReadBy {
  oxi: string;
  id: string;
  config: unknown;
}

/** The parser behind a source: the first one in front of the next source. */
export function readerOf(
  steps: readonly StepInput[],
  source: StepInput,
  oxis: ReadonlyMap<string, Oxi>,
): ReadBy | undefined {
  const behind = steps.slice(steps.indexOf(source) + 1);
  for (const step of behind) {
    const kind = oxis.get(step.oxi)?.kind;
    // Sources that stand straight behind it stand in for it.
    if (kind === 'parser') return { oxi: step.oxi, id: step.id, config: step.resolve(new Map()) };
    if (kind !== 'source') return undefined;
  }
  return undefined;
}

/** Throws an Error whose message is a sentence for people where records can't stand in such an input. */
export function textOf(records: readonly unknown[], reader: ReadBy | undefined): string {
  if (reader === undefined)
    throw new Error('no parser follows the source, so its input is text: write "input: { text: ... }"');
  if (reader.oxi === 'parse_csv') return csvText(records, reader.config as CsvConfig, reader.id);
  if (reader.oxi !== 'parse_json')
    throw new Error(`records can't be written for ${reader.oxi}: write "input: { text: ... }"`);
  const { framing } = reader.config as { framing: string };
  const texts = records.map((record) => JSON.stringify(record));
  if (framing === 'array') return `[${texts.join(',\n')}]`;
  if (framing !== 'document') return texts.map((text) => `${text}\n`).join('');
  if (texts.length !== 1)
    throw new Error(`"${reader.id}" reads one document, and the test gives ${texts.length} records`);
  return texts[0] ?? '';
}

interface CsvConfig {
  headers: boolean;
  columns?: readonly string[];
  delimiter: string;
  quote_char: string;
  escape_char?: string;
  comment_char?: string;
  skip_rows: number;
  trim_whitespace: boolean;
  types?: 'infer' | Readonly<Record<string, string>>;
}

function csvText(records: readonly unknown[], c: CsvConfig, step: string): string {
  const rows = records.map((record, i) => {
    if (typeof record === 'object' && record !== null && !Array.isArray(record))
      return record as Record<string, unknown>;
    throw new Error(`record ${i + 1} must be a map: it becomes a row of CSV`);
  });
  // A column that has a type must be there.
  const typed = typeof c.types === 'object' ? Object.keys(c.types) : [];
  const names = c.columns ?? [...new Set([...rows.flatMap((row) => Object.keys(row)), ...typed])];
  const extra = rows.flatMap((row) => Object.keys(row)).find((name) => !names.includes(name));
  if (extra !== undefined) throw new Error(`"${step}" knows no column "${extra}"`);
  const cell = cellWriter(c, step);
  const line = (values: readonly unknown[]): string => `${values.map(cell).join(delimiterOf(c, step))}\n`;
  const lines = rows.map((row) => line(names.map((name) => row[name])));
  return '\n'.repeat(c.skip_rows) + (c.headers ? line(names) : '') + lines.join('');
}

function delimiterOf(c: CsvConfig, step: string): string {
  return String.fromCharCode(dialectOf(c, step).delimiter);
}

/** Text as a cell that reads as the same text. */
function cellWriter(c: CsvConfig, step: string): (value: unknown) => string {
  const { quote, escape: escaping, delimiter, comment, trim } = dialectOf(c, step);
  const char = (code: number): string => (code < 0 ? '' : String.fromCharCode(code));
  const special = [char(delimiter), char(quote), char(escaping), char(comment), '\n', '\r'].filter((one) => one !== '');
  return (value) => {
    const text = cellText(value);
    const looks = c.types === 'infer' && typeof value === 'string';
    const needs = looks || special.some((one) => text.includes(one)) || (trim && text.trim() !== text);
    if (!needs) return text;
    if (quote < 0) throw new Error(`${JSON.stringify(text)} needs quotes in CSV, and "${step}" reads none`);
    const mark = char(quote);
    const inside = escaping < 0 ? text : text.replaceAll(char(escaping), char(escaping) + char(escaping));
    return mark + inside.replaceAll(mark, (escaping < 0 ? mark : char(escaping)) + mark) + mark;
  };
}

/** A value as it stands in a cell of CSV: null and what is missing are empty, maps and lists are JSON. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
