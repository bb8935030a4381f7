/** `oxiflow pipeline list`: the pipelines of a project, by tag or by a word, in a line each or with all that is known of them. */
import type { Command } from 'commander';
import { listPipelines, type PipelineFile, readText } from '../config/files.ts';
import { loadPipeline, type Pipeline } from '../config/pipeline.ts';
import { Problems } from '../config/problems.ts';
import type { Project } from '../config/project.ts';
import type { StepSpec } from '../config/steps.ts';
import { parseTree, toJson } from '../config/tree.ts';
import { ConfigErrors, OxiError } from '../engine/errors.ts';
import { redactStrings } from '../observe/redaction.ts';
import { registry } from '../oxis/registry.ts';
import type { Json } from '../state/store.ts';
import { openProject } from './open-project.ts';
import { printable, printJson, printRows } from './state-store.ts';

interface Options {
  project?: string;
  tags?: string[];
  filter?: string;
  verbose?: true;
  json?: true;
}

interface Parameter {
  name: string;
  type: string;
  /** null: a run needs a value. */
  default: string | number | boolean | null;
  description: string;
}

interface Listed {
  name: string;
  file: string;
  description: string;
  steps: string[];
  valid: boolean;
  /** The first of its errors. */
  error: string | null;
  tags: string[];
  version: string | null;
  author: string | null;
  parameters: Parameter[];
  inputs: string[];
  outputs: string[];
}

/** `verb`: a command that has --project and --json. */
export function listCommand(verb: Command): Command {
  return verb
    .description('list the pipelines of the project')
    .option('--tags <tags>', 'only those with all of these tags: a,b', (text) => [...new Set(text.split(/\s*,\s*/))])
    .option('--filter <text>', 'only those with this in name or description')
    .option('-v, --verbose', 'tags, version, parameters, inputs and outputs, errors')
    .action(list);
}

async function list(options: Options): Promise<void> {
  const project = await openProject(options);
  const { pipelineDir } = project.settings;
  const files = await listPipelines(project.root, pipelineDir);
  const all = await Promise.all(files.map((file) => describe(project, file)));
  const pipelines = redactStrings(all, (text) => project.secrets.redact(text)).filter((one) => isWanted(one, options));
  if (pipelines.length === 0)
    process.stderr.write(
      all.length === 0
        ? `no pipelines in ${pipelineDir}/ of ${project.root}\n`
        : `${all.length === 1 ? 'the one pipeline' : `none of the ${all.length} pipelines`} in ${pipelineDir}/ ${all.length === 1 ? 'does not match' : 'matches'}\n`,
    );
  if (options.json) return printJson(pipelines);
  if (options.verbose) return sayAll(pipelines);
  printRows(
    pipelines.map(({ name, description, steps, valid }) => [
      name,
      valid ? steps.join(' -> ') : 'has errors: oxiflow pipeline test',
      description,
    ]),
  );
}

function isWanted({ name, description, tags }: Listed, options: Options): boolean {
  const text = options.filter?.toLowerCase() ?? '';
  const wanted = options.tags?.filter((tag) => tag !== '') ?? [];
  return (
    wanted.every((tag) => tags.includes(tag)) && [name, description].some((one) => one.toLowerCase().includes(text))
  );
}

async function describe(project: Project, file: PipelineFile): Promise<Listed> {
  const { name, shown } = file;
  try {
    const { pipeline, required } = await load(project, file);
    const { tags = [], version = null, author = null } = pipeline.metadata;
    return {
      name,
      file: shown,
      description: pipeline.description ?? '',
      steps: pipeline.steps.map((step) => step.oxi),
      valid: true,
      error: null,
      tags,
      version,
      author,
      parameters: parametersOf(pipeline),
      ...endsOf(pipeline.steps, required),
    };
  } catch (error) {
    if (!(error instanceof OxiError)) throw error;
    const first = error instanceof ConfigErrors ? (error.errors[0] ?? error) : error;
    const metadata = await written(file, 'metadata');
    const text = (value: Json | undefined): string | null => (typeof value === 'string' ? value : null);
    return {
      name,
      file: shown,
      description: text(metadata.description) ?? '',
      steps: [],
      valid: false,
      error: first.message,
      tags: Array.isArray(metadata.tags) ? metadata.tags.filter((tag) => typeof tag === 'string') : [],
      version: text(metadata.version),
      author: text(metadata.author),
      parameters: [],
      inputs: [],
      outputs: [],
    };
  }
}

/** A parameter without a default is no error here, where nothing runs: a value of its type stands in for it. */
async function load(project: Project, file: PipelineFile): Promise<{ pipeline: Pipeline; required: string[] }> {
  const options = { oxis: registry, env: process.env };
  try {
    return { pipeline: await loadPipeline(project, file.path, options), required: [] };
  } catch (error) {
    if (!(error instanceof ConfigErrors)) throw error;
    const required = error.errors
      .map(({ message }) => NO_DEFAULT.exec(message)?.[1])
      .filter((name) => name !== undefined);
    if (required.length === 0) throw error;
    const parameters = await written(file, 'parameters');
    const params = required.map((name) => `${name}=${sample(parameters[name])}`);
    return { pipeline: await loadPipeline(project, file.path, { ...options, params }), required };
  }
}

const NO_DEFAULT = / the parameter "(\w+)" has no default; /;
const SAMPLES: Readonly<Record<string, string>> = {
  int: '1',
  float: '1',
  bool: 'true',
  date: '2026-01-01',
  timestamp: '2026-01-01T00:00:00Z',
};

function sample(parameter: Json | undefined): string {
  const { type, choices } = Object(parameter) as { type?: Json; choices?: Json };
  const [choice] = Array.isArray(choices) ? choices : [];
  return choice === undefined ? (SAMPLES[String(type)] ?? 'a sample value') : String(choice);
}

/** A section as it is written, also of a file with errors, which so is found by its tags; nothing where it is no YAML. */
async function written({ path, shown }: PipelineFile, section: string): Promise<Readonly<Record<string, Json>>> {
  try {
    const tree = parseTree((await readText(path, shown)) ?? '', shown, new Problems());
    const node = tree?.kind === 'map' ? tree.entries.get(section)?.value : undefined;
    const json = node === undefined ? undefined : toJson(node);
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? json : {};
  } catch (error) {
    if (error instanceof OxiError) return {};
    throw error;
  }
}

function parametersOf({ parameters }: Pipeline): Parameter[] {
  return parameters.map(({ name, type, description = '', default: standard = null }) => ({
    name,
    type,
    default: typeof standard === 'bigint' ? String(standard) : standard,
    description,
  }));
}

/** Where its records come from and go to, as far as the file says so. `unknown`: parameters that have no value yet. */
function endsOf(steps: readonly StepSpec[], unknown: readonly string[]): { inputs: string[]; outputs: string[] } {
  const flat = (list: readonly StepSpec[]): StepSpec[] => list.flatMap((step) => [step, ...flat(step.steps ?? [])]);
  const of = (kind: string): string[] =>
    flat(steps).flatMap((step) => (registry.get(step.oxi)?.kind === kind ? endOf(step, unknown) : []));
  return { inputs: of('source'), outputs: of('sink') };
}

function endOf(step: StepSpec, unknown: readonly string[]): string[] {
  if (step.oxi === 'read_stdin') return ['stdin'];
  if (step.oxi === 'write_stdout') return ['stdout'];
  const isOpen = unknown.some((name) => JSON.stringify(step.raw).includes(`\${${name}`));
  const { path } = (isOpen ? Object(step.raw) : configOf(step)) as { path?: unknown };
  const paths = (Array.isArray(path) ? path : [path]).filter((one) => typeof one === 'string');
  return paths.length > 0 ? paths : [step.oxi];
}

/** As it is written where it refers to what only a run knows. */
function configOf(step: StepSpec): object {
  try {
    return Object(step.resolve(new Map()));
  } catch (error) {
    if (error instanceof OxiError) return Object(step.raw);
    throw error;
  }
}

function sayAll(pipelines: readonly Listed[]): void {
  pipelines.forEach((one, i) => {
    process.stdout.write(`${i === 0 ? '' : '\n'}${printable(one.name)}\n`);
    const rows: [string, string][] = [
      ['file', one.file],
      ['error', one.error ?? ''],
      ['description', one.description],
      ['steps', one.steps.join(' -> ')],
      ['tags', one.tags.join(', ')],
      ['version', one.version ?? ''],
      ['author', one.author ?? ''],
      ...one.parameters.map((parameter, place): [string, string] => [
        place === 0 ? 'parameters' : '',
        parameterText(parameter),
      ]),
      ['inputs', one.inputs.join(', ')],
      ['outputs', one.outputs.join(', ')],
    ];
    printRows(rows.flatMap(([word, text]) => (text === '' ? [] : [['', word, text]])));
  });
}

function parameterText({ name, type, default: standard, description }: Parameter): string {
  const facts = `${type}, ${standard === null ? 'required' : `default ${standard}`}`;
  return `${name} (${facts})${description === '' ? '' : `: ${description}`}`;
}
