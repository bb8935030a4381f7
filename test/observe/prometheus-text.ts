/** A small and strict reader of the Prometheus text format 0.0.4. Throws where the text breaks it. */

export interface PrometheusSample {
  labels: Record<string, string>;
  value: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

export function parsePrometheus(text: string): Map<string, PrometheusSample[]> {
  if (!text.endsWith('\n')) throw new Error('the last line has no line feed');
  const families = new Map<string, PrometheusSample[]>();
  const seen = new Set<string>();
  const types = new Map<string, string>();
  let current = '';
  let helped = '';
  for (const line of text.slice(0, -1).split('\n')) {
    const comment = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (comment !== null) {
      const [, kind, name = '', rest = ''] = comment;
      if (!NAME.test(name)) throw new Error(`a name: ${name}`);
      if (kind === 'HELP') {
        if (families.has(name)) throw new Error(`the family ${name} stands in two places`);
        helped = name;
        continue;
      }
      if (name !== helped) throw new Error(`TYPE of ${name} does not follow its HELP`);
      if (!['counter', 'gauge'].includes(rest)) throw new Error(`a type: ${rest}`);
      if (rest === 'counter' && !name.endsWith('_total')) throw new Error(`a counter without _total: ${name}`);
      types.set(name, rest);
      families.set(name, []);
      current = name;
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (sample === null) throw new Error(`no sample: ${line}`);
    const [, name = '', labelText = '', valueText = ''] = sample;
    if (name !== current) throw new Error(`${name} stands in the family ${current}`);
    const value = Number(valueText);
    if (!Number.isFinite(value)) throw new Error(`a value: ${valueText}`);
    if (types.get(name) === 'counter' && value < 0) throw new Error(`a counter below zero: ${line}`);
    const id = `${name}{${labelText}}`;
    if (seen.has(id)) throw new Error(`twice: ${id}`);
    seen.add(id);
    families.get(name)?.push({ labels: parseLabels(labelText), value });
  }
  return families;
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/y;
  while (label.lastIndex < text.length) {
    const found = label.exec(text);
    if (found === null) throw new Error(`labels: ${text}`);
    const [, name = '', value = ''] = found;
    if (name in labels) throw new Error(`a label twice: ${name}`);
    labels[name] = value.replace(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char));
  }
  return labels;
}
