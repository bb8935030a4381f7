/**
 * What a new attempt does: begin, go on from a checkpoint, or nothing at all. A checkpoint belongs to its plan and its input;
 * where either has changed it is refused, never guessed at.
 */

import type { Holder } from '../state/store.ts';
import { chainOf, changedRange } from './checkpoint.ts';
import type { Source, Split, StreamInfo } from './contracts.ts';
import type { Checkpoint, RunDocument, SplitDocument } from './documents.ts';
import { OxiError } from './errors.ts';
import { hashOf, type Plan, type PlannedSource, plainText, type StepMetadata } from './plan.ts';

interface PlanHashes {
  steps: { id: string; hash: string }[];
  parameters_hash: string;
}

/** What is read, and how its records stand. */
export interface RecordedInput {
  source: PlannedSource;
  /** Which of the segment's sources it is. */
  index: number;
  splits: readonly Split[];
  stream: StreamInfo;
}

export interface Beginning {
  /** The unfinished run that this attempt goes on with; absent: a new run. */
  run: RunDocument | undefined;
  /** Index of the segment that it goes on with. */
  segment: number;
  /** The input of that segment, where it was recorded and is still the same. */
  input: RecordedInput | undefined;
  /** Where it goes on; absent: from the beginning of the segment. */
  from: Checkpoint | undefined;
  /** All of the segment is read and written: what is left is to publish. */
  finishing: boolean;
  hashes: PlanHashes;
  notices: string[];
}

export interface BeginningOptions {
  plan: Plan;
  params: ReadonlyMap<string, unknown>;
  env: ReadonlyMap<string, string>;
  redact(text: string): string;
  holder: Holder;
  fresh: boolean;
  acceptChanges: boolean;
}

/** Throws OxiError PLAN_CHANGED, INPUT_CHANGED, INPUT_MISSING where a checkpoint is there and can't be gone on from. */
export async function findBeginning(
  before: RunDocument | undefined,
  split: SplitDocument,
  o: BeginningOptions,
): Promise<Beginning> {
  const { plan } = o;
  const hashes = planHashes(o);
  const anew = (notices: string[]): Beginning => ({
    run: undefined,
    segment: 0,
    input: undefined,
    from: undefined,
    finishing: false,
    hashes,
    notices,
  });
  if (o.fresh || before === undefined || before.status === 'finished') return anew([]);
  const segment = before.segment ?? 0;
  const finishing = split.finishing === true;
  const once = onceSource(plan, segment, before.source ?? 0);
  if (once !== undefined && !finishing)
    return anew([`"${once}" can be read only once: the unfinished run starts over`]);
  const from = trustedCheckpoint(split.checkpoint, o.holder);
  if (from === undefined && segment === 0) {
    // Nothing was saved that a change could belie: an attempt that got nowhere binds nobody.
    const source = await unchangedSource(before, hashes, plan);
    if (source === undefined) return anew([]);
    const input = recordedInput(before, source);
    return { run: before, segment, input, from, finishing: false, hashes, notices: [] };
  }
  const changes = checkPlan(before, hashes, plan, o.acceptChanges);
  const notices = changes.length === 0 ? [] : [`going on with a changed plan: ${changes.join(', ')}`];
  if (from === undefined) return { run: before, segment, input: undefined, from, finishing: false, hashes, notices };
  const planned = await plan.segments[segment]?.plan(knownOf(before));
  const source = planned?.sources[before.source ?? 0];
  if (source === undefined) throw new Error(`the plan has no segment ${segment}`);
  if (!finishing) await checkInput(before, source.source, before.splits, from);
  return { run: before, segment, input: recordedInput(before, source), from, finishing, hashes, notices };
}

/** What the steps of finished segments have left, by id. */
export function knownOf(run: Pick<RunDocument, 'done'> | undefined): Map<string, StepMetadata> {
  return new Map((run?.done ?? []).flatMap(({ metadata }) => Object.entries(metadata)));
}

function recordedInput({ splits, stream, source: index = 0 }: RunDocument, source: PlannedSource): RecordedInput {
  return { source, index, splits, stream };
}

/** Id of the source that is being read, if it can be read only once. */
function onceSource(plan: Plan, segment: number, index: number): string | undefined {
  const source = plan.segments[segment]?.planned?.sources[index];
  return source?.source.kind === 'once' ? source.step.id : undefined;
}

/** Of every step, and of all that expressions read beside the records; secrets count as `***`. */
export function planHashes({ plan, params, env, redact }: BeginningOptions): PlanHashes {
  const read = new Set(plan.steps.flatMap(({ config }) => variablesIn(config)));
  const variables = [...read].sort().map((name) => [name, redact(env.get(name) ?? '')]);
  return {
    steps: plan.steps.map(({ id, hash }) => ({ id, hash })),
    parameters_hash: hashOf([[...params], variables]),
  };
}

/** Names of the variables that the texts of a config read as `env.NAME` or `env["NAME"]`. */
function variablesIn(config: unknown): string[] {
  const text = plainText(config);
  return [...text.matchAll(/\benv\s*(?:\.\s*([A-Za-z_]\w*)|\[\s*\\?["']([^"'\\]+)\\?["']\s*\])/g)].map(
    (match) => match[1] ?? match[2] ?? '',
  );
}

/** The source of a run that saved nothing, if plan and input are still what they were. */
async function unchangedSource(run: RunDocument, hashes: PlanHashes, plan: Plan): Promise<PlannedSource | undefined> {
  const source = plan.segments[0]?.planned?.sources[run.source ?? 0];
  if (source === undefined) return undefined;
  try {
    checkPlan(run, hashes, plan, false);
    await checkInput(run, source.source, run.splits, undefined);
    return source;
  } catch (error) {
    if (error instanceof OxiError) return undefined;
    throw error;
  }
}

/** The soft checkpoint counts on the boot that made it, elsewhere only the hard one does. */
function trustedCheckpoint(
  checkpoints: { hard?: Checkpoint | undefined; soft?: Checkpoint | undefined },
  here: Holder,
): Checkpoint | undefined {
  const { hard, soft } = checkpoints;
  if (soft === undefined || (hard !== undefined && hard.n >= soft.n)) return hard;
  return soft.boot_id === here.bootId && soft.host === here.host ? soft : hard;
}

/**
 * Throws OxiError PLAN_CHANGED unless the changes are accepted. Accepted can be a mended transform and other parameters: what
 * was counted, framed and laid out so far belongs to the steps as they were, so their order and number, the source, the parser,
 * what the framer selects, the formatters and the sinks have to stay.
 */
export function checkPlan(run: RunDocument, now: PlanHashes, plan: Plan, accept: boolean): string[] {
  const before = new Map(run.plan.steps.map(({ id, hash }) => [id, hash]));
  const free = new Set(plan.steps.filter((step) => step.kind === 'step' && step.byFramer !== true).map(({ id }) => id));
  const changes: string[] = [];
  let structural = false;
  for (const { id, hash } of now.steps) {
    const old = before.get(id);
    if (old === hash) continue;
    changes.push(old === undefined ? `step "${id}" is new` : `step "${id}" has changed`);
    structural ||= old === undefined || !free.has(id);
  }
  const ids = now.steps.map(({ id }) => id);
  for (const id of before.keys()) {
    if (ids.includes(id)) continue;
    changes.push(`step "${id}" is gone`);
    structural = true;
  }
  const moved = [...before.keys()].some((id, i) => ids[i] !== id);
  if (moved && !structural) changes.push('the steps stand in another order');
  structural ||= moved;
  if (run.plan.parameters_hash !== now.parameters_hash)
    changes.push('the parameters, or variables that expressions read, have changed');
  if (changes.length === 0 || (accept && !structural)) return changes;
  const ways = structural ? '--fresh starts over' : '--accept-changes goes on with the new plan, --fresh starts over';
  throw new OxiError(
    'PLAN_CHANGED',
    `run "${run.run_key}" is unfinished and the pipeline is not what it was: ${changes.join(', ')}. ${ways}`,
  );
}

/** Throws OxiError INPUT_CHANGED where a recorded split is not what it was, INPUT_MISSING where it is gone. */
async function checkInput(
  run: RunDocument,
  source: Source,
  splits: readonly Split[],
  checkpoint: Checkpoint | undefined,
): Promise<void> {
  const change = (name: string, what: string): OxiError =>
    new OxiError(
      'INPUT_CHANGED',
      `run "${run.run_key}" is unfinished and its input is not what it was: ${name} ${what}. --fresh starts over`,
      { place: { file: name } },
    );
  const recorded = await source.recorded(splits);
  recorded.forEach((now, i) => {
    const before = splits[i];
    if (before !== undefined && before.size !== now.size)
      throw change(before.name, `had ${before.size} bytes and has ${now.size}`);
  });
  const moved = await changedRange(source, splits);
  if (moved !== undefined) throw change(moved.name, `has other bytes before byte ${moved.range?.from}`);
  if (checkpoint === undefined || source.fingerprint === undefined) return;
  const { split, offset, fingerprint, finished } = checkpoint.position;
  if ((await chainOf(source, splits, 0, split, '')) !== finished)
    throw change('a file that was read to its end', 'has other bytes');
  const at = splits[split];
  if (at === undefined || fingerprint === '') return;
  if ((await source.fingerprint(at, offset)) !== fingerprint)
    throw change(at.name, `has other bytes before byte ${offset}`);
}
