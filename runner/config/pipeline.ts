/** Loads a pipeline file: its steps with typed config, parameters, variables and rules. Everything wrong is said at once. */
import type { output } from 'zod/v4/core';
import { type DecodeContext, decode } from './decode.ts';
import { Environment, layered, readEnvFile } from './environment.ts';
import { readPipelineFile } from './files.ts';
import { didYouMean, listNames } from './nearest.ts';
import { parseOverrides } from './overrides.ts';
import { givenParameters, type ParameterSpec, type ParameterValue, readParameters } from './parameters.ts';
import { HEAD_KEYS, headSchema } from './pipeline-schema.ts';
import { Problems, problem } from './problems.ts';
import type { Project } from './project.ts';
import { environmentSchema } from './project-schema.ts';
import type { Scope } from './references.ts';
import { noticesOf } from './step-notices.ts';
import { type ConfiguredOxi, readSteps, type StepSpec } from './steps.ts';
import { type PipelineTest, readTests } from './tests.ts';
import { type MapNode, type Node, parseTree } from './tree.ts';

export interface Pipeline {
  readonly name: string;
  /** Absolute path. */
  readonly file: string;
  readonly description: string | undefined;
  readonly steps: readonly StepSpec[];
  readonly parameters: readonly ParameterSpec[];
  readonly params: ReadonlyMap<string, ParameterValue>;
  /** What `${VAR}` and `env.VAR` see, all layers merged. */
  readonly environment: ReadonlyMap<string, string>;
  readonly delivery: 'at_least_once' | 'exactly_once';
  readonly deadLetter: { readonly path: string | undefined; readonly maxRecords: number | undefined } | undefined;
  /** The run stops beyond so many record errors, or such a share (0 to 1) of the records. */
  readonly maxErrors: { readonly count: number } | { readonly share: number } | undefined;
  readonly tests: readonly PipelineTest[];
  readonly metadata: NonNullable<output<ReturnType<typeof headSchema>>['metadata']>;
  /** What has no effect, for -v. */
  readonly notices: readonly string[];
  /** Of `--set` and `--param`, for the run key; absent where none was given. */
  readonly overridesHash: string | undefined;
  /** Variables that have no value; there are some only where nothing had to be given. */
  readonly unset: readonly string[];
}

export interface LoadPipelineOptions {
  readonly oxis: ReadonlyMap<string, ConfiguredOxi>;
  /** `--set step.field=value`. */
  readonly sets?: readonly string[] | undefined;
  /** `--param name=value`. */
  readonly params?: readonly string[] | undefined;
  /** Only needed where the project was loaded without it. */
  readonly envFile?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What a path in place of a name counts from; the working directory where left out. */
  readonly workingFolder?: string | undefined;
  /** Nothing has to be given: a variable or parameter without a value stands for itself, as `${NAME}`. For manifests. */
  readonly outline?: boolean | undefined;
  /** Of an outline: the parameters that stand for themselves although they have a default. */
  readonly open?: ((parameter: ParameterSpec) => boolean) | undefined;
  /** Given the steps that are right, also where something else in the file is not. */
  readonly onSteps?: (steps: readonly StepSpec[]) => void;
}

const KEYS = ['pipeline', 'parameters', 'environment', ...HEAD_KEYS];

/** Throws ConfigErrors, OxiError NO_PIPELINE, PERMISSION_DENIED, COMMAND_INVALID. */
export async function loadPipeline(
  project: Project,
  nameOrPath: string,
  options: LoadPipelineOptions,
): Promise<Pipeline> {
  const file = await readPipelineFile(project, nameOrPath, options.workingFolder ?? process.cwd());
  const envFile = options.envFile === undefined ? project.envFile : await readEnvFile(options.envFile);
  const problems = new Problems();
  const tree = parseTree(file.text, file.shown, problems);
  problems.throwIfAny();
  const root = mapOf(tree);
  const context = (scope: Scope): DecodeContext => ({
    problems,
    about: { pipeline: file.name },
    scope,
    secrets: project.secrets,
    freeKeys: true,
  });
  refuseUnknown(root, context(scopeOf(new Map(), undefined)));

  const { sets = [], params = [], outline = false } = options;
  const unset = new Set<string>();
  const noScope = (variables: ReadonlyMap<string, string>): Scope => scopeOf(variables, outline ? unset : undefined);
  const strong = [givenParameters(params), Object.entries(options.env), envFile];
  const own = root.entries.get('environment')?.value;
  const outer = context(noScope(layered([...strong, project.environment])));
  const variables =
    own === undefined
      ? undefined
      : decode(environmentSchema(), own, { ...outer, about: { ...outer.about, field: 'environment' } }).value;
  const pipelineEnvironment = new Environment(Object.entries(variables ?? {}));
  const declared = root.entries.get('parameters')?.value;
  const parameters = readParameters(
    declared,
    params,
    context(noScope(layered([...strong, pipelineEnvironment, project.environment]))),
    outline,
  );
  const open = new Set(parameters.specs.filter((spec) => options.open?.(spec)).map(({ name }) => name));
  const defaults = [...parameters.defaults].filter(([name]) => !open.has(name));
  const environment = layered([...strong, pipelineEnvironment, defaults, project.environment]);
  // Expressions see all of them as `env.NAME`, and an error may quote what they made of one.
  for (const [name, value] of environment) project.secrets.addVariable(name, value);
  const scope = noScope(environment);

  const rules = without(root, ['pipeline', 'parameters', 'environment', 'tests']);
  const head = rules.entries.size === 0 ? undefined : decode(headSchema(), rules, context(scope)).value;
  const overrides = parseOverrides(sets, problems);
  for (const { path, text } of overrides) project.secrets.addVariable(path.at(-1) ?? '', text);
  for (const [name, text] of givenParameters(params)) project.secrets.addVariable(name, text);
  const steps = readSteps(root.entries.get('pipeline')?.value, root.where, {
    context: context(scope),
    oxis: options.oxis,
    overrides,
  });
  const tests = readTests(root.entries.get('tests')?.value, steps, context(scope));
  options.onSteps?.(steps);
  problems.throwIfAny();
  return {
    name: file.name,
    file: file.path,
    description: head?.metadata?.description,
    steps,
    parameters: parameters.specs,
    params: parameters.values,
    environment,
    delivery: head?.delivery ?? 'at_least_once',
    deadLetter: head?.dead_letter && { path: head.dead_letter.path, maxRecords: head.dead_letter.max_records },
    maxErrors: maxErrors(head?.max_errors),
    tests,
    metadata: head?.metadata ?? {},
    notices: noticesOf(steps, options.oxis),
    overridesHash: await overridesHash(sets, params),
    // Parameters are given by name, too.
    unset: [...unset].filter((name) => !parameters.specs.some((spec) => spec.name === name)).sort(),
  };
}

/** References to steps have no place outside of the config of steps. `unset`: takes the variables that may have no value. */
function scopeOf(variables: ReadonlyMap<string, string>, unset: Set<string> | undefined): Scope {
  return {
    variable: (name) => variables.get(name),
    ...(unset === undefined ? {} : { standIn: (name: string) => standIn(name, unset) }),
    step: () => ({ known: false, problem: 'a reference to a step can stand under "config:" only' }),
  };
}

function standIn(name: string, unset: Set<string>): string {
  unset.add(name);
  return `\${${name}}`;
}

function mapOf(tree: Node | undefined): MapNode {
  if (tree?.kind === 'map') return tree;
  throw problem(
    tree?.where ?? { file: '', line: 1, column: 1 },
    'must be a map with "pipeline:" and a list of steps under it',
  );
}

function refuseUnknown(root: MapNode, { problems, about }: DecodeContext): void {
  for (const [name, { key }] of root.entries) {
    if (KEYS.includes(name) || name.startsWith('x-')) continue;
    const near = didYouMean(name, KEYS);
    problems.add(key, `unknown field "${name}"${near === '' ? ';' : near} allowed: ${listNames(KEYS)}`, about);
  }
}

function without(root: MapNode, names: readonly string[]): MapNode {
  const kept = [...root.entries].filter(([name]) => !names.includes(name) && KEYS.includes(name));
  return { ...root, entries: new Map(kept) };
}

function maxErrors(value: number | string | undefined): Pipeline['maxErrors'] {
  if (value === undefined) return undefined;
  return typeof value === 'number' ? { count: value } : { share: Number.parseFloat(value) / 100 };
}

/** The same options in another order are the same run; a later one for the same field replaces an earlier one. */
async function overridesHash(sets: readonly string[], params: readonly string[]): Promise<string | undefined> {
  if (sets.length === 0 && params.length === 0) return undefined;
  const last = (options: readonly string[]) => [...givenParameters(options)].sort(([a], [b]) => (a < b ? -1 : 1));
  // Loading it takes longer than all the rest of this file.
  const { createHash } = await import('node:crypto');
  return createHash('sha256')
    .update(JSON.stringify([last(sets), last(params)]))
    .digest('hex')
    .slice(0, 12);
}
