/**
 * From the steps of a pipeline to segments and their nodes: checks that each step gets the kind of stream it needs, fuses
 * neighbours, and says which threads run what. Reads nothing of the data; starts nothing.
 */
import * as z from 'zod/mini';
import { ChainBuilder, type ChainOptions } from './chain.ts';
import type { Oxi, SinkOxi } from './contracts.ts';
import { OxiError } from './errors.ts';
import { partName } from './part-name.ts';
import { type DeadLetterPlan, hashOf, type Plan, type Segment, type SegmentOutline, type StepInput } from './plan.ts';
import { type KeptPlace, Places } from './same-place.ts';
import { stepError } from './step-error.ts';

export interface PlanOptions extends Omit<ChainOptions, 'places' | 'referenced' | 'fields'> {
  steps: readonly StepInput[];
  /** File of dead letters, and how many it takes; absent where the pipeline says nothing. */
  deadLetter?: { path: string | undefined; maxRecords: number | undefined } | undefined;
  /** Where dead letters go that no path was given for. */
  deadLetterPath: string;
  /** What no step may write to. */
  kept?: readonly KeptPlace[] | undefined;
}

/** The id under which the dead letters stand among the sinks: no step can have it. */
export const DEAD_LETTERS = '.dead_letters';
const DEAD_LETTERS_MOST = 1_000_000;

/** Throws ConfigErrors, or OxiError UNSUPPORTED, CONFIG_INVALID, DELIVERY_IMPOSSIBLE, and what finding the input may throw. */
export async function makePlan(options: PlanOptions): Promise<Plan> {
  const places = new Places(options.kept);
  const deadLetters = planDeadLetters(options);
  const wrong = deadLetters === undefined ? undefined : places.claim('dead_letter', deadLetters.sink);
  if (wrong !== undefined)
    throw new OxiError('CONFIG_INVALID', `field "dead_letter": ${wrong}`, { place: { field: 'dead_letter' } });
  const all = flat(options.steps);
  const shared = { places, referenced: referencedIn(all), fields: fieldsIn(all) };
  const segments: SegmentOutline[] = [];
  const parts = segmentsOf(options.steps, options.oxis);
  if (parts.length === 0) throw new OxiError('CONFIG_INVALID', 'the pipeline has no steps');
  let skipped: string[] = [];
  for (const [i, steps] of parts.entries()) {
    const outline = await outlineOf(steps, { ...options, ...shared }, segments.length > 0, parts[i + 1]?.[0]);
    const { planned } = outline;
    if (planned !== undefined) planned.skipped = [...skipped, ...planned.skipped];
    skipped = planned !== undefined && isEmpty(planned) ? planned.skipped : [];
    if (planned === undefined || !isEmpty(planned)) segments.push(outline);
  }
  const [first] = options.steps;
  if (segments.length === 0 && first !== undefined)
    throw stepError(first, 'nothing is read: the condition of every source is false');
  // Nothing was planned behind the last one: what was skipped there is told with it.
  segments.at(-1)?.planned?.skipped.push(...skipped);
  return { segments, steps: segments.flatMap(({ steps }) => steps), deadLetters };
}

/** Every source of it was skipped, and with them all that stands behind. */
export function isEmpty({ sources }: Segment): boolean {
  return sources.length === 0;
}

/**
 * A source later in the list begins a segment, unless it stands straight behind one that may fail or be skipped, or may be skipped
 * itself: then one stands in for the other.
 */
export function segmentsOf(steps: readonly StepInput[], oxis: ReadonlyMap<string, Oxi>): StepInput[][] {
  const segments: StepInput[][] = [];
  let before: StepInput | undefined;
  for (const step of steps) {
    const isSource = oxis.get(step.oxi)?.kind === 'source';
    const other = before !== undefined && oxis.get(before.oxi)?.kind === 'source' ? before : undefined;
    const mayBeSkipped = other?.condition !== undefined || step.condition !== undefined;
    const standsIn = other !== undefined && (other.continueOnError || mayBeSkipped);
    const last = segments.at(-1);
    if (last === undefined || (isSource && !standsIn)) segments.push([step]);
    else last.push(step);
    before = step;
  }
  return segments;
}

async function outlineOf(
  steps: StepInput[],
  options: ChainOptions,
  later: boolean,
  next: StepInput | undefined,
): Promise<SegmentOutline> {
  const all = flat(steps);
  const waits = later && all.some((step) => step.references.length > 0 || conditionsOn(step).length > 0);
  const plan = async (known: Parameters<SegmentOutline['plan']>[0]): Promise<Segment> => {
    const builder = new ChainBuilder(options, known);
    for (const step of steps) await builder.add(step);
    return builder.finish(steps, next);
  };
  if (!waits) {
    const planned = await plan(new Map());
    return { steps: planned.steps, planned, plan: async () => planned };
  }
  const outlined = (chain: readonly StepInput[], from: string | undefined): SegmentOutline['steps'] => {
    let last = from;
    return chain.flatMap((step) => {
      const { id, oxi, raw: config } = step;
      const kind = options.oxis.get(oxi)?.kind;
      if (kind === undefined) throw stepError(step, `unknown oxi "${oxi}"`);
      const after = kind === 'source' ? undefined : last;
      last = id;
      return [{ id, oxi, kind, hash: rawHash(step), after, config }, ...outlined(step.steps ?? [], id)];
    });
  };
  const outline = outlined(steps, undefined);
  const hashes = new Map(outline.map(({ id, hash }) => [id, hash]));
  return {
    steps: outline,
    planned: undefined,
    plan: async (known) => {
      const segment = await plan(known);
      // The hash stays what it was before anything was known: it stands for the pipeline as it is written.
      for (const step of segment.steps) step.hash = hashes.get(step.id) ?? step.hash;
      return segment;
    },
  };
}

/** Ids of the steps whose metadata some config or condition reads. */
function referencedIn(steps: readonly StepInput[]): Set<string> {
  const ids = new Set(steps.flatMap(({ references }) => references.map(({ reference }) => reference.step)));
  for (const step of steps) for (const { id } of conditionsOn(step)) ids.add(id);
  return ids;
}

/** What a step says of itself: no fields of a record. */
const METADATA: ReadonlySet<string> = new Set([
  ...['records', 'bytes', 'filtered', 'dropped', 'dead_lettered', 'path', 'columns'],
  ...['filename', 'size', 'modified', 'format'],
]);

/** Names of fields by the id of the step whose only record has them. */
function fieldsIn(steps: readonly StepInput[]): Map<string, Set<string>> {
  const fields = new Map<string, Set<string>>();
  const add = (id: string, name: string | undefined): void => {
    if (name === undefined || METADATA.has(name)) return;
    fields.set(id, (fields.get(id) ?? new Set()).add(name));
  };
  for (const step of steps) {
    for (const { reference } of step.references) add(reference.step, reference.path[0]);
    for (const { id, field } of conditionsOn(step)) add(id, field);
  }
  return fields;
}

/** The steps that its condition reads, and of which field, as `steps.ID.FIELD` or `steps["ID"]["FIELD"]`. */
export function conditionsOn({ condition = '' }: StepInput): { id: string; field: string | undefined }[] {
  const found = condition.matchAll(
    /\bsteps\s*(?:\.\s*([A-Za-z_]\w*)|\[\s*["']([^"']+)["']\s*\])(?:\s*\.\s*([A-Za-z_]\w*)|\s*\[\s*["']([^"']+)["']\s*\])?/g,
  );
  return [...found].map((match) => ({ id: match[1] ?? match[2] ?? '', field: match[3] ?? match[4] }));
}

function rawHash({ oxi, onError, raw }: StepInput): string {
  return hashOf([oxi, onError, raw]);
}

function flat(steps: readonly StepInput[]): StepInput[] {
  return steps.flatMap((step) => [step, ...flat(step.steps ?? [])]);
}

/** The whole config of an oxi that only is given a path. */
function fileConfig(oxi: SinkOxi, path: string): unknown {
  return z.parse(oxi.config, { path });
}

/** The file of the dead letters, where a step sends records there. */
function planDeadLetters({
  steps,
  oxis,
  deadLetter,
  deadLetterPath,
  projectRoot,
  share,
}: PlanOptions): DeadLetterPlan | undefined {
  if (!flat(steps).some(({ onError }) => onError === 'dead_letter')) return undefined;
  const oxi = oxis.get('write_file');
  if (oxi?.kind !== 'sink') throw new Error('dead letters need write_file');
  const path = deadLetter?.path ?? deadLetterPath;
  return {
    sink: (oxi as SinkOxi).make(fileConfig(oxi, path) as never, { projectRoot, share, stepId: 'dead_letter' }),
    path: share === undefined ? path : partName(path, share),
    maxRecords: deadLetter?.maxRecords ?? DEAD_LETTERS_MOST,
  };
}
