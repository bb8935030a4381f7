/** Parameters of a pipeline: declared in the file, given by `--param name=value`, typed. */
import { type DecodeContext, decode } from './decode.ts';
import { didYouMean, listNames } from './nearest.ts';
import { type PARAMETER_TYPES, parameterSchema } from './pipeline-schema.ts';
import type { Where } from './problems.ts';
import { isGuardedName } from './redact.ts';
import type { Node } from './tree.ts';

type ParameterType = (typeof PARAMETER_TYPES)[number];

/** int is a bigint beyond 2^53, else a number; date ("2026-07-31") and timestamp (RFC 3339) stay text, checked. */
export type ParameterValue = string | number | bigint | boolean;

export interface ParameterSpec {
  readonly name: string;
  readonly type: ParameterType;
  readonly description: string | undefined;
  readonly choices: readonly ParameterValue[] | undefined;
  readonly default: ParameterValue | undefined;
  /** Its name says that it holds a secret: its values are shown nowhere. */
  readonly secret: boolean;
}

export interface Parameters {
  readonly specs: readonly ParameterSpec[];
  readonly values: ReadonlyMap<string, ParameterValue>;
  /** Defaults as text, for `${name}`. */
  readonly defaults: ReadonlyMap<string, string>;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** `node` is the `parameters` section; what is wrong goes to the context's problems. `outline`: none has to be given. */
export function readParameters(
  node: Node | undefined,
  options: readonly string[],
  context: DecodeContext,
  outline = false,
): Parameters {
  const { problems } = context;
  const given = parseOptions(options, (where, text) => problems.add(where, text));
  const parameters = {
    specs: [] as ParameterSpec[],
    values: new Map<string, ParameterValue>(),
    defaults: new Map<string, string>(),
  };
  const entries = node?.kind === 'map' ? [...node.entries] : [];
  const empty = node?.kind === 'scalar' && node.value === null;
  if (node !== undefined && node.kind !== 'map' && !empty)
    problems.add(node.where, 'must be a map of parameters', { field: 'parameters' });
  for (const [name, entry] of entries) {
    if (!NAME.test(name))
      problems.add(entry.key, `the parameter "${name}" must be named by letters, digits and _`, context.about);
    const read = readParameter(name, entry, given.get(name), context, outline);
    if (read === undefined) continue;
    parameters.specs.push(read.spec);
    if (read.value !== undefined) parameters.values.set(name, read.value);
    if (read.fallback !== undefined) parameters.defaults.set(name, read.fallback);
  }
  const known = entries.map(([name]) => name);
  for (const name of given.keys()) {
    if (known.includes(name)) continue;
    const near = didYouMean(name, known);
    const declared = known.length === 0 ? '; it declares none' : near === '' ? `; it has: ${listNames(known)}` : near;
    problems.add(optionPlace(name), `the pipeline has no such parameter${declared}`);
  }
  return parameters;
}

function readParameter(
  name: string,
  entry: { readonly key: Where; readonly value: Node },
  given: string | undefined,
  context: DecodeContext,
  outline: boolean,
): { spec: ParameterSpec; value: ParameterValue | undefined; fallback: string | undefined } | undefined {
  const { problems } = context;
  const field = `parameters.${name}`;
  const { value: declared, locate } = decode(parameterSchema(), entry.value, {
    ...context,
    about: { ...context.about, field },
  });
  if (declared === undefined) return undefined;
  const typed = (text: string, where: Where, part: string): ParameterValue | undefined => {
    const value = parseParameter(declared.type, text);
    const shown = referenceIn(entry.value, part) ? '' : got(name, text);
    if (value === undefined)
      problems.add(where, `must be ${TYPE_HINTS[declared.type]}${shown}`, {
        ...context.about,
        field: `${field}.${part}`,
      });
    return value;
  };
  const fallback = declared.default === undefined ? undefined : writtenText(entry.value, declared);
  const initial = fallback === undefined ? undefined : typed(fallback, locate('default'), 'default');
  const choices = declared.choices?.map((choice, index) =>
    typed(String(choice), locate(`choices.${index}`), `choices.${index}`),
  );
  const chosen = given === undefined ? initial : typed(given, optionPlace(name), 'given');
  if (given === undefined && fallback === undefined) {
    if (!outline)
      problems.add(
        entry.key,
        `the parameter "${name}" has no default; give it with --param ${name}=...`,
        context.about,
      );
  } else if (chosen !== undefined && choices !== undefined && !choices.includes(chosen)) {
    const part = given === undefined ? 'default' : 'given';
    const shown = referenceIn(entry.value, part) ? '' : got(name, String(chosen));
    const where = given === undefined ? locate('default') : optionPlace(name);
    problems.add(where, `must be one of ${declared.choices?.join(', ')}${shown}`, {
      ...context.about,
      field: `${field}.${part}`,
    });
  }
  const spec: ParameterSpec = {
    name,
    type: declared.type,
    description: declared.description,
    choices: choices?.filter((choice) => choice !== undefined),
    default: initial,
    secret: isGuardedName(name),
  };
  return { spec, value: chosen, fallback };
}

/** The text of a default: a number keeps all of its digits where the type is text or a whole number. */
function writtenText(node: Node, declared: { readonly type: ParameterType; readonly default?: unknown }): string {
  const value = node.kind === 'map' ? node.entries.get('default')?.value : undefined;
  if (value?.kind !== 'scalar' || typeof value.value !== 'number') return String(declared.default);
  const keeps = declared.type === 'string' || (declared.type === 'int' && /^[+-]?\d+$/.test(value.text));
  return keeps ? value.text : String(declared.default);
}

/** The part holds a reference: what it stands for may be a secret. */
function referenceIn(node: Node, part: string): boolean {
  const value = node.kind === 'map' ? node.entries.get(part)?.value : undefined;
  return value?.kind === 'scalar' && value.text.includes('${');
}

const TYPE_HINTS: Readonly<Record<ParameterType, string>> = {
  string: 'text',
  int: 'a whole number',
  float: 'a number',
  bool: 'true or false',
  date: 'a date such as 2026-07-31',
  timestamp: 'a time such as 2026-07-31T12:00:00Z',
};

/** The typed value of a parameter's text; undefined where it does not fit. */
function parseParameter(type: ParameterType, text: string): ParameterValue | undefined {
  switch (type) {
    case 'string':
      return text;
    case 'int': {
      if (!/^[+-]?\d{1,100}$/.test(text)) return undefined;
      const value = Number(text);
      return Number.isSafeInteger(value) ? value : BigInt(text.replace(/^\+/, ''));
    }
    case 'float': {
      const value = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN;
      return Number.isFinite(value) ? value : undefined;
    }
    case 'bool':
      return /^(true|false)$/i.test(text) ? text.toLowerCase() === 'true' : undefined;
    case 'date':
      return isDate(text) ? text : undefined;
    case 'timestamp': {
      const match =
        /^(\d{4}-\d{2}-\d{2})T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/.exec(text);
      return match?.[1] !== undefined && isDate(match[1]) ? text : undefined;
    }
  }
}

function isDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}

/** The text of each `--param name=value`. */
export function givenParameters(options: readonly string[]): Map<string, string> {
  return parseOptions(options, () => {});
}

function parseOptions(options: readonly string[], refuse: (where: Where, text: string) => void): Map<string, string> {
  const given = new Map<string, string>();
  for (const option of options) {
    const equals = option.indexOf('=');
    if (equals > 0) given.set(option.slice(0, equals), option.slice(equals + 1));
    else refuse({ ...optionPlace(''), option: '--param' }, 'must be name=value');
  }
  return given;
}

function optionPlace(name: string): Where {
  return { file: '', line: 0, column: 0, option: `--param ${name}` };
}

function got(name: string, text: string): string {
  return isGuardedName(name) ? '' : `, got ${JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text)}`;
}
