/** `oxiflow pipeline add NAME`: a pipeline from a template, for the project at hand. */
import { dirname, join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { PROJECT_FILE, shownPath } from '../config/files.ts';
import type { Project } from '../config/project.ts';
import { OxiError } from '../engine/errors.ts';
import { openProject } from './open-project.ts';
import { addFiles, isThere, occupied } from './scaffold.ts';
import { schemaText } from './schema.ts';
import { printJson } from './state-store.ts';
import {
  chosenTemplate,
  DEFAULT_TEMPLATE,
  filled,
  loadTemplates,
  nameProblem,
  nextLines,
  PIPELINE,
  runLine,
  TEMPLATES,
} from './templates.ts';

interface Options {
  project?: string;
  template?: string;
  json?: true;
}

const SCHEMA = 'schemas/pipeline.schema.json';

/** `verb`: a command that has --project and --json. */
export function addCommand(verb: Command): Command {
  return verb
    .description('add a pipeline to the project, from a template')
    .argument('<name>', 'of the pipeline')
    .option('--template <template>', `${TEMPLATES.join(', ')}\n(default: ${DEFAULT_TEMPLATE})`)
    .action(add);
}

async function add(name: string, options: Options): Promise<void> {
  const template = chosenTemplate(options.template ?? DEFAULT_TEMPLATE, 'pipeline add: --template');
  const problem = nameProblem(name);
  if (problem !== undefined) throw new OxiError('COMMAND_INVALID', `pipeline add: ${problem}`);
  const project = await openProject(options);
  if (project.file === undefined)
    throw new OxiError(
      'COMMAND_INVALID',
      `${project.root}: is no project, it has no ${PROJECT_FILE}; make one with oxiflow init`,
    );
  const { root } = project;
  const file = shownPath(root, resolve(root, project.settings.pipelineDir, `${name}.yaml`));
  for (const taken of [file, file.replace(/\.yaml$/, '.yml')])
    if (await isThere(resolve(root, taken))) throw occupied(taken);
  const { templates } = await loadTemplates();
  const { registry } = await import('../oxis/registry.ts');
  const { [PIPELINE]: pipeline = '', ...samples } = templates[template].files;
  const beside = new Map([...Object.entries(samples), [SCHEMA, await schemaText('pipeline', registry)]]);
  // The pipeline last: until then there is nothing that could run.
  const files = new Map([...beside, [file, pipelineText(filled(pipeline, name), project, file)]]);
  const made = await addFiles(root, files, new Set(beside.keys()));
  const kept = [...files.keys()].filter((path) => !made.includes(path));
  // Wherever in the project whoever asked stands: sample data lies beside oxiflow.yaml.
  const folder = relative(process.cwd(), root);
  const next = nextLines(folder === '' ? '.' : folder, runLine(name, templates[template]), `pipeline test ${name}`);
  if (options.json) {
    printJson({ pipeline: name, file, template, folder: root, made: made.sort(), kept, next });
    return;
  }
  const lines = [
    `added ${file}, from the template ${template}:`,
    ...made.sort().map((path) => `  ${path}`),
    ...kept.map((path) => `  ${path} is there already and stays as it is`),
    'next:',
    ...next.map((line) => `  ${line}`),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** For a project with folders of its own. */
function pipelineText(text: string, { root, settings }: Project, file: string): string {
  const schema = relative(dirname(resolve(root, file)), join(root, SCHEMA));
  const { outputDir } = settings;
  // A name that YAML could read as something else is left to the author.
  const output = /^[\w.][\w./-]*$/.test(outputDir) ? outputDir.replace(/\/+$/, '') : 'output';
  return text.replace(`../${SCHEMA}`, () => schema).replaceAll('output/', () => `${output}/`);
}
