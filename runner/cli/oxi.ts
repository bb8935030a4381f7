/** `oxiflow oxi list|docs`: what steps there are, and all about one of them, from the schemas that configurations are checked by. */
import { Command, Option } from 'commander';
import { didYouMean, listNames } from '../config/nearest.ts';
import type { Oxi } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';
import { aloneText, fieldsOf, markdownOf, type OxiField, ownLimits, standardOf } from '../oxis/describe.ts';
import { registry } from '../oxis/registry.ts';
import { printJson, printRows } from './state-store.ts';
import { filled } from './text.ts';

export function command(): Command {
  const oxi = new Command('oxi').description('list and explain the oxis, of which pipelines are made');
  oxi
    .command('list')
    .description('list the oxis')
    .option('--json', 'print one JSON document')
    .action(({ json }: { json?: true }) => {
      const all = [...registry.values()];
      if (json) printJson(all.map(({ name, kind, summary }) => ({ name, kind, summary })));
      else printRows(all.map(({ name, kind, summary }) => [name, kind, summary]));
    });
  oxi
    .command('docs')
    .description('explain an oxi and all of its fields; without a name, every one')
    .argument('[oxi]', 'name of the oxi')
    .addOption(
      new Option('--format <format>', 'how it is printed').choices(['text', 'json', 'markdown']).default('text'),
    )
    .action((name: string | undefined, { format }: { format: 'text' | 'json' | 'markdown' }) => {
      const oxis = name === undefined ? [...registry.values()] : [found(name)];
      if (format === 'json') printJson(name === undefined ? oxis.map(documentOf) : oxis.map(documentOf)[0]);
      else if (format === 'markdown') process.stdout.write(`${oxis.flatMap(markdownOf).join('\n').trimEnd()}\n`);
      else process.stdout.write(`${oxis.map((one) => textOf(one).join('\n')).join('\n\n')}\n`);
    });
  return oxi;
}

function found(name: string): Oxi {
  const oxi = registry.get(name);
  if (oxi !== undefined) return oxi;
  const names = [...registry.keys()];
  const near = didYouMean(name, names);
  throw new OxiError(
    'COMMAND_INVALID',
    `oxi docs: no oxi ${JSON.stringify(name.slice(0, 60))}${near === '' ? `; there are: ${listNames(names, 40)}` : near}`,
  );
}

function documentOf(oxi: Oxi): object {
  return {
    name: oxi.name,
    kind: oxi.kind,
    summary: oxi.summary,
    fields: fieldsOf(oxi).map((field) => ({ ...field, default: field.default ?? null })),
    limits: Object.fromEntries(ownLimits(oxi)),
    alone: aloneText(oxi) ?? null,
  };
}

function textOf(oxi: Oxi): string[] {
  const alone = aloneText(oxi);
  const limits = ownLimits(oxi).map(([name, value]) => `${name} ${value}`);
  return [
    ...filled(`${oxi.name} (${oxi.kind}): ${oxi.summary}`, ''),
    ...fieldsOf(oxi).flatMap(fieldText),
    ...(limits.length === 0 ? [] : ['', ...filled(`limits, which a pipeline can tighten: ${limits.join(', ')}`, '  ')]),
    ...(alone === undefined ? [] : ['', ...filled(alone, '  ')]),
  ];
}

function fieldText(field: OxiField): string[] {
  const { name, aliases, type, required, description } = field;
  const also = aliases.length === 0 ? '' : ` (also ${aliases.join(', ')})`;
  const standard = required ? ', required' : field.default === undefined ? '' : `, default ${plain(standardOf(field))}`;
  return ['', ...filled(`${name}${also}: ${type}${standard}`, '  '), ...filled(description, '      ')];
}

/** Without the marks of Markdown. */
function plain(text: string): string {
  return text.replace(/^`(.*)`$/, '$1');
}
