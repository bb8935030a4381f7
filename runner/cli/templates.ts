/**
 * The templates of new projects and pipelines: real files in `runner/templates/`, a folder each, and `project/` with what every
 * project has. NAME in a path or in YAML stands for the pipeline's name. A build puts all of them into one file beside the program.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { didYouMean } from '../config/nearest.ts';
import { OxiError } from '../engine/errors.ts';

declare const OXIFLOW_BUNDLED: boolean | undefined;

/** From the simplest on; the first one is taken where nobody chooses. */
export const TEMPLATES = ['basic', 'etl', 'validation', 'batch', 'api', 'streaming'] as const;
export type TemplateName = (typeof TEMPLATES)[number];
export const DEFAULT_TEMPLATE: TemplateName = TEMPLATES[0];

interface Template {
  /** What it shows, in a line. */
  readonly summary: string;
  /** Sample data that its pipeline reads from standard input. */
  readonly stdin?: string;
  /** Text by path from the project's folder. */
  readonly files: Readonly<Record<string, string>>;
}

export interface Templates {
  /** Text by path from the project's folder, whatever the template. */
  readonly project: Readonly<Record<string, string>>;
  readonly templates: Readonly<Record<TemplateName, Template>>;
}

const isBundled = typeof OXIFLOW_BUNDLED !== 'undefined' && OXIFLOW_BUNDLED;
/** What says what a template is; it is no part of it. */
const ABOUT = 'template.json';
/** Of the pipeline's file, in a template. */
export const PIPELINE = 'pipelines/NAME.yaml';

export async function loadTemplates(): Promise<Templates> {
  if (!isBundled) return readTemplates(fileURLToPath(new URL('../templates', import.meta.url)));
  return JSON.parse(await readFile(new URL('./templates.json', import.meta.url), 'utf8'));
}

/** Reads the folder of templates. */
export async function readTemplates(folder: string): Promise<Templates> {
  const templates = await Promise.all(
    TEMPLATES.map(async (name) => {
      const { [ABOUT]: about = '', ...files } = await readFiles(join(folder, name));
      return [name, { ...JSON.parse(about), files }];
    }),
  );
  // Under its own name it would hide files of this repository.
  const { gitignore = '', ...project } = await readFiles(join(folder, 'project'));
  return { project: { ...project, '.gitignore': gitignore }, templates: Object.fromEntries(templates) };
}

async function readFiles(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  const texts = paths.sort().map(async (path) => [path, await readFile(join(folder, path), 'utf8')]);
  return Object.fromEntries(await Promise.all(texts));
}

export function isTemplate(name: string): name is TemplateName {
  return TEMPLATES.some((known) => known === name);
}

/** The template of an option; `verb` begins the sentence. Throws OxiError COMMAND_INVALID. */
export function chosenTemplate(name: string, verb: string): TemplateName {
  if (isTemplate(name)) return name;
  throw new OxiError('COMMAND_INVALID', `${verb}: ${templateProblem(name)}`);
}

export function templateProblem(name: string): string {
  const near = didYouMean(name, TEMPLATES);
  return `no template ${shown(name)}${near === '' ? `; there are: ${TEMPLATES.join(', ')}` : near}`;
}

/** What is wrong with the name of a project or pipeline, as a sentence. It becomes part of paths, YAML and shell lines. */
export function nameProblem(name: string): string | undefined {
  if (/^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/.test(name)) return undefined;
  return `a name is 1 to 64 letters, digits, - and _, with no - in front; got ${shown(name)}`;
}

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}

/** YAML of a template for a pipeline of this name. */
export function filled(text: string, name: string): string {
  return text.replaceAll('NAME', name);
}

/** How the pipeline of a template is started, from the project's folder: what follows the program's name. */
export function runLine(name: string, { stdin }: Template): string {
  return `run ${name}${stdin === undefined ? '' : ` < ${stdin}`}`;
}

/** What to type next, as lines of a shell in the working folder. `folder`: of the project. */
export function nextLines(folder: string, ...lines: readonly string[]): string[] {
  // What npx runs need not be on PATH.
  const program = process.env.npm_command === 'exec' ? 'npx oxiflow' : 'oxiflow';
  const isHere = resolve(folder) === process.cwd();
  return lines.map((line, i) => `${i > 0 || isHere ? '' : `cd ${shellWord(folder)} && `}${program} ${line}`);
}

/** A path as a word of a shell. */
function shellWord(path: string): string {
  const text = path.startsWith('-') ? `./${path}` : path;
  return /^[\w./@%+,=:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
