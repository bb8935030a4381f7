/** The YAML library's complaints in words that say what to do. */
import type { YAMLParseError } from 'yaml';

const MISALIGNED = 'the indentation does not fit the lines above; align it with its neighbours';

/** One sentence for a syntax error of the library; `text` is the file. It never quotes more than one sign of the file. */
export function yamlSentence(error: YAMLParseError, text: string): string {
  const sign = text[error.pos[0]] ?? '';
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return 'a tab is used to indent; use spaces';
    case 'BAD_INDENT': {
      const bracket = /end with a (.)/.exec(error.message)?.[1];
      if (bracket !== undefined) return `a closing ${bracket} is missing above`;
      return MISALIGNED;
    }
    case 'BLOCK_IN_FLOW':
      return MISALIGNED;
    case 'BAD_SCALAR_START':
      return `a value can't begin with ${sign}; put it in quotes`;
    case 'BAD_DQ_ESCAPE':
      return 'an unknown escape in double quotes; write \\\\ for a backslash, or use single quotes';
    case 'MULTILINE_IMPLICIT_KEY':
      return 'a ":" is missing behind the key, or a value goes on over several lines without quotes';
    case 'BLOCK_AS_IMPLICIT_KEY':
      return 'a second ": " in one line; put the value in quotes, or begin a new line';
    case 'MULTIPLE_DOCS':
      return 'holds more than one YAML document; keep one and remove "---"';
    case 'TAG_RESOLVE_FAILED':
    case 'BAD_COLLECTION_TYPE':
    case 'MULTIPLE_TAGS':
      return 'tags (!...) are not allowed; write plain data';
    case 'BAD_ALIAS':
    case 'ALIAS_PROPS':
    case 'MULTIPLE_ANCHORS':
    case 'BAD_PROP_ORDER':
      return 'an anchor (&) or alias (*) is malformed; a value that begins with & or * needs quotes';
    case 'KEY_OVER_1024_CHARS':
      return 'a key is longer than 1024 characters';
    case 'BAD_DIRECTIVE':
      return 'a line that begins with % is not allowed here';
    case 'MISSING_CHAR':
      return missing(error.message);
    default:
      return sign.trim() === ''
        ? 'is not valid YAML here'
        : `"${sign}" is not expected here; a value with special signs needs quotes`;
  }
}

function missing(message: string): string {
  if (message.includes('closing'))
    return `a ${message.includes('"') ? 'double' : 'single'} quote that was opened above is never closed`;
  if (message.includes('Implicit map keys')) return 'a ":" is missing behind the key';
  if (message.includes('Comments must')) return 'a comment (#) needs a space before it; a value with # needs quotes';
  if (message.includes('- indicator')) return `${MISALIGNED} (or a "- " is missing)`;
  if (message.includes('Missing ,') || message.includes('Missing space'))
    return 'a comma, or a space behind ":", is missing between [ ] or { }';
  return 'a sign is missing here; a value with special signs needs quotes';
}
