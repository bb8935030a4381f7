/** `oxiflow pipeline list|add|test|info|manifest`: what pipelines a project has, whether they are right, and how one would run. */
import { Command } from 'commander';
import { listPipelines } from '../config/files.ts';
import { loadPipeline, type Pipeline } from '../config/pipeline.ts';
import { loadProject, type Project } from '../config/project.ts';
import { ConfigErrors, EXIT, OxiError } from '../engine/errors.ts';
import type { Plan } from '../engine/plan.ts';
import { registry } from '../oxis/registry.ts';
import type { TestResult } from '../testing/run-test.ts';
import { planOf } from './load.ts';
import { collected } from './options.ts';
import { addCommand } from './pipeline-add.ts';
import { infoCommand } from './pipeline-info.ts';
import { listCommand } from './pipeline-list.ts';
import { manifestCommand } from './pipeline-manifest.ts';
import { printable, printJson } from './state-store.ts';

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
    .addCommand(
      overriding(shared(new Command('test')))
        .description('check pipelines and run their tests: all of the project, or those named')
        .argument('[pipelines...]', 'names or paths')
        .action(test),
    )
    .addCommand(infoCommand())
    .addCommand(manifestCommand());
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

async function test(names: string[], options: Options): Promise<void> {
  const project = await open(options, names[0]);
  const all =
    names.length > 0
      ? names
      : (await listPipelines(project.root, project.settings.pipelineDir)).map(({ name }) => name);
  if (all.length === 0)
    throw new OxiError('NO_PIPELINE', `no pipelines in ${project.settings.pipelineDir}/ of ${project.root}`);
  const results: Checked[] = [];
  let exitCode: number = EXIT.ok;
  for (const name of all) {
    const result: Checked = { pipeline: name, errors: [], tests: [] };
    results.push(result);
    await check(project, name, options, result).catch((error) => {
      if (!(error instanceof OxiError)) throw error;
      exitCode = error.exitCode;
      const found = error instanceof ConfigErrors ? error.errors : [error];
      result.errors = found.map((one) => project.secrets.redact(one.message));
    });
    if (exitCode === EXIT.ok && result.tests.some(({ passed }) => !passed)) exitCode = EXIT.data;
    if (!options.json) say(result);
  }
  if (options.json) printJson(results);
  process.exitCode = exitCode;
}

interface Checked {
  pipeline: string;
  errors: string[];
  /** What has no effect; absent where nothing is without. */
  notices?: string[];
  tests: TestResult[];
}

/** A line a test, and one on the whole of it; what is wrong stands on standard error. */
function say({ pipeline, errors, notices = [], tests }: Checked): void {
  const name = printable(pipeline);
  for (const line of [...errors, ...notices]) process.stderr.write(`${line}\n`);
  for (const test of tests) {
    process.stdout.write(`${name}: ${test.passed ? 'passed' : 'failed'}: ${printable(test.name)}\n`);
    if (test.problem !== undefined)
      process.stderr.write(`${name}: ${printable(test.name)}: ${printable(test.problem)}\n`);
  }
  const failed = tests.filter(({ passed }) => !passed).length;
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
  const facts = [
    errors.length > 0
      ? count(errors.length, 'error')
      : failed === 0
        ? 'good'
        : `${failed} of ${count(tests.length, 'test')} failed`,
    ...(failed === 0 && tests.length > 0 ? [`${count(tests.length, 'test')} passed`] : []),
  ];
  process.stdout.write(`${name}: ${facts.join(', ')}\n`);
}

/** Checks the pipeline, then runs its tests one after the other. Throws what is wrong with the file. */
async function check(project: Project, name: string, options: Options, result: Checked): Promise<void> {
  const { pipeline } = await planned(project, name, options);
  const notices = pipeline.notices.map((notice) => project.secrets.redact(notice));
  if (notices.length > 0) result.notices = notices;
  for (const { name: test, params, environment, where } of pipeline.tests) {
    const given = Object.entries(params ?? {}).map(([key, value]) => `${key}=${value}`);
    const variables = Object.entries(environment ?? {}).map(([key, value]) => [key, String(value)] as const);
    const its = await loadPipeline(project, name, {
      oxis: registry,
      sets: options.set,
      params: [...(options.param ?? []), ...given],
      env: { ...process.env, ...Object.fromEntries(variables) },
    }).catch((error) => {
      if (!(error instanceof OxiError)) throw error;
      const place = `${where.file}:${where.line}:${where.column}: test "${test}"`;
      throw new OxiError(error.code, `${place}: ${error.message.replaceAll('\n', '; ')}`, {
        place: where,
        cause: error,
      });
    });
    const found = its.tests.find((one) => one.name === test);
    if (found === undefined) continue;
    const { runTest } = await import('../testing/run-test.ts');
    result.tests.push(
      await runTest({
        test: found,
        pipeline: its,
        oxis: registry,
        projectRoot: project.root,
        plan: (oxis) => planOf(project, its, 1, { now: Date.now(), oxis }),
        redact: (text) => project.secrets.redact(text),
      }),
    );
  }
}

async function planned(project: Project, name: string, options: Options): Promise<{ pipeline: Pipeline; plan: Plan }> {
  const pipeline = await read(project, name, options);
  return { pipeline, plan: await planOf(project, pipeline, 1, { now: Date.now() }) };
}
