/**
 * What a step, and an expression within it, is to the byte kernel, with the meaning of the step itself: operations as plain data, or
 * a script, which is JavaScript over what the kernel has found. A form may leave out what it can't say; the kernel may leave any
 * record to the step.
 */

import type { Value } from '../../expressions/values.ts';

/** Keys of objects, and numbers of elements of lists. */
export type FormPath = readonly (string | number)[];

export const PAIRS = [
  '==',
  '!=',
  '<',
  '<=',
  '>',
  '>=',
  '+',
  '-',
  '*',
  '/',
  '%',
  'contains',
  'startsWith',
  'endsWith',
] as const;
export type Pair = (typeof PAIRS)[number];

export const CHANGES = ['-', '!', 'round', 'floor', 'ceil', 'abs', 'int', 'string', 'size'] as const;
export type Change = (typeof CHANGES)[number];

export const CASTS = ['int', 'float', 'string', 'bool'] as const;
export type Cast = (typeof CASTS)[number];

export type Form =
  | { is: 'constant'; value: null | boolean | number | string }
  /** What the run was given: a parameter, or a variable of the environment. */
  | { is: 'given'; as: 'params' | 'env'; name: string }
  | { is: 'field'; path: FormPath }
  /** The field, or `other` where it is null or not there. */
  | { is: 'default'; path: FormPath; other: Form }
  | { is: 'has'; path: FormPath }
  | { is: 'pair'; op: Pair; left: Form; right: Form }
  | { is: 'change'; op: Change; of: Form }
  | { is: 'round'; of: Form; places: number }
  /** One of these constants. */
  | { is: 'in'; of: Form; items: readonly (null | boolean | number | string)[] }
  | { is: 'logic'; op: '&&' | '||'; items: readonly Form[] }
  | { is: 'choice'; condition: Form; yes: Form; no: Form };

/** Fields of the record at hand, with the values and the numbers' texts that a record view has. */
export interface Fields {
  get(path: readonly string[]): unknown;
  has(path: readonly string[]): boolean;
  numberText(path: readonly string[]): string | undefined;
}

/** An expression that runs as JavaScript: it reads these fields and nothing else of the record. */
export interface Script {
  paths: readonly (readonly string[])[];
  /** Its value. `context`: that of the step. What it throws is for the step to tell. */
  run(record: Fields, context: unknown): Value;
}

/** An expression as operations, as a script, or as both: one of them is there. */
export interface Expression {
  form?: Form;
  script?: Script;
}

export type StepForm =
  /** Every record stays as it is. */
  | { do: 'pass' }
  | { do: 'filter'; where: Expression }
  | { do: 'set'; fields: readonly { path: readonly string[]; value: Expression }[] }
  | { do: 'rename'; fields: readonly { from: readonly string[]; to: readonly string[] }[] }
  | { do: 'drop'; paths: readonly (readonly string[])[] }
  | { do: 'select'; paths: readonly (readonly string[])[] }
  | { do: 'cast'; fields: readonly { path: readonly string[]; to: Cast }[] };

/** What the cells of a column of CSV are: as text, by their looks, or something that has to be one. */
export type Cells = 'text' | 'infer' | 'int' | 'number' | 'bool';

/** What a parser of CSV is to the kernel. Quotes are those of RFC 4180, and nothing else is special. */
export interface RowForm {
  delimiter: number;
  /** Empty cells of text are null. */
  emptyIsNull: boolean;
  cellsOf(column: string): Cells;
}

/** All expressions of the form have operations; the others run as scripts. */
export function isNative(form: StepForm): boolean {
  if (form.do === 'filter') return form.where.form !== undefined;
  return form.do !== 'set' || form.fields.every(({ value }) => value.form !== undefined);
}
