/** Results of several benchmarks in one Markdown file: each writes its own section and leaves the others as they are. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** Puts `text` between the marks of the section `name`, which stands last where the file has none yet. */
export function putSection(path: string, name: string, text: string): void {
  const begin = `<!-- ${name}: written by the benchmark -->\n`;
  const end = `<!-- end of ${name} -->\n`;
  const section = `${begin}\n${text.trimEnd()}\n\n${end}`;
  const before = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const from = before.indexOf(begin);
  const to = before.indexOf(end, from);
  const after =
    from >= 0 && to >= 0
      ? before.slice(0, from) + section + before.slice(to + end.length)
      : `${before}${before === '' ? '' : '\n'}${section}`;
  writeFileSync(path, after);
}
