/** `oxiflow pipeline list|add|test|info`: what pipelines a project has, whether they are right, and how one would run. */
import { Command } from 'commander';
import { loadPipeline, type Pipeline } from '../config/pipeline.ts';
import { loadProject, type Project } from '../config/project.ts';
import { OxiError } from '../engine/errors.ts';
import type { Plan } from '../engine/plan.ts';
import { redactStrings } from '../observe/redaction.ts';
import { registry } from '../oxis/registry.ts';
import { clean, firstInput, planOf } from './load.ts';
import { collected } from './options.ts';
import { addCommand } from './pipeline-add.ts';
import { listCommand } from './pipeline-list.ts';
import { command as testCommand } from './pipeline-test.ts';
import { planDocument, planText } from './plan-text.ts';
import { printJson } from './state-store.ts';

interface Options {
  project?: string;
  set?: string[];
  param?: string[];
  envFile?: string;
  json?: true;
}

export function command(): Command {
  const pipeline = new Command('pipeline').description('list, add, check and explain pipelines');
  pipeline
    .addCommand(listCommand(shared(new Command('list'))))
    .addCommand(addCommand(shared(new Command('add'))))
    .addCommand(testCommand())
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
