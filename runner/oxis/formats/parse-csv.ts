/** `parse_csv`: rows of CSV (RFC 4180 and its dialects) become JSON objects, a member a column. */
import * as z from 'zod/mini';
import type { Block, BlockStep, FailRecord, StepContext } from '../../engine/contracts.ts';
import { OxiError } from '../../engine/errors.ts';
import type { Cells } from '../../kernel/bytes/forms.ts';
import type { CsvDialect } from '../../kernel/csv-dialect.ts';
import { type CellType, CsvJson } from '../../kernel/csv-json.ts';
import { CsvChunker, CsvCutter, CsvFramer, type CsvRowOptions } from '../../kernel/csv-rows.ts';
import { defineParser, field } from '../define.ts';
import { type CastType, castTypes, castValue } from '../transforms/cast.ts';
import { character, dialectOf } from './csv-fields.ts';

const MB = 1024 * 1024;

const config = () => {
  const name = z.string().check(z.minLength(1));
  return z
    .strictObject({
      headers: field(
        z._default(z.boolean(), true),
        'The first row of each file names the columns. A column without a name is `column_3` by its place; a name that stands twice is numbered (`fare`, `fare_2`). false: `column_1`, `column_2` ..., or `columns`.',
      ),
      columns: field(
        z.optional(z.array(name).check(z.minLength(1))),
        'Names of the columns of files without a header (`headers: false`).',
      ),
      delimiter: field(
        z._default(character(), ','),
        'What stands between two cells: one character, `\\t` for a tabulator.',
      ),
      quote_char: field(
        z._default(character('or nothing'), '"'),
        'What stands around cells that hold delimiters or line ends; empty: quotes are text.',
      ),
      escape_char: field(
        z.optional(character()),
        'Inside quotes, makes the character behind it text. Without it, and beside it, a quote is written twice.',
      ),
      comment_char: field(z.optional(character()), 'Lines that begin with it are left out.'),
      skip_rows: field(
        z._default(z.int().check(z.gte(0), z.lte(1_000_000)), 0),
        'Lines at the beginning of each file, before the header, that are left out.',
      ),
      trim_whitespace: field(z._default(z.boolean(), false), 'Blanks around cells go; inside of quotes they stay.'),
      types: field(
        z.optional(z.union([z.literal('infer'), z.record(name, z.literal(castTypes))])),
        'Column to type, as in `map: cast`; a number keeps its digits, an empty cell is null. infer: each cell by its looks (number, true, false, empty; text in quotes stays text). Without it all cells are text.',
      ),
      empty: field(
        z._default(z.literal(['text', 'null']), 'text'),
        'What an empty cell of text is: an empty text, or null.',
      ),
      max_record_mb: field(z._default(z.int().check(z.gte(1), z.lte(512)), 64), 'Largest row.', { unit: 'MB' }),
    })
    .check(
      z.refine((c) => c.columns === undefined || !c.headers, {
        error: 'names columns of files without a header: set "headers: false" with it',
        path: ['columns'],
      }),
      z.refine((c) => c.columns === undefined || new Set(c.columns).size === c.columns.length, {
        error: 'has the same name twice',
        path: ['columns'],
      }),
    );
};

type Config = z.output<ReturnType<typeof config>>;

export const parseCsv = defineParser({
  name: 'parse_csv',
  kind: 'parser',
  summary: 'Reads CSV: a record a row, a field a column.',
  limits: { maxBatchSize: 1_000_000, maxMemoryMb: 512 },
  config,
  aliases: { has_headers: 'headers' },
  detect: () => ({ framing: 'rows', selected: false }),
  frame: (c, _stream, _select, at) => new CsvFramer(rowOptions(c), at),
  cutting: () => 'scan',
  chunk: (c, _stream, at) => new CsvChunker(rowOptions(c), at),
  columns: (c, name, first, isAll = false) => {
    if (c.columns !== undefined || first === undefined) return c.columns;
    const { check: _, ...options } = rowOptions(c);
    return new CsvChunker(options, { offset: 0, state: null, name }).columnsOf(first, isAll);
  },
  within: (c, most) => ({ ...c, max_record_mb: Math.min(c.max_record_mb, most) }),
  make: (c, context): BlockStep => new RowStep(c, context.stepId),
});

function rowOptions(c: Config): CsvRowOptions {
  return {
    // The step was made before any byte is read, and has refused what is wrong with it.
    dialect: dialectOf(c, 'parse_csv'),
    headers: c.headers,
    columns: c.columns,
    skipRows: c.skip_rows,
    maxRecordBytes: c.max_record_mb * MB,
    check: (columns, file) => checkTypes(c, columns, file),
  };
}

/** Throws OxiError DOCUMENT_BROKEN where a type is asked for a column that the file does not have. */
function checkTypes(c: Config, columns: readonly string[], file: string): void {
  if (typeof c.types !== 'object') return;
  const known = new Set(columns);
  const missing = Object.keys(c.types).find((column) => !known.has(column));
  if (missing !== undefined)
    throw new OxiError('DOCUMENT_BROKEN', `${file}: it has no column "${missing}", which "types" of parse_csv names`, {
      place: { file, field: 'types' },
    });
}

/** Cells become the values of an object. */
class RowStep implements BlockStep {
  readonly form = 'block';
  readonly cardinality = 'one';
  readonly state = 'none';
  readonly cutter: CsvCutter;
  readonly rows: NonNullable<BlockStep['rows']>;
  readonly #rows: CsvJson;

  constructor(c: Config, step: string) {
    const dialect = dialectOf(c, step);
    this.cutter = new CsvCutter(rowOptions(c));
    this.rows = kernelRows(c, dialect);
    const types = typeof c.types === 'object' ? new Map(Object.entries(c.types)) : new Map<string, CastType>();
    const others = c.types === 'infer' ? 'infer' : 'text';
    this.#rows = new CsvJson({
      dialect,
      typeOf: (column) => {
        const type = types.get(column);
        return type === undefined ? others : cellType(type);
      },
      emptyIsNull: c.empty !== 'text',
    });
  }

  process(block: Block, _context: StepContext, fail: FailRecord): Block {
    return this.#rows.process(block, fail);
  }
}

const KERNEL_CELLS: Readonly<Partial<Record<CastType, Cells>>> = {
  string: 'text',
  int: 'int',
  float: 'number',
  decimal: 'number',
  bool: 'bool',
};

/** The usual dialect, and types whose usual form the byte kernel knows. */
function kernelRows(
  c: Config,
  { delimiter, quote, escape: escaping, comment, trim }: CsvDialect,
): NonNullable<BlockStep['rows']> {
  const refuse = (why: string) => ({ why });
  if (quote !== 0x22) return refuse('"quote_char" is another than the kernel knows');
  if (escaping >= 0) return refuse('it has an "escape_char"');
  if (comment >= 0) return refuse('it has a "comment_char"');
  if (trim) return refuse('it has "trim_whitespace"');
  if (
    delimiter === 0x5c ||
    (delimiter !== 0x09 && delimiter < 0x20) ||
    /[0-9A-Za-z.+-]/.test(String.fromCharCode(delimiter))
  )
    return refuse('"delimiter" is one that texts and numbers are made of');
  const types = typeof c.types === 'object' ? c.types : {};
  const odd = Object.entries(types).find(([, type]) => KERNEL_CELLS[type] === undefined);
  if (odd !== undefined) return refuse(`"types" makes "${odd[0]}" a ${odd[1]}`);
  const own = new Map(Object.entries(types));
  const others = c.types === 'infer' ? 'infer' : 'text';
  return {
    form: {
      delimiter,
      emptyIsNull: c.empty !== 'text',
      cellsOf: (column) => KERNEL_CELLS[own.get(column) as CastType] ?? others,
    },
  };
}

function cellType(type: CastType): CellType {
  if (type === 'string') return 'text';
  return {
    numbers: type === 'int' ? 'whole' : type === 'float' || type === 'decimal' ? 'all' : 'none',
    cast: (text, column) => {
      // Files write truth in more ways than JSON does.
      const value = type !== 'bool' ? text : text === '1' ? true : text === '0' ? false : text.trim().toLowerCase();
      return castValue(value, type, column);
    },
  };
}
