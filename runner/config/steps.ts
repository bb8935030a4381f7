/** The steps of a pipeline: universal fields, ids, and the config of each oxi by the oxi's own schema. */
import * as z from 'zod/mini';
import type { output } from 'zod/v4/core';
import { once } from '../engine/once.ts';
import type { Json } from '../state/store.ts';
import { type DecodeContext, type Decoded, decode } from './decode.ts';
import { didYouMean, listNames } from './nearest.ts';
import type { Override } from './overrides.ts';
import { type limitsSchema, stepSchema, threadsSchema } from './pipeline-schema.ts';
import { Problems, type Where } from './problems.ts';
import type { Scope, StepReference } from './references.ts';
import { type ConfiguredOxi, configFields, keep, overridden, universalFields } from './step-overrides.ts';
import { checkReference, lookUp, type StepMetadata } from './step-references.ts';
import { type MapNode, type Node, toJson } from './tree.ts';

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
  readonly limits: output<ReturnType<typeof limitsSchema>> | undefined;
  /** The steps of a second chain. */
  readonly steps?: readonly StepSpec[];
  /** Its config as it is written, references and all. */
  readonly raw: Json;
  readonly where: Where;
  /** `${steps...}` in its config: those steps have to be as far as the field needs before this one opens. */
  readonly references: readonly { readonly reference: StepReference; readonly where: Where; readonly field: string }[];
  /** The oxi's typed config. Throws ConfigErrors where what `steps` holds does not fit. */
  resolve(steps: StepMetadata): unknown;
  /** Place of a field of the config, or of what is around it. */
  locate(field: string): Where;
}

export type { ConfiguredOxi };

interface StepsInput {
  readonly context: DecodeContext;
  readonly oxis: ReadonlyMap<string, ConfiguredOxi>;
  readonly overrides: readonly Override[];
}

const identitySchema = once(() => z.object({ name: stepSchema().shape.name, id: stepSchema().shape.id }));

interface Named {
  readonly node: MapNode;
  readonly oxi: string | undefined;
  readonly id: string;
  readonly inner: readonly Named[];
}

/** A step before the ones without an id have got one. */
interface Found {
  readonly node: MapNode;
  readonly oxi: string | undefined;
  readonly id: string | undefined;
  readonly inner: readonly Found[];
}

const NO_ITEMS: readonly Node[] = [];

/** Reads the list under `pipeline:`. What is wrong goes to the context's problems. */
export function readSteps(list: Node | undefined, around: Where, input: StepsInput): StepSpec[] {
  const { context, oxis, overrides } = input;
  const { problems, about } = context;
  if (list === undefined || list.kind !== 'list' || list.items.length === 0) {
    problems.add(list?.where ?? around, '"pipeline" must be a list of steps, each with "- name:" of an oxi', about);
    return [];
  }
  const named = nameSteps(list.items, context, oxis);
  const ids = flat(named).map((step) => step.id);
  for (const override of overrides) {
    if (ids.includes(override.step)) continue;
    const near = didYouMean(override.step, ids);
    problems.add(override.where, `no step "${override.step}"${near === '' ? `; there are: ${listNames(ids)}` : near}`);
  }
  let index = 0;
  const readAll = (steps: readonly Named[]): StepSpec[] =>
    steps.flatMap((step) => {
      const about = { ...context.about, step: step.id };
      const place = index++;
      const oxi = knownOxi(step, oxis, { ...context, about });
      const mine = overrides.filter((override) => override.step === step.id);
      const spec = readStep(step, oxi, mine, { ...context, about }, ids.slice(0, place), ids);
      const inner = readAll(step.inner);
      if (spec === undefined) return [];
      return [{ ...spec, index: place, ...(oxi?.nested === undefined ? {} : { steps: inner }) }];
    });
  return readAll(named);
}

function knownOxi(
  { oxi: name, node }: Named,
  oxis: ReadonlyMap<string, ConfiguredOxi>,
  { problems, about }: DecodeContext,
): ConfiguredOxi | undefined {
  const oxi = name === undefined ? undefined : oxis.get(name);
  if (oxi !== undefined || name === undefined) return oxi;
  const near = didYouMean(name, oxis.keys());
  problems.add(
    node.entries.get('name')?.value.where ?? node.where,
    `unknown oxi "${name}"${near === '' ? `; there are: ${listNames([...oxis.keys()])}` : near}`,
    about,
  );
  return undefined;
}

function flat<T extends { readonly inner: readonly T[] }>(steps: readonly T[]): T[] {
  return steps.flatMap((step) => [step, ...flat(step.inner)]);
}

/** Ids: the explicit ones first, then the oxi's name for the others, numbered from the second one on; over all chains. */
function nameSteps(items: readonly Node[], context: DecodeContext, oxis: ReadonlyMap<string, ConfiguredOxi>): Named[] {
  const { problems, about } = context;
  const explicit = new Map<string, Where>();
  const find = (list: readonly Node[]): Found[] =>
    list.map((node, index) => {
      if (node.kind !== 'map') {
        problems.add(node.where, `step ${index + 1} must be a map that begins with "- name:"`, about);
        const nothing: MapNode = { kind: 'map', entries: new Map(), where: node.where };
        return { node: nothing, oxi: undefined, id: undefined, inner: [] };
      }
      const { value } = decode(
        identitySchema(),
        keep(node, (name) => name === 'name' || name === 'id'),
        { ...context, problems: new Problems() },
      );
      const first = value?.id === undefined ? undefined : explicit.get(value.id);
      if (value?.id !== undefined && first === undefined)
        explicit.set(value.id, node.entries.get('id')?.value.where ?? node.where);
      if (first !== undefined) {
        const where = node.entries.get('id')?.value.where ?? node.where;
        problems.add(
          where,
          `the id "${value?.id}" is given twice; the first one is in line ${first.line}; give one of them another`,
          about,
        );
      }
      const oxi = value?.name === undefined ? undefined : oxis.get(value.name);
      return { node, oxi: value?.name, id: value?.id, inner: find(innerItems(node, oxi)) };
    });
  const found = find(items);
  const taken = new Set(explicit.keys());
  let count = 0;
  const name = ({ node, oxi, id, inner }: Found): Named => {
    count++;
    if (id !== undefined) return { node, oxi, id, inner: inner.map(name) };
    const base = oxi ?? `step_${count}`;
    let free = base;
    for (let n = 2; taken.has(free); n += 1) free = `${base}_${n}`;
    taken.add(free);
    return { node, oxi, id: free, inner: inner.map(name) };
  };
  return found.map(name);
}

/** The list of steps inside a step; empty where it has none, or something else stands there, which its schema says. */
function innerItems(node: MapNode, oxi: ConfiguredOxi | undefined): readonly Node[] {
  if (oxi?.nested === undefined) return NO_ITEMS;
  const config = node.entries.get('config')?.value;
  const list = config?.kind === 'map' ? config.entries.get(oxi.nested)?.value : undefined;
  return list?.kind === 'list' ? list.items : NO_ITEMS;
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
      .filter((name) => !universalFields().includes(name))
      .map((name) => oxi?.aliases?.[name] ?? name),
  );
  const bare = keep(universal, (name) => name !== 'config');
  const { value } = decode(stepSchema(), bare, { ...context, hint });
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
  const { nested } = oxi;
  const list = nested === undefined ? undefined : config.entries.get(nested)?.value;
  // An unknown key in its place is told as such.
  const isMeant = list !== undefined || [...config.entries.keys()].every((name) => name === 'threads');
  if (nested !== undefined && isMeant && (list?.kind !== 'list' || list.items.length === 0))
    problems.add(
      list?.where ?? config.where,
      `"${nested}" must be a list of steps, each with "- name:" of an oxi`,
      about,
    );
  // Steps inside it are read on their own.
  const inner = keep(config, (name) => (hasThreads || name !== 'threads') && name !== nested);
  const read = (scope: Scope, into: Problems): Decoded<unknown> =>
    decode(oxi.config, inner, {
      ...context,
      problems: into,
      scope,
      freeKeys: false,
      elsewhere,
      aliases: oxi.aliases,
      hint: (name) => (universalFields().includes(name) ? '; it stands beside "config:", not in it' : undefined),
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
    raw: toJson(inner),
    where: step.node.where,
    references: first.steps,
    locate: (field) => universal.entries.get(field)?.value.where ?? first.locate(field),
    resolve: (steps) => {
      if (!first.deferred) return first.value;
      const late = new Problems();
      const resolved = read({ ...context.scope, step: (reference) => lookUp(reference, steps) }, late);
      late.throwIfAny();
      return resolved.value;
    },
  };
}

function readThreads(config: MapNode, context: DecodeContext): number | undefined {
  const only = keep(config, (name) => name === 'threads');
  return decode(threadsSchema(), only, context).value?.threads;
}
