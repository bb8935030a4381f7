/**
 * The values of expressions. A JSON record decodes to: null, boolean, string, number (IEEE double), bigint (a whole number
 * beyond 2^53, exact), `readonly Value[]`, and Map for objects (keys in the order of the text). Expressions add Decimal,
 * Timestamp and Duration. undefined is never a value: it says that there is none.
 */
import type { Decimal } from './decimal.ts';
import type { Duration, Timestamp } from './time.ts';

export type Value =
  | null
  | boolean
  | string
  | number
  | bigint
  | Decimal
  | Timestamp
  | Duration
  | readonly Value[]
  | ReadonlyMap<string, Value>;
