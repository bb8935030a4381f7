/** `format_csv`: records become rows of CSV under a header, a column for each field. */
import * as z from 'zod/mini';
import type { Block, BlockStep, FailRecord, RecordStep, StepContext } from '../../engine/contracts.ts';
import { OxiError } from '../../engine/errors.ts';
import { RowKernel } from '../../kernel/bytes/row-kernel.ts';
import { type CsvFormat, QUOTE_STYLES } from '../../kernel/csv-cell-writer.ts';
import { CsvEncoder } from '../../kernel/csv-encode.ts';
import { csvJoin } from '../../kernel/csv-join.ts';
import { type ColumnRule, RowLayout } from '../../kernel/csv-layout.ts';
import { defineFormatter, field } from '../define.ts';
import { character, dialectOf } from './csv-fields.ts';

const LINE_ENDS = { unix: '\n', windows: '\r\n', mac: '\r' } as const;

const config = () =>
  z
    .strictObject({
      columns: field(
        z._default(z.union([z.literal(['auto', 'first']), z.array(z.string()).check(z.minLength(1))]), 'auto'),
        'Which fields are written: auto: all that come up, in the order in which they do; first: those of the first record; or a list of names.',
      ),
      headers: field(z._default(z.boolean(), true), 'The first row names the columns.'),
      delimiter: field(
        z._default(character(), ','),
        'What stands between two cells: one character, `\\t` for a tabulator.',
      ),
      quote_char: field(z._default(character(), '"'), 'What stands around cells that need it.'),
      escape_char: field(
        z.optional(character()),
        'Inside quotes, stands before a quote and before itself. Without it a quote is written twice.',
      ),
      quote_style: field(
        z.optional(z.literal(QUOTE_STYLES)),
        'Which cells stand in quotes. minimal (the default): those that need it; all; non_numeric: all but numbers; none: a cell that needs quotes is a record error.',
      ),
      quote_all: field(z.optional(z.boolean()), 'true is another way to say `quote_style: all`.'),
      line_ending: field(
        z._default(z.literal(['unix', 'windows', 'mac']), 'unix'),
        'What ends a row: LF, CR and LF, or CR.',
      ),
      escape_formulas: field(
        z._default(z.boolean(), false),
        'Text that a spreadsheet would run as a formula (it begins with =, +, -, @) gets an apostrophe in front.',
      ),
    })
    .check(
      z.refine((c) => typeof c.columns === 'string' || new Set(c.columns).size === c.columns.length, {
        error: 'has the same name twice',
        path: ['columns'],
      }),
      z.refine((c) => c.quote_all !== true || (c.quote_style ?? 'all') === 'all', {
        error: 'says another thing than "quote_style"; leave one of them out',
        path: ['quote_all'],
      }),
    );

type Config = z.output<ReturnType<typeof config>>;

export const formatCsv = defineFormatter({
  name: 'format_csv',
  kind: 'formatter',
  summary: 'Writes CSV: a row a record, a column a field.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  aliases: { include_headers: 'headers' },
  make: (c, context): BlockStep | RecordStep => {
    const format = formatOf(c, context.stepId);
    // What the first record of all has, only the encoder can know.
    if (c.columns === 'first') return { form: 'record', cardinality: 'one', touches: [], apply: () => 'keep' };
    return new LayoutStep(new RowLayout(format, ruleOf(c), namesOf(c), context.tier !== 'values'), format);
  },
  columns: (c) => (typeof c.columns === 'string' ? undefined : c.columns),
  alone: {
    why: 'writes the columns of the first record of all: name them, or leave "columns" out',
    when: (c: Config) => c.columns === 'first',
  },
  join: (c, _stream, context) =>
    csvJoin({
      format: formatOf(c, context.stepId),
      headers: c.headers && !context.continues,
      columns: namesOf(c),
      step: context.stepId,
    }),
  encoder: (c, _stream, context) => {
    if (context.continues && c.headers && typeof c.columns === 'string')
      throw new OxiError(
        'CONFIG_INVALID',
        `step "${context.stepId}": rows are appended to a file that has its columns already: name them ("columns: [...]"), so that the new rows are in their order`,
        { place: { step: context.stepId, field: 'columns' } },
      );
    return new CsvEncoder({
      format: formatOf(c, context.stepId),
      // What is appended to has one already.
      headers: c.headers && !context.continues,
      rule: ruleOf(c),
      columns: namesOf(c),
      rewritable: context.rewritable,
    });
  },
});

function ruleOf({ columns }: Config): ColumnRule {
  return columns === 'auto' ? 'all' : columns === 'first' ? 'first' : 'given';
}

function namesOf({ columns }: Config): readonly string[] {
  return typeof columns === 'string' ? [] : columns;
}

/** Throws OxiError CONFIG_INVALID. */
function formatOf(c: Config, step: string): CsvFormat {
  const style = c.quote_style ?? (c.quote_all === true ? 'all' : 'minimal');
  const dialect = dialectOf(c, step);
  return {
    dialect: style === 'none' ? { ...dialect, quote: -1, escape: -1 } : dialect,
    style,
    lineEnd: Buffer.from(LINE_ENDS[c.line_ending]),
    escapeFormulas: c.escape_formulas,
  };
}

/** The rows of each block, in the order of its own columns; the encoder puts them in that of all. */
class LayoutStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'one';
  readonly state = 'none';
  readonly onKernel: { why?: string };
  readonly #layout: RowLayout;

  constructor(layout: RowLayout, format: CsvFormat) {
    this.#layout = layout;
    this.onKernel = RowKernel.takes(format)
      ? {}
      : { why: 'the kernel writes cells in quotes where they need them, and text as it is' };
  }

  process(block: Block, _context: StepContext, fail: FailRecord): Block {
    return this.#layout.layOut(block, fail);
  }
}
