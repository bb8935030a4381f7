/** The steps of a pipeline: universal fields, ids, and the config of each oxi by the oxi's own schema. */
import * as z from 'zod/mini';
import type { $ZodType, output } from 'zod/v4/core';
import type { Json } from '../state/store.ts';
import { type DecodeContext, type Decoded, decode } from './decode.ts';
import { didYouMean, listNames } from './nearest.ts';
import { applyOverride, type Override } from './overrides.ts';
import { type limitsSchema, stepSchema, threadsSchema } from './pipeline-schema.ts';
import { Problems, type Where } from './problems.ts';
import type { Scope, StepReference } from './references.ts';
import { core } from './schema-kinds.ts';
import type { MapNode, Node } from './tree.ts';

/** What the loader needs to know of an oxi; the definitions of `engine/contracts.ts` have it. */
export interface ConfiguredOxi {
  readonly name: string;
  readonly summary?: string;
  readonly config: $ZodType;
  readonly aliases?: Readonly<Record<string, string>>;
}

/** What is known of earlier steps when a step opens: by id, then by field. */
export type StepMetadata = ReadonlyMap<string, Readonly<Record<string, Json>>>;

export interface StepSpec {
  /** From 0, top to bottom. */
  readonly index: number;
  readonly oxi: string;
  readonly id: string;
  readonly onError: 'stop' | 'drop' | 'dead_letter';
  readonly ordered: boolean;
  readonly threads: number | undefined;
  readonly retryAttempts: number;
  readonly retryDelaySeconds: number;
  readonly timeoutSeconds: number | undefined;
  readonly maxMemoryMb: number | undefined;
  readonly continueOnError: boolean;
  readonly condition: string | undefined;
  readonly limits: output<typeof limitsSchema> | undefined;
  readonly where: Where;
  /** `${steps...}` in its config: those steps have to be as far as the field needs before this one opens. */
  readonly references: readonly { readonly reference: StepReference; readonly where: Where; readonly field: string }[];
  /** The oxi's typed config. Throws ConfigErrors where what `steps` holds does not fit. */
  resolve(steps: StepMetadata): unknown;
  /** Place of a field of the config, or of what is around it. */
  locate(field: string): Where;
}

interface StepsInput {
  readonly context: DecodeContext;
  readonly oxis: ReadonlyMap<string, ConfiguredOxi>;
  readonly overrides: readonly Override[];
}

const UNIVERSAL = Object.keys(stepSchema.shape);
const threadsOnly = z.strictObject({ threads: z.optional(threadsSchema) });
const identity = z.object({ name: stepSchema.shape.name, id: stepSchema.shape.id });

interface Named {
  readonly node: MapNode;
  readonly oxi: string | undefined;
  readonly id: string;
}

/** Reads the list under `pipeline:`. What is wrong goes to the context's problems. */
export function readSteps(list: Node | undefined, around: Where, input: StepsInput): StepSpec[] {
  const { context, oxis, overrides } = input;
  const { problems, about } = context;
  if (list === undefined || list.kind !== 'list' || list.items.length === 0) {
    problems.add(list?.where ?? around, '"pipeline" must be a list of steps, each with "- name:" of an oxi', about);
    return [];
  }
  const named = nameSteps(list.items, context);
  for (const override of overrides) {
    const ids = named.map((step) => step.id);
    if (ids.includes(override.step)) continue;
    const near = didYouMean(override.step, ids);
    problems.add(override.where, `no step "${override.step}"${near === '' ? `; there are: ${listNames(ids)}` : near}`);
  }
  return named.flatMap((step, index) => {
    const about = { ...context.about, step: step.id };
    const oxi = step.oxi === undefined ? undefined : oxis.get(step.oxi);
    if (oxi === undefined && step.oxi !== undefined) {
      const near = didYouMean(step.oxi, oxis.keys());
      const where = step.node.entries.get('name')?.value.where ?? step.node.where;
      problems.add(
        where,
        `unknown oxi "${step.oxi}"${near === '' ? `; there are: ${listNames([...oxis.keys()])}` : near}`,
        about,
      );
    }
    const mine = overrides.filter((override) => override.step === step.id);
    const spec = readStep(
      step,
      oxi,
      mine,
      { ...context, about },
      named.slice(0, index).map(({ id }) => id),
      named.map(({ id }) => id),
    );
    return spec === undefined ? [] : [{ ...spec, index }];
  });
}

/** Ids: the explicit ones first, then the oxi's name for the others, numbered from the second one on. */
function nameSteps(items: readonly Node[], context: DecodeContext): Named[] {
  const { problems, about } = context;
  const explicit = new Map<string, Where>();
  const read = items.map((node, index) => {
    if (node.kind !== 'map') {
      problems.add(node.where, `step ${index + 1} must be a map that begins with "- name:"`, about);
      return { node: { kind: 'map' as const, entries: new Map(), where: node.where }, oxi: undefined, id: undefined };
    }
    const { value } = decode(
      identity,
      keep(node, (name) => name === 'name' || name === 'id'),
      { ...context, problems: new Problems() },
    );
    const first = value?.id === undefined ? undefined : explicit.get(value.id);
    if (value?.id !== undefined && first === undefined)
      explicit.set(value.id, node.entries.get('id')?.value.where ?? node.where);
    if (first !== undefined) {
      const where = node.entries.get('id')?.value.where ?? node.where;
      problems.add(where, `the id "${value?.id}" is given twice; the first one is in line ${first.line}`, about);
    }
    return { node, oxi: value?.name, id: value?.id };
  });
  const taken = new Set(explicit.keys());
  return read.map(({ node, oxi, id }, index) => {
    if (id !== undefined) return { node, oxi, id };
    const base = oxi ?? `step_${index + 1}`;
    let free = base;
    for (let count = 2; taken.has(free); count += 1) free = `${base}_${count}`;
    taken.add(free);
    return { node, oxi, id: free };
  });
}

function readStep(
  step: Named,
  oxi: ConfiguredOxi | undefined,
  overrides: readonly Override[],
  context: DecodeContext,
  earlier: readonly string[],
  all: readonly string[],
): Omit<StepSpec, 'index'> | undefined {
  const { problems, about } = context;
  const { universal, config } = overridden(step.node, oxi, overrides, problems);
  const fields = oxi === undefined ? [] : configFields(oxi);
  const spellings = [...fields, ...Object.keys(oxi?.aliases ?? {})];
  const hint = (name: string) => (spellings.includes(name) ? '; it belongs under "config:"' : undefined);
  const elsewhere = new Set(
    [...step.node.entries.keys()]
      .filter((name) => !UNIVERSAL.includes(name))
      .map((name) => oxi?.aliases?.[name] ?? name),
  );
  const bare = keep(universal, (name) => name !== 'config');
  const { value } = decode(stepSchema, bare, { ...context, hint });
  if (value?.continue_on_error === true && universal.entries.has('on_error')) {
    problems.add(
      universal.entries.get('on_error')?.key ?? step.node.where,
      'on_error and continue_on_error exclude each other; keep one',
      about,
    );
  }
  const threads = readThreads(config, context);
  if (oxi === undefined) return undefined;
  const hasThreads = fields.includes('threads');
  const inner = hasThreads ? config : keep(config, (name) => name !== 'threads');
  const read = (scope: Scope, into: Problems): Decoded<unknown> =>
    decode(oxi.config, inner, {
      ...context,
      problems: into,
      scope,
      freeKeys: false,
      elsewhere,
      aliases: oxi.aliases,
      hint: (name) => (UNIVERSAL.includes(name) ? '; it stands beside "config:", not in it' : undefined),
    });
  const first = read(
    { ...context.scope, step: (reference) => checkReference(reference, about.step ?? '', earlier, all) },
    problems,
  );
  if (value === undefined) return undefined;
  return {
    oxi: oxi.name,
    id: step.id,
    onError: value.on_error,
    ordered: value.ordered,
    threads,
    retryAttempts: value.retry_attempts,
    retryDelaySeconds: value.retry_delay_seconds,
    timeoutSeconds: value.timeout_seconds,
    maxMemoryMb: value.max_memory_mb,
    continueOnError: value.continue_on_error,
    condition: value.condition,
    limits: value.limits,
    where: step.node.where,
    references: first.steps,
    locate: first.locate,
    resolve: (steps) => {
      if (!first.deferred) return first.value;
      const late = new Problems();
      const resolved = read({ ...context.scope, step: (reference) => lookUp(reference, steps) }, late);
      late.throwIfAny();
      return resolved.value;
    },
  };
}

/** The step's map and its config with the `--set` options applied: a field of the oxi, else a universal one. */
function overridden(
  node: MapNode,
  oxi: ConfiguredOxi | undefined,
  overrides: readonly Override[],
  problems: Problems,
): { universal: MapNode; config: MapNode } {
  const given = node.entries.get('config')?.value;
  let universal = node;
  let config: MapNode = { kind: 'map', entries: new Map(), where: given?.where ?? node.where };
  if (given?.kind === 'map') config = given;
  else if (given !== undefined && !(given.kind === 'scalar' && given.value === null))
    problems.add(given.where, '"config" must be a map of fields');
  if (oxi === undefined) return { universal, config };
  const fields = configFields(oxi);
  for (const override of overrides) {
    const path = override.path[0] === 'config' && override.path.length > 1 ? override.path.slice(1) : override.path;
    const [name = ''] = path;
    const canonical =
      oxi.aliases !== undefined && Object.hasOwn(oxi.aliases, name) ? (oxi.aliases[name] ?? name) : name;
    if (fields.includes(canonical)) {
      const spellings = Object.entries(oxi.aliases ?? {}).flatMap(([alias, target]) =>
        target === canonical ? [alias] : [],
      );
      const old = spellings.find((alias) => config.entries.has(alias));
      const value = old === undefined ? undefined : config.entries.get(old);
      const bare = keep(config, (key) => !spellings.includes(key));
      const renamed =
        value === undefined || path.length === 1
          ? bare
          : { ...bare, entries: new Map([...bare.entries, [canonical, value]]) };
      config = applyOverride(renamed, oxi.config, [canonical, ...path.slice(1)], override, problems);
    } else if (name === 'threads') {
      config = applyOverride(config, threadsOnly, path, override, problems);
    } else if (UNIVERSAL.includes(name) && !['name', 'id', 'config'].includes(name)) {
      universal = applyOverride(universal, stepSchema, path, override, problems);
    } else {
      const known = [...fields, ...UNIVERSAL.filter((field) => !['name', 'id', 'config'].includes(field)), 'threads'];
      const near = didYouMean(name, known);
      problems.add(
        override.where,
        `${oxi.name} has no field "${name}"${near === '' ? `; it has: ${listNames(fields)}` : near}`,
      );
    }
  }
  return { universal, config };
}

function readThreads(config: MapNode, context: DecodeContext): number | undefined {
  const only = keep(config, (name) => name === 'threads');
  return decode(threadsOnly, only, context).value?.threads;
}

function configFields(oxi: ConfiguredOxi): string[] {
  const { def } = core(oxi.config)._zod;
  return def.type === 'object' ? Object.keys(def.shape) : [];
}

function keep(node: MapNode, wanted: (name: string) => boolean): MapNode {
  return { ...node, entries: new Map([...node.entries].filter(([name]) => wanted(name))) };
}

function checkReference({ step }: StepReference, self: string, earlier: readonly string[], all: readonly string[]) {
  if (earlier.includes(step)) return undefined;
  const name = `\${steps.${step}...}`;
  if (step === self) return { known: false, problem: `${name} refers to the step itself` };
  if (all.includes(step))
    return { known: false, problem: `${name} refers to a later step; only steps above this one can be used` };
  const near = didYouMean(step, earlier);
  return {
    known: false,
    problem: `there is no step "${step}" above this one${near === '' && earlier.length > 0 ? `; there are: ${listNames(earlier)}` : near}`,
  };
}

function lookUp({ step, path }: StepReference, steps: StepMetadata) {
  const metadata = steps.get(step);
  let value: Json | undefined = metadata;
  for (const name of path) {
    const inside: Json | undefined = value;
    if (typeof inside !== 'object' || inside === null || !Object.hasOwn(inside, name)) {
      const known = metadata === undefined ? '' : `; it has: ${listNames(Object.keys(metadata))}`;
      return { known: true, problem: `step "${step}" has no "${path.join('.')}"${known}; give a default with :-` };
    }
    value = Array.isArray(inside) ? inside[Number(name)] : inside[name];
  }
  return { known: true, value };
}
