/** Texts of CSV that were written apart, by several workers, become the one that a single worker writes: one header, all columns. */
import type { Join, PartText } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';
import type { CsvFormat } from './csv-cell-writer.ts';
import { CsvEncoder } from './csv-encode.ts';
import { MAX_COLUMNS } from './csv-layout.ts';
import { CsvChunker, CsvCutter, type CsvRowOptions } from './csv-rows.ts';

export interface CsvJoinOptions {
  format: CsvFormat;
  /** Each part begins with a header, and so does the whole. */
  headers: boolean;
  /** Names of the columns, where they were given. */
  columns: readonly string[];
  step: string;
}

export function csvJoin(options: CsvJoinOptions): Join {
  return async function* join(parts) {
    const { format, headers, step } = options;
    // A worker learns columns in the order in which they come up: so does whoever sees its rows behind those before.
    const columns = [...new Set([...options.columns, ...parts.flatMap((part) => part.columns ?? [])])];
    if (columns.length > MAX_COLUMNS)
      throw new OxiError(
        'RECORD_INVALID',
        `step "${step}": the parts have ${columns.length} columns between them, and a file takes ${MAX_COLUMNS}: name those that are wanted ("columns: [...]"); the parts are kept`,
        { place: { step, field: 'columns' } },
      );
    const encoder = new CsvEncoder({ format, headers, rule: 'all', columns, rewritable: true });
    for (const part of parts) yield* rowsOf(part, encoder, options);
    yield* encoder.end();
  };
}

async function* rowsOf(
  part: PartText,
  encoder: CsvEncoder,
  { format, headers, step }: CsvJoinOptions,
): AsyncGenerator<Uint8Array> {
  const rows: CsvRowOptions = {
    dialect: format.dialect,
    headers: false,
    columns: [],
    skipRows: 0,
    maxRecordBytes: Number.POSITIVE_INFINITY,
  };
  const chunker = new CsvChunker(rows, { offset: 0, state: null, name: part.name });
  const cutter = new CsvCutter(rows);
  let skip = headers ? 1 : 0;
  const encoded = (piece: ReturnType<CsvChunker['push']>): Uint8Array[] => {
    if (piece === undefined) return [];
    const { bytes, spans, offsets, count } = cutter.cut(piece);
    const from = Math.min(skip, count);
    skip -= from;
    const left = count - from;
    if (left === 0) return [];
    return encoder.encode(
      {
        bytes,
        spans: spans.subarray(2 * from, 2 * count),
        offsets: offsets.subarray(from, count),
        count: left,
        split: 0,
        runs: [{ count: left, columns: part.columns ?? [] }],
      },
      (_index, error) => {
        throw new OxiError('RECORD_INVALID', `step "${step}": ${part.name}: ${error.message}; the parts are kept`, {
          place: { step, file: part.name },
        });
      },
    );
  };
  for await (const bytes of part.text()) yield* encoded(chunker.push(bytes));
  yield* encoded(chunker.end());
}
