/** Fields that reading and writing CSV have in common. */
import * as z from 'zod/mini';
import { OxiError } from '../../engine/errors.ts';
import type { CsvDialect } from '../../kernel/csv-dialect.ts';

/** One character of ASCII, as text; `\t` and `tab` are the tabulator. */
export function character(or?: 'or nothing') {
  return z.string().check(
    z.refine((text) => byteOf(text) !== undefined || (or !== undefined && text === ''), {
      error: 'must be one character of ASCII, not a line end ("\\t" or "tab" for the tabulator)',
    }),
  );
}

function byteOf(text: string): number | undefined {
  const one = text === '\\t' || text === 'tab' ? '\t' : text;
  const c = one.length === 1 ? one.charCodeAt(0) : -1;
  return c >= 0 && c < 0x80 && c !== 0x0a && c !== 0x0d ? c : undefined;
}

interface DialectFields {
  delimiter: string;
  quote_char: string;
  escape_char?: string | undefined;
  comment_char?: string | undefined;
  trim_whitespace?: boolean;
}

/** Throws OxiError CONFIG_INVALID where two characters with different meanings are the same. */
export function dialectOf(fields: DialectFields, step: string): CsvDialect {
  const delimiter = byteOf(fields.delimiter) as number;
  const quote = fields.quote_char === '' ? -1 : (byteOf(fields.quote_char) as number);
  const escaping = fields.escape_char === undefined ? -1 : (byteOf(fields.escape_char) as number);
  const comment = fields.comment_char === undefined ? -1 : (byteOf(fields.comment_char) as number);
  const refuse = (field: string, text: string): never => {
    throw new OxiError('CONFIG_INVALID', `step "${step}", field "${field}": ${text}`, { place: { step, field } });
  };
  if (quote === delimiter) refuse('quote_char', 'it is the delimiter as well');
  if (escaping === delimiter) refuse('escape_char', 'it is the delimiter as well');
  if (escaping >= 0 && quote < 0) refuse('escape_char', 'it has a meaning inside of quotes, and "quote_char" is none');
  if (comment >= 0 && (comment === delimiter || comment === quote))
    refuse('comment_char', 'it is the delimiter or the quote as well');
  return {
    delimiter,
    quote,
    // An escape that is the quote itself: that is how quotes are doubled.
    escape: escaping === quote ? -1 : escaping,
    comment,
    trim: fields.trim_whitespace === true,
  };
}
