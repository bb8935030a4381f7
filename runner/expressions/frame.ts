/** What a compiled expression reads while it runs, and what the compiler's parts share while they build it. */
import type { FieldPath } from '../engine/contracts.ts';
import { Budget } from './budget.ts';
import { quoteShort } from './errors.ts';
import type { Ast } from './parse.ts';
import type { Value } from './values.ts';

/** The record at hand. */
export interface RecordReader {
  /** The value at `path`, or undefined where there is none, or where a parent is no object. */
  get(path: FieldPath): Value | undefined;
  has(path: FieldPath): boolean;
  /** The source text of a number that no step set, so that decimal(field) is exact beyond 17 digits; else undefined. */
  numberText?(path: FieldPath): string | undefined;
}

export interface Scope {
  record: RecordReader;
  /** file, offset, partition, timestamp: as far as the source has them. */
  meta: ReadonlyMap<string, Value>;
  env: ReadonlyMap<string, string>;
  params: ReadonlyMap<string, Value>;
  /** What earlier steps left: an object of objects. */
  steps: Value;
  /** Start of the run (first attempt), milliseconds since the epoch. */
  now: number;
}

/** A compiled part of an expression. */
export type Run = () => Value;

/** One for each compiled expression, and reused: evaluation is synchronous and never enters itself. */
export class Frame {
  scope: Scope = EMPTY_SCOPE;
  readonly locals: Value[] = [];
  readonly budget = new Budget();
}

const EMPTY_SCOPE: Scope = {
  record: { get: () => undefined, has: () => false },
  meta: new Map(),
  env: new Map(),
  params: new Map(),
  steps: new Map(),
  now: 0,
};

/** The compiler as its parts see it. */
export interface Compiling {
  readonly text: string;
  readonly frame: Frame;
  compile(ast: Ast): Run;
  /** The path of record fields that `ast` is, or undefined; the path is recorded as touched. */
  field(ast: Ast): FieldPath | undefined;
  /** Compiles `body` where `name` stands for the local in the slot that `body` is given. */
  withLocal<T>(name: string, body: (slot: number) => T): T;
  /** What `ast` is called in messages. */
  label(ast: Ast): string;
}

/** The source text of a part, in quotes. */
export function sourceOf(text: string, ast: Ast): string {
  return quoteShort(text.slice(ast.at, ast.end));
}
