/** `oxiflow pipeline test`: whether pipelines are right, all that is wrong at once, and how their tests end. */
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { listPipelines } from '../config/files.ts';
import { loadPipeline, type Pipeline } from '../config/pipeline.ts';
import type { Project } from '../config/project.ts';
import type { PipelineTest } from '../config/tests.ts';
import { EXIT, type ExitCode, OxiError } from '../engine/errors.ts';
import type { Plan } from '../engine/plan.ts';
import { redactStrings } from '../observe/redaction.ts';
import { registry } from '../oxis/registry.ts';
import type { Tried } from '../testing/connect.ts';
import { allMistakes, errorsIn } from '../testing/mistakes.ts';
import type { TestResult } from '../testing/run-test.ts';
import { openPipeline, type PipelineOptions, planOf } from './load.ts';
import { openProject } from './open-project.ts';
import { collected, overriding } from './options.ts';
import { type Checked, sayChecked, sayTried, summaryOf } from './pipeline-test-text.ts';
import { printable, printJson } from './state-store.ts';

interface Options extends PipelineOptions {
  json?: true;
  connect?: true;
  update?: true;
  test?: string[];
}

/** Of several exit codes the first one here counts: what keeps most from being known comes first. */
const WORST: readonly ExitCode[] = [
  EXIT.noPipeline,
  EXIT.config,
  EXIT.permission,
  EXIT.corruptState,
  EXIT.unreachable,
  EXIT.failed,
  EXIT.data,
];

export function command(): Command {
  const verb = new Command('test')
    .description('check pipelines and run their tests')
    .argument('[pipelines...]', 'names or paths (default: all of the project)')
    .option('--test <name>', 'run only this test (repeatable)', collected)
    .option('--update', 'write what came into failing expectations')
    .option('--connect', 'try what a run would open, too; writes nothing')
    .option('--project <dir>', 'folder of the project')
    .option('--json', 'print one JSON document');
  return overriding(verb)
    .addHelpText('after', '\nExit code: the first that applies of 125, 2, 126, 74, 69, 1, 3; else 0.')
    .action(async (names: string[], options: Options) => {
      process.exitCode = await testAll(names, options);
    });
}

async function testAll(names: string[], options: Options): Promise<number> {
  if (options.update && (options.set ?? options.param) !== undefined)
    throw new OxiError(
      'COMMAND_INVALID',
      'pipeline test: --update with --set or --param would write expectations that hold only with them',
    );
  const project = await openProject(options, names[0]).catch((error) => {
    if (!(error instanceof OxiError)) throw error;
    return error;
  });
  if (project instanceof OxiError) {
    for (const { message } of errorsIn(project)) process.stderr.write(`${message}\n`);
    return project.exitCode;
  }
  const all =
    names.length > 0
      ? names
      : (await listPipelines(project.root, project.settings.pipelineDir)).map(({ name }) => name);
  if (all.length === 0)
    throw new OxiError('NO_PIPELINE', `no pipelines in ${project.settings.pipelineDir}/ of ${project.root}`);
  const checked: Checked[] = [];
  for (const name of all) {
    const one = await checkOne(project, name, options);
    checked.push(one);
    if (!options.json) sayChecked(one, (text) => project.secrets.redact(text));
  }
  refuseUnknownTests(checked, options);
  const state = options.connect ? await stateOf(project) : undefined;
  if (state !== undefined && !options.json) sayTried('', state, (text) => project.secrets.redact(text));
  const codes = [...checked.flatMap((one) => one.codes), ...(state?.error === undefined ? [] : [state.error.exitCode])];
  const exitCode = WORST.find((code) => codes.includes(code)) ?? codes[0] ?? EXIT.ok;
  const summary = summaryOf(checked);
  if (options.json) {
    const redact = (text: string): string => project.secrets.redact(text);
    const document = {
      exit_code: exitCode,
      summary: summary.figures,
      ...(state === undefined ? {} : { state: triedDocument(state) }),
      pipelines: checked.map(documentOf),
    };
    printJson(redactStrings(document, redact));
  } else if (checked.length > 1) process.stdout.write(`${summary.text}\n`);
  return exitCode;
}

function documentOf({ pipeline, errors, notices, tests, tried }: Checked): Record<string, unknown> {
  return {
    pipeline,
    errors,
    ...(notices.length === 0 ? {} : { notices }),
    tests: tests.map(({ differs: _, ...rest }) => rest),
    ...(tried === undefined ? {} : { connections: tried.map(triedDocument) }),
  };
}

function triedDocument({ what, found, error }: Tried): Record<string, unknown> {
  return { what, ok: error === undefined, ...(error === undefined ? { found } : { problem: error.message }) };
}

/** A name that no pipeline has a test of is a slip of the fingers. */
function refuseUnknownTests(checked: readonly Checked[], { test = [] }: Options): void {
  const known = new Set(checked.flatMap(({ known }) => known));
  const unknown = test.find((name) => !known.has(name));
  if (unknown === undefined || checked.some(({ errors }) => errors.length > 0)) return;
  throw new OxiError('COMMAND_INVALID', `pipeline test: no test "${printable(unknown)}" in what was checked`);
}

async function stateOf(project: Project): Promise<Tried> {
  const { tryState } = await import('../testing/connect.ts');
  return await tryState(project.state);
}

/** Checks the pipeline, then runs its tests one after the other; what is wrong with one is no reason to leave out the next. */
async function checkOne(project: Project, name: string, options: Options): Promise<Checked> {
  const checked: Checked = {
    pipeline: name,
    errors: [],
    notices: [],
    tests: [],
    codes: [],
    known: [],
    tried: undefined,
  };
  const redact = (text: string): string => project.secrets.redact(text);
  const note = (errors: readonly OxiError[]): void => {
    for (const { message, exitCode } of errors) {
      checked.errors.push(redact(message));
      checked.codes.push(exitCode);
    }
  };
  let steps: Pipeline['steps'] = [];
  const onSteps = (found: Pipeline['steps']): void => {
    steps = found;
  };
  const pipeline = await openPipeline(project, name, options, { onSteps }).catch(known);
  if (pipeline instanceof OxiError) {
    note(await allMistakes(pipeline, steps, registry, project.root));
    return checked;
  }
  checked.notices = pipeline.notices.map(redact);
  const plan = await planOf(project, pipeline, 1, { now: Date.now() }).catch(known);
  if (plan instanceof OxiError) {
    note(await allMistakes(plan, pipeline.steps, registry, project.root));
    return checked;
  }
  const before = options.update ? await readFile(pipeline.file, 'utf8').catch(() => undefined) : undefined;
  if (options.connect) {
    const { tryConnections } = await import('../testing/connect.ts');
    checked.tried = await tryConnections(plan, project.root);
    checked.codes.push(...checked.tried.flatMap(({ error }) => (error === undefined ? [] : [error.exitCode])));
  }
  checked.known = pipeline.tests.map((test) => test.name);
  for (const test of pipeline.tests) {
    if (options.test !== undefined && !options.test.includes(test.name)) continue;
    const result = await testOne(project, name, test, options).catch(known);
    if (result instanceof OxiError) note(errorsIn(result));
    else if (result !== undefined) checked.tests.push(result);
  }
  if (options.update && checked.errors.length === 0)
    await update(pipeline, checked, project, before).catch((error) => note([known(error)]));
  if (checked.tests.some(({ passed, updated }) => !passed && updated !== true)) checked.codes.push(EXIT.data);
  return checked;
}

function known(error: unknown): OxiError {
  if (error instanceof OxiError) return error;
  throw error;
}

async function testOne(
  project: Project,
  name: string,
  { name: test, params, environment, where }: PipelineTest,
  options: Options,
): Promise<TestResult | undefined> {
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
    throw new OxiError(error.code, `${place}: ${error.message.replaceAll('\n', '; ')}`, { place: where, cause: error });
  });
  const found = its.tests.find((one) => one.name === test);
  if (found === undefined) return undefined;
  const { runTest } = await import('../testing/run-test.ts');
  return await runTest({
    test: found,
    pipeline: its,
    oxis: registry,
    projectRoot: project.root,
    plan: (steps, oxis, now): Promise<Plan> => planOf(project, { ...its, steps }, 1, { now, oxis }),
    redact: (text) => project.secrets.redact(text),
  });
}

/** Writes what came into the file of the pipeline; a test whose run went wrong is left as it is. */
async function update(
  pipeline: Pipeline,
  checked: Checked,
  project: Project,
  before: string | undefined,
): Promise<void> {
  const failing = checked.tests.filter(({ differs }) => differs !== undefined);
  if (failing.length === 0) return;
  const { replaceFile, withExpectations } = await import('../testing/update.ts');
  const shown = pipeline.tests[0]?.where.file ?? pipeline.file;
  const text = await readFile(pipeline.file, 'utf8').catch(() => undefined);
  // What came is an answer to what the file said then.
  if (text === undefined || text !== before)
    throw new OxiError('CONFIG_INVALID', `${shown}: was changed while its tests ran; run them again`, {
      place: { file: shown },
    });
  const expectations = failing.flatMap(({ name, differs = [] }) =>
    differs.map(({ field, value }) => ({ test: name, field, value })),
  );
  const secret = expectations.find(({ value }) => {
    const written = JSON.stringify(value);
    return project.secrets.redact(written) !== written;
  });
  if (secret !== undefined)
    throw new OxiError(
      'CONFIG_INVALID',
      `${shown}: test "${secret.test}": what came holds a secret, which has no place in a file; change "expect.${secret.field}" by hand`,
    );
  await replaceFile(pipeline.file, shown, withExpectations(text, shown, expectations));
  for (const test of failing) test.updated = true;
}
