/** Text for a terminal that nobody has made wider. */

/** Columns of a terminal. */
export const WIDTH = 80;

/** The words of `text` in lines, each behind `margin`; a word that is longer than a line is cut. */
export function filled(text: string, margin: string, width = WIDTH): string[] {
  const room = Math.max(20, width - margin.length);
  const lines: string[] = [];
  let line = '';
  const words = text.split(' ').flatMap((word) => pieces(word, room));
  for (const word of words) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.map((one) => `${margin}${one}`);
}

function pieces(word: string, room: number): string[] {
  const cut: string[] = [];
  for (let at = 0; at === 0 || at < word.length; at += room) cut.push(word.slice(at, at + room));
  return cut;
}
