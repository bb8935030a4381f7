/** How much work and memory one evaluation may take; a record that asks for more is a record error that nothing absorbs. */
import { BudgetError } from './errors.ts';

/** Steps of one evaluation: elements looked at, and texts by 16 characters. */
const MAX_STEPS = 10_000_000;
/** Longest text, in UTF-16 units, and longest list that an expression makes. */
const MAX_TEXT = 16_000_000;
const MAX_ITEMS = 1_000_000;

export class Budget {
  #left = MAX_STEPS;

  reset(): void {
    this.#left = MAX_STEPS;
  }

  charge(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0)
      throw new BudgetError(`the expression takes more than ${MAX_STEPS / 1e6} million steps on this record`);
  }

  /** For work that runs over a text of `length` characters. */
  chargeText(length: number): void {
    if (length > 64) this.charge(length >> 4);
  }

  /** Admits a text of `length` characters before it is made. */
  textOf(length: number): void {
    if (length > MAX_TEXT)
      throw new BudgetError(`the expression makes a text of more than ${MAX_TEXT / 1e6} million characters`);
    this.chargeText(length);
  }

  /** Admits a list of `count` elements before it is made. */
  items(count: number): void {
    if (count > MAX_ITEMS)
      throw new BudgetError(`the expression makes a list of more than ${MAX_ITEMS / 1e6} million elements`);
    this.charge(count);
  }
}
