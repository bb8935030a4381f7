/** The columns of CSV as the kernel has them: the text before each cell, what the cells are, and the slot that a program reads. */
import { COLUMN_BYTES, COLUMNS, COLUMNS_END, SLOT_BYTES, SLOTS } from '../wasm/memory.ts';
import * as OPS from '../wasm/operations.ts';
import type { Cells, RowForm } from './forms.ts';

const KINDS: Readonly<Record<Exclude<Cells, 'text'>, number>> = {
  infer: OPS.CELL_INFERRED,
  int: OPS.CELL_WHOLE,
  number: OPS.CELL_NUMBER,
  bool: OPS.CELL_BOOLEAN,
};
/** So much is copied of a key without a look at its length. */
const KEY_BYTES = 32;

export interface RowImage {
  /** To stand at COLUMNS. */
  bytes: Buffer;
  count: number;
  delimiter: number;
  emptyIsNull: boolean;
  /** Bytes of all keys, with what stands around them. */
  keysSize: number;
}

/** `slots`: those of a program, by the name of the field. Undefined where there are none, or too many for the kernel. */
export function rowImage(
  form: RowForm,
  columns: readonly string[],
  slots: ReadonlyMap<string | number, number>,
): RowImage | undefined {
  const { delimiter, emptyIsNull } = form;
  const keys = columns.map((column, i) => {
    const cells = form.cellsOf(column);
    const kind = cells !== 'text' ? KINDS[cells] : emptyIsNull ? OPS.CELL_TEXT_OR_NULL : OPS.CELL_TEXT;
    const text = `${i === 0 ? '{' : ','}${JSON.stringify(column)}:${kind === OPS.CELL_TEXT ? '"' : ''}`;
    return { key: Buffer.from(text), kind, slot: slots.get(column) };
  });
  const keysSize = keys.reduce((sum, { key }) => sum + key.length, 0);
  let at = COLUMN_BYTES * columns.length;
  const size = at + keysSize + KEY_BYTES;
  if (columns.length === 0 || COLUMNS + size > COLUMNS_END) return undefined;
  const bytes = Buffer.alloc(size);
  keys.forEach(({ key, kind, slot }, i) => {
    const column = COLUMN_BYTES * i;
    bytes.writeUInt32LE(COLUMNS + at, column);
    bytes.writeUInt32LE(key.length, column + 4);
    bytes.writeUInt32LE(kind, column + 8);
    bytes.writeUInt32LE(slot === undefined ? 0 : SLOTS + SLOT_BYTES * slot, column + 12);
    at += key.copy(bytes, at);
  });
  return { bytes, count: columns.length, delimiter, emptyIsNull, keysSize };
}
