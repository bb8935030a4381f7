/**
 * Failures of expressions. ExpressionError: the text itself is wrong, found when it is compiled. MissingError: a field, key
 * or index that is not there; `has` and `default` guard against it. BudgetError: too much work for one record; nothing absorbs it.
 */
import { RecordError } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';

export class ExpressionError extends OxiError {
  /** Where in the expression, in UTF-16 units from 0. */
  readonly offset: number;
  readonly expression: string;

  constructor(message: string, expression: string, offset: number) {
    const column = offset + 1 - (expression.lastIndexOf('\n', offset - 1) + 1);
    super('CONFIG_INVALID', `${message} (at character ${offset + 1} of ${quoteShort(expression)})`, {
      place: { column },
    });
    this.name = 'ExpressionError';
    this.offset = offset;
    this.expression = expression;
  }
}

export class MissingError extends RecordError {
  constructor(message: string) {
    super(message);
    this.name = 'MissingError';
  }
}

export class BudgetError extends RecordError {
  constructor(message: string) {
    super(message);
    this.name = 'BudgetError';
  }
}

/** The text in quotes, cut to 60 characters, on one line. */
export function quoteShort(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return `"${line.length > 60 ? `${line.slice(0, 57)}...` : line}"`;
}
