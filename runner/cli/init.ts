/** `oxiflow init`: makes a project that runs at once: oxiflow.yaml, a pipeline from a template, its sample data, schemas for editors. */
import { basename, resolve } from 'node:path';
import { Command } from 'commander';
import { OxiError } from '../engine/errors.ts';
import { canAsk, Questions } from './ask.ts';
import { makeProject, occupant, occupied } from './scaffold.ts';
import { schemaText } from './schema.ts';
import { printJson, printRows } from './state-store.ts';
import {
  chosenTemplate,
  DEFAULT_TEMPLATE,
  filled,
  isTemplate,
  loadTemplates,
  nameProblem,
  nextLines,
  runLine,
  TEMPLATES,
  type TemplateName,
  type Templates,
  templateProblem,
} from './templates.ts';

interface Options {
  directory?: string;
  template?: string;
  list?: true;
  json?: true;
}

interface Choice {
  readonly name: string;
  readonly template: TemplateName;
  /** As it was given. */
  readonly directory: string;
}

const STANDARD_NAME = 'my_project';

export function command(): Command {
  return new Command('init')
    .description('make a project that runs at once, with sample data')
    .argument('[name]', 'of the project and of its first pipeline')
    .option('--directory <dir>', 'folder of the project, new or empty (default: ./NAME)')
    .option('--template <template>', `${TEMPLATES.join(', ')}\n(default: ${DEFAULT_TEMPLATE})`)
    .option('--list', 'say what the templates show')
    .option('--json', 'print one JSON document, and ask nothing')
    .action(init);
}

async function init(given: string | undefined, options: Options): Promise<void> {
  const templates = await loadTemplates();
  if (options.list) return list(templates, options);
  const choice = await choose(given, options, templates);
  const folder = resolve(choice.directory);
  const files = await projectFiles(choice, templates);
  await makeProject(folder, choice.directory, files);
  say(choice, folder, [...files.keys()], templates, options);
}

function list({ templates }: Templates, { json }: Options): void {
  const all = TEMPLATES.map((name) => ({ name, summary: templates[name].summary }));
  if (json) printJson(all);
  else printRows(all.map(({ name, summary }) => [name, summary]));
}

/** What the command line leaves open is asked where somebody can answer, and has a default elsewhere. */
async function choose(given: string | undefined, options: Options, { templates }: Templates): Promise<Choice> {
  const { directory, template } = options;
  const chosen = template === undefined ? undefined : chosenTemplate(template, 'init: --template');
  const asks = canAsk() && options.json !== true && (given === undefined || chosen === undefined);
  const ofFolder = directory === undefined ? undefined : basename(resolve(directory));
  const named = given ?? (asks ? undefined : ofFolder);
  if (named === undefined && !asks)
    throw new OxiError('COMMAND_INVALID', 'init: the project needs a name: oxiflow init NAME');
  const problem = named === undefined ? undefined : nameProblem(named);
  if (problem !== undefined) throw new OxiError('COMMAND_INVALID', `init: ${problem}`);
  const known = directory ?? named;
  // Before the first question, not after the last.
  if (known !== undefined && (await occupant(resolve(known), known)) === 'something') throw occupied(known);
  if (!asks) return complete(named ?? '', chosen ?? DEFAULT_TEMPLATE, directory);
  using questions = new Questions();
  const name = named ?? (await askName(questions, ofFolder, directory === undefined));
  if (chosen !== undefined) return complete(name, chosen, directory);
  questions.say('Templates:');
  TEMPLATES.forEach((one, i) => {
    questions.say(`  ${i + 1}  ${one.padEnd(12)}${templates[one].summary}`);
  });
  const template_ = await questions.ask('Template, by name or number', DEFAULT_TEMPLATE, async (answer) => {
    const byNumber = /^\d+$/.test(answer) ? (TEMPLATES[Number(answer) - 1] ?? answer) : answer.toLowerCase();
    return isTemplate(byNumber) ? { value: byNumber } : { problem: templateProblem(answer) };
  });
  return complete(name, template_, directory);
}

function complete(name: string, template: TemplateName, directory = name): Choice {
  return { name, template, directory };
}

function askName(questions: Questions, ofFolder: string | undefined, makesFolder: boolean): Promise<string> {
  const standard = ofFolder !== undefined && nameProblem(ofFolder) === undefined ? ofFolder : STANDARD_NAME;
  return questions.ask('Name of the project', standard, async (answer) => {
    const problem = nameProblem(answer);
    if (problem !== undefined) return { problem };
    if (makesFolder && (await occupant(resolve(answer), answer)) === 'something')
      return { problem: occupied(answer).message };
    return { value: answer };
  });
}

async function projectFiles({ name, template }: Choice, all: Templates): Promise<Map<string, string>> {
  const { registry } = await import('../oxis/registry.ts');
  const files = { ...all.project, ...all.templates[template].files };
  const texts = Object.entries(files).map(([path, text]): [string, string] =>
    path.endsWith('.yaml') ? [filled(path, name), filled(text, name)] : [path, text],
  );
  return new Map([
    ...texts,
    ['schemas/pipeline.schema.json', await schemaText('pipeline', registry)],
    ['schemas/project.schema.json', await schemaText('project', registry)],
  ]);
}

function say(choice: Choice, folder: string, made: string[], { templates }: Templates, { json }: Options): void {
  const { name, template } = choice;
  const next = nextLines(choice.directory, runLine(name, templates[template]), 'pipeline test');
  if (json) {
    printJson({ project: name, folder, template, pipeline: name, made: made.sort(), next });
    return;
  }
  const lines = [
    `made ${choice.directory}, from the template ${template}:`,
    ...made.sort().map((path) => `  ${path}`),
    'next:',
    ...next.map((line) => `  ${line}`),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
