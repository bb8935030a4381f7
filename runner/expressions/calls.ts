/** What a function of the expression language is, to whoever compiles a call of it. */
import type { Budget } from './budget.ts';
import type { Value } from './values.ts';

/** One call in an expression: what its arguments are called in messages, and the budget that its work is charged to. */
export interface Call {
  name: string;
  labels: readonly string[];
  budget: Budget;
  /** Start of the run, milliseconds since the epoch. */
  now: () => number;
}

export type Implementation = (call: Call, a: Value, b: Value | undefined, c: Value | undefined) => Value;

export interface FunctionDefinition {
  min: number;
  max: number;
  form?: 'call' | 'method';
  run: Implementation;
}
