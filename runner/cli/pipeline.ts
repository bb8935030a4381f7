/** `oxiflow pipeline list|test|info`: what pipelines a project has, whether they are right, and how one would run. */
import { Command } from 'commander';
import { listPipelines } from '../config/files.ts';
import { loadPipeline, type Pipeline } from '../config/pipeline.ts';
import { loadProject, type Project } from '../config/project.ts';
import { ConfigErrors, EXIT, OxiError } from '../engine/errors.ts';
import type { Plan } from '../engine/plan.ts';
import { redactStrings } from '../observe/redaction.ts';
import { registry } from '../oxis/registry.ts';
import { clean, firstInput, planOf } from './load.ts';
import { collected } from './options.ts';
import { planDocument, planText } from './plan-text.ts';
import { printable, printJson, printRows } from './state-store.ts';

interface Options {
  project?: string;
  set?: string[];
  param?: string[];
  envFile?: string;
  json?: true;
}

export function command(): Command {
  const pipeline = new Command('pipeline').description('list, check and explain pipelines');
  pipeline
    .addCommand(shared(new Command('list')).description('list the pipelines of the project').action(list))
    .addCommand(
      overriding(shared(new Command('test')))
        .description('check pipelines without running them: all of the project, or those named')
        .argument('[pipelines...]', 'names or paths')
        .action(test),
    )
    .addCommand(
      overriding(shared(new Command('info')))
        .description('say how a pipeline would run')
        .argument('<pipeline>', 'name or path')
        .action(info),
    );
  return pipeline;
}

function shared(verb: Command): Command {
  return verb.option('--project <dir>', 'folder of the project').option('--json', 'print one JSON document');
}

function overriding(verb: Command): Command {
  return verb
    .option('--set <step.field=value>', 'override a field of a step (repeatable)', collected)
    .option('--param <name=value>', 'give a parameter (repeatable)', collected)
    .option('--env-file <file>', 'variables, one NAME=value a line');
}

function open(options: Options, pipeline?: string): Promise<Project> {
  return loadProject(options.project ?? process.cwd(), {
    env: process.env,
    exact: options.project !== undefined,
    pipeline,
    envFile: options.envFile,
  });
}

function read(project: Project, name: string, options: Options): Promise<Pipeline> {
  return loadPipeline(project, name, { oxis: registry, sets: options.set, params: options.param, env: process.env });
}

async function list(options: Options): Promise<void> {
  const project = await open(options);
  const files = await listPipelines(project.root, project.settings.pipelineDir);
  const pipelines = await Promise.all(
    files.map(async ({ name, shown }) => {
      const pipeline = await read(project, name, options).catch((error) => {
        if (error instanceof OxiError) return undefined;
        throw error;
      });
      return {
        name,
        file: shown,
        description: pipeline?.description ?? '',
        steps: pipeline?.steps.map((step) => step.oxi) ?? [],
        valid: pipeline !== undefined,
      };
    }),
  );
  if (options.json) return printJson(pipelines);
  if (pipelines.length === 0)
    process.stderr.write(`no pipelines in ${project.settings.pipelineDir}/ of ${project.root}\n`);
  printRows(
    pipelines.map(({ name, description, steps, valid }) => [
      name,
      valid ? steps.join(' -> ') : 'has errors: oxiflow pipeline test',
      description,
    ]),
  );
}

async function test(names: string[], options: Options): Promise<void> {
  const project = await open(options, names[0]);
  const all =
    names.length > 0
      ? names
      : (await listPipelines(project.root, project.settings.pipelineDir)).map(({ name }) => name);
  if (all.length === 0)
    throw new OxiError('NO_PIPELINE', `no pipelines in ${project.settings.pipelineDir}/ of ${project.root}`);
  const results: { pipeline: string; errors: string[] }[] = [];
  let exitCode: number = EXIT.ok;
  for (const name of all) {
    const errors = await check(project, name, options).catch((error) => {
      if (!(error instanceof OxiError)) throw error;
      exitCode = error.exitCode;
      const found = error instanceof ConfigErrors ? error.errors : [error];
      return found.map((one) => project.secrets.redact(one.message));
    });
    results.push({ pipeline: name, errors });
  }
  if (options.json) printJson(results);
  for (const { pipeline, errors } of options.json ? [] : results) {
    for (const error of errors) process.stderr.write(`${error}\n`);
    process.stdout.write(
      `${printable(pipeline)}: ${errors.length === 0 ? 'good' : `${errors.length} ${errors.length === 1 ? 'error' : 'errors'}`}\n`,
    );
  }
  process.exitCode = exitCode;
}

async function check(project: Project, name: string, options: Options): Promise<string[]> {
  await planned(project, name, options);
  return [];
}

async function planned(project: Project, name: string, options: Options): Promise<{ pipeline: Pipeline; plan: Plan }> {
  const pipeline = await read(project, name, options);
  return { pipeline, plan: await planOf(project, pipeline, 1, { now: Date.now() }) };
}

async function info(name: string, options: Options): Promise<void> {
  const project = await open(options, name);
  const { pipeline, plan } = await planned(project, name, options).catch((error) => {
    throw clean(error, (text) => project.secrets.redact(text));
  });
  const input = await firstInput(plan).catch((error) => {
    if (error instanceof OxiError) return undefined;
    throw error;
  });
  const redact = (text: string): string => project.secrets.redact(text);
  if (options.json) printJson(redactStrings(planDocument(pipeline, plan, input), redact));
  else process.stdout.write(redact(planText(pipeline.name, plan, input)));
}
