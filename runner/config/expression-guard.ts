/** A variable's text inside an expression may be a value there, never a piece of the expression's structure. */

const LITERAL = /^(?:[+-]?(?:\d+(?:\.\d+)?)(?:[eE][+-]?\d+)?|[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)$/;

/**
 * Whether `value` may stand behind `before` in an expression: one number or name anywhere; within quotes any text without
 * quotes, backslashes and control characters.
 */
export function fitsExpression(before: string, value: string): boolean {
  if (insideQuotes(before)) return !/["'\\\p{Cc}]/u.test(value);
  return LITERAL.test(value);
}

function insideQuotes(text: string): boolean {
  let open = '';
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at] ?? '';
    if (open !== '' && sign === '\\') at += 1;
    else if (open === sign) open = '';
    else if (open === '' && (sign === '"' || sign === "'")) open = sign;
  }
  return open !== '';
}
