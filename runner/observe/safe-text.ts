/** Text from outside, made harmless for a terminal and for line-wise readers. */

// C0 without tab and line feed, DEL and C1: what moves cursors, changes titles or ends lines early.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]/g;

/** Control characters as `\x1b`; tabs and line feeds stay. */
export function safeText(text: string): string {
  return text.replace(CONTROL, (char) => {
    const code = char.charCodeAt(0).toString(16);
    return code.length > 2 ? `\\u${code}` : `\\x${code.padStart(2, '0')}`;
  });
}

/** One line: line feeds and tabs become spaces too. */
export function oneLine(text: string): string {
  return safeText(text.replace(/\s*\n\s*/g, ' ').replaceAll('\t', ' '));
}
