/** The pipelines of a project: whether each is right, has its variables, finds its input and may write. */
import { ConfigErrors, OxiError } from '../engine/errors.ts';
import { type Check, ok, warning, wrong } from './check.ts';

/** What was found of one pipeline. */
export interface Examined {
  name: string;
  /** What is wrong with it, a sentence each. */
  errors: string[];
  /** Variables that it needs and that nobody has set. */
  unset: string[];
  /** Parameters that have to be given to it. */
  needs: string[];
  /** Why it could not read or write at the moment. */
  troubles: string[];
  /** Absolute path of the folder of its dead letters, where it has some. */
  letters: string | undefined;
  /** The most threads that it may use at once. */
  threads: number;
}

export function unknownPipeline(name: string): Examined {
  return { name, errors: [], unset: [], needs: [], troubles: [], letters: undefined, threads: 1 };
}

const UNSET = /\$\{(\w+)\} is not set/;
const NEEDED = /the parameter "(\w+)" has no default/;

/** Sorts what loading or planning a pipeline complained of; any other error is thrown on. */
export function noteErrors(examined: Examined, error: unknown): void {
  if (!(error instanceof OxiError)) throw error;
  for (const { message } of error instanceof ConfigErrors ? error.errors : [error]) {
    const variable = UNSET.exec(message)?.[1];
    const parameter = NEEDED.exec(message)?.[1];
    if (variable !== undefined) examined.unset.push(variable);
    else if (parameter !== undefined) examined.needs.push(parameter);
    else examined.errors.push(message);
  }
}

/** Pipelines that have a line of their own. */
const MOST = 10;

export function checkPipelines(all: readonly Examined[], folder: string): Check[] {
  if (all.length === 0)
    return [warning('pipelines', `none in ${folder}`, 'oxiflow pipeline list shows where they are looked for')];
  const broken = all.filter(({ errors }) => errors.length > 0);
  const checks = [ok('pipelines', `${all.length - broken.length} of ${all.length} are right, in ${folder}`)];
  for (const { name, errors } of broken.slice(0, MOST))
    checks.push(
      errors.length === 1
        ? wrong(`pipeline ${name}`, errors[0] ?? '')
        : wrong(
            `pipeline ${name}`,
            `${errors.length} errors, the first: ${errors[0]}`,
            `oxiflow pipeline test ${name} shows all`,
          ),
    );
  if (broken.length > MOST)
    checks.push(wrong('pipelines', `${broken.length - MOST} more have errors`, 'oxiflow pipeline test shows all'));
  const troubled = all.filter(({ troubles }) => troubles.length > 0);
  for (const { name, troubles } of troubled.slice(0, MOST))
    checks.push(warning(`pipeline ${name}`, troubles.join('; '), `put it right before "oxiflow run ${name}"`));
  if (troubled.length > MOST)
    checks.push(
      warning('pipelines', `${troubled.length - MOST} more can't read or write`, 'oxiflow run NAME --dry-run says why'),
    );
  return checks;
}

export function checkVariables(all: readonly Examined[]): Check {
  const who = new Map<string, string[]>();
  for (const { name, unset } of all)
    for (const variable of new Set(unset)) who.set(variable, [...(who.get(variable) ?? []), name]);
  if (who.size === 0) return ok('variables', 'all that pipelines need are set, or have defaults');
  const named = [...who].map(
    ([variable, names]) => `${variable} (${names.slice(0, 3).join(', ')}${names.length > 3 ? ', ...' : ''})`,
  );
  return warning(
    'variables',
    `not set: ${named.join(', ')}`,
    'set them, pass --env-file FILE, or give a default as in ${NAME:-default}',
  );
}

/** `inClear`: a sentence for each secret that stands in a file, with what to do. */
export function checkSecrets(inClear: readonly string[]): Check {
  const [first] = inClear;
  if (first === undefined) return ok('secrets', 'none stands in clear in a file');
  const more = inClear.length - 1;
  return warning('secrets', first, more === 0 ? 'and change it, if others have read the file' : `${more} more like it`);
}

/** The pipeline with the most threads. */
export function mostThreads(all: readonly Examined[]): { most: number; pipeline: string } | undefined {
  let found: { most: number; pipeline: string } | undefined;
  for (const { name, threads } of all)
    if (found === undefined || threads > found.most) found = { most: threads, pipeline: name };
  return found;
}
