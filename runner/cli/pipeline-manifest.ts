/** `oxiflow pipeline manifest`: all pipelines of a project as one document, the same bytes for the same files. */
import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { listPipelines } from '../config/files.ts';
import type { ParameterSpec } from '../config/parameters.ts';
import { loadPipeline } from '../config/pipeline.ts';
import type { Project } from '../config/project.ts';
import { ConfigErrors, EXIT, ioError, OxiError } from '../engine/errors.ts';
import { redactStrings } from '../observe/redaction.ts';
import { registry } from '../oxis/registry.ts';
import { addTemplates, entryOf } from './manifest.ts';
import type { Manifest, PipelineEntry } from './manifest-schema.ts';
import { openProject } from './open-project.ts';

interface Options {
  project?: string;
  envFile?: string;
  output?: string;
  allowErrors?: true;
}

export function manifestCommand(): Command {
  return new Command('manifest')
    .description('describe all pipelines, or those named, as one JSON document')
    .argument('[pipelines...]')
    .option('--project <dir>', 'folder of the project')
    .option('--env-file <file>', 'variables for paths; those of the shell have no say')
    .option('-o, --output <file>', 'write it there instead of to standard output')
    .option('--allow-errors', 'exit code 0 though pipelines have mistakes')
    .action(async (names: string[], options: Options) => {
      process.exitCode = await manifest(names, options);
    });
}

async function manifest(names: readonly string[], options: Options): Promise<number> {
  const project = await openProject(options, names[0]);
  const files = await listPipelines(project.root, project.settings.pipelineDir);
  const document: Manifest = {
    manifest_version: 1,
    project: {
      name: project.name ?? null,
      version: project.version ?? null,
      description: project.description ?? null,
    },
    pipelines: [],
    errors: [],
  };
  const redact = (text: string): string => project.secrets.redact(text);
  for (const name of names.length > 0 ? names : files.map((file) => file.name)) {
    try {
      // What the shell has set is not in the project: the document would be another one on another machine.
      const pipeline = await loadPipeline(project, name, { oxis: registry, env: {}, outline: true });
      const entry = await entryOf(project, pipeline);
      document.pipelines.push(entry);
      if (pipeline.parameters.some((parameter) => parameter.default !== undefined)) {
        const templates = await templatesOf(project, name);
        if (templates !== undefined) addTemplates(entry, templates);
      }
    } catch (error) {
      const listed = files.find((one) => one.name === name);
      // A name that was asked for and is none; a file whose name can't be one is a mistake like others.
      if (!(error instanceof OxiError) || (error.code === 'NO_PIPELINE' && listed === undefined)) throw error;
      const found = error instanceof ConfigErrors ? error.errors : [error];
      const file = listed?.shown ?? name;
      document.errors.push({ pipeline: name, file, messages: found.map(({ message }) => message) });
    }
  }
  const text = `${JSON.stringify(redactStrings(document, redact), null, 2)}\n`;
  if (options.output === undefined) process.stdout.write(text);
  else
    await writeFile(options.output, text).catch((error) => {
      throw ioError(error, `--output ${options.output}`);
    });
  for (const { messages } of document.errors)
    for (const message of messages) process.stderr.write(`${redact(message)}\n`);
  return document.errors.length > 0 && options.allowErrors !== true ? EXIT.config : EXIT.ok;
}

/** The pipeline as if its parameters had no default; undefined where it can't be planned so. */
async function templatesOf(project: Project, name: string): Promise<PipelineEntry | undefined> {
  const options = { oxis: registry, env: {}, outline: true };
  // Where what stands for numbers and words does not fit together, texts alone may.
  for (const open of [() => true, ({ type }: ParameterSpec) => TEXTS.has(type)]) {
    try {
      return await entryOf(project, await loadPipeline(project, name, { ...options, open }));
    } catch (error) {
      if (!(error instanceof OxiError)) throw error;
    }
  }
  return undefined;
}

const TEXTS: ReadonlySet<string> = new Set<ParameterSpec['type']>(['string', 'date', 'timestamp']);
