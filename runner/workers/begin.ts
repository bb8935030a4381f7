/**
 * How a worker comes to a shared run: it begins one and cuts its work, or joins the one that is there. All of it happens under the
 * lease of the run's document, so that of many that come at once one begins and the others join.
 */
import { randomUUID } from 'node:crypto';
import type { Share, Split } from '../engine/contracts.ts';
import { crashpoint } from '../engine/crashpoint.ts';
import type { RunDocument } from '../engine/documents.ts';
import { clearEarlier, earlierOutputs, sweepParts } from '../engine/earlier.ts';
import { OxiError } from '../engine/errors.ts';
import { alsoFor, isFor } from '../engine/invocations.ts';
import type { Plan, Segment } from '../engine/plan.ts';
import { type BeginningOptions, checkPlan, planHashes, type RecordedInput } from '../engine/resume.ts';
import { inputOf } from '../engine/run-parts.ts';
import { refuseOverInput } from '../engine/same-place.ts';
import { checkSinks, type InputWaiting, openInput } from '../engine/segment-run.ts';
import { refuseLiving } from '../engine/shared-input.ts';
import { sayIfSlow } from '../engine/slow.ts';
import { listWorkers, workerIdOf } from '../state/registration.ts';
import type { Lease, RunRequest, StateStore } from '../state/store.ts';
import { cutInput } from './cut.ts';
import { SMALLEST_BYTES, taperedSizes } from './group-sizes.ts';
import type { Shared, SharedDocument, SharedRun, Stored } from './shared-run.ts';

/** What a worker comes for. */
export type Sharing =
  /**
   * As many split groups as it can get, until the whole run is done. `splits`: how many there are to be, at most. `onlyJoin`: somebody
   * else begins the run.
   */
  | { kind: 'join'; splits?: number | undefined; workers: number; onlyJoin?: boolean }
  /** Split group `index` of `of`. `sameHost`: all of them run on this one. */
  | { kind: 'shard'; index: number; of: number; sameHost?: boolean };

export interface BeginOptions extends BeginningOptions {
  store: StateStore;
  runKey: string;
  pipeline: string;
  projectRoot: string;
  invocation: string | undefined;
  sharing: Sharing;
  waiting: InputWaiting;
  /** Which requests this worker tells apart: those that are news to it; it is told where the others are nobody's any more. */
  requests: { isNews(request: RunRequest): boolean; forget(): void };
  /** The plan for one split group. */
  planFor(share: Share): Promise<Plan>;
  say(message: string): void;
  now(): Date;
}

export type Begun =
  | { kind: 'joined'; document: SharedDocument; notices: string[] }
  /** Nothing is left to do: it has finished, under this invocation or before this worker came. */
  | { kind: 'over'; document: SharedDocument };

/** Throws OxiError PLAN_CHANGED, COMMAND_INVALID, and what opening and cutting the input may throw; the reason of a stop while it waits. */
export async function beginShared(shared: SharedRun, o: BeginOptions): Promise<Begun> {
  const work = async (stored: Stored): Promise<Begun> => {
    const { document } = stored;
    const isOurs = document !== undefined && isFor(document, o.invocation);
    if (o.sharing.kind === 'join' && o.sharing.onlyJoin === true) mustBeThere(document, isOurs, o);
    if (document === undefined || (o.fresh && !isOurs)) return begin(shared, o, stored);
    if (document.status === 'finished') return finished(shared, o, stored, document);
    return join(shared, o, stored, document);
  };
  return shared.alone(work, { fresh: o.fresh, until: o.waiting.signal });
}

/** Whoever came to join a run that is gone must not begin another one. Throws OxiError LEASE_LOST. */
function mustBeThere(document: RunDocument | undefined, isOurs: boolean, { invocation, runKey }: BeginOptions): void {
  if (document !== undefined && (isOurs || invocation === undefined)) return;
  throw new OxiError(
    'LEASE_LOST',
    `run "${runKey}" that this worker was to join is gone, started over or finished long ago; it stops`,
  );
}

function finished(shared: SharedRun, o: BeginOptions, stored: Stored, document: RunDocument): Promise<Begun> | Begun {
  const { invocation, runKey, sharing } = o;
  if (invocation === undefined) {
    const [one, all] = sharing.kind === 'shard' ? ['a shard', 'shards'] : ['a worker that joins', 'workers'];
    throw new OxiError(
      'COMMAND_INVALID',
      `run "${runKey}" has finished, and ${one} can't know whether it is meant again: name the request with --invocation ID, the same for all ${all}`,
    );
  }
  if (!isFor(document, invocation)) return begin(shared, o, stored);
  if (document.shared === undefined)
    throw new OxiError('COMMAND_INVALID', `run "${runKey}" has finished under this invocation, by one worker`);
  return { kind: 'over', document: document as SharedDocument };
}

async function join(
  shared: SharedRun,
  o: BeginOptions,
  { version, lease }: Stored,
  document: RunDocument,
): Promise<Begun> {
  const { runKey, sharing } = o;
  if (document.shared === undefined)
    throw new OxiError(
      'PLAN_CHANGED',
      `run "${runKey}" is unfinished and was begun by one worker: go on without --join, --workers and --shard, or start over with --fresh`,
    );
  refuseOther(document.shared, sharing, runKey);
  const hashes = planHashes(o);
  const changes = checkPlan(document, hashes, o.plan, o.acceptChanges);
  const notices = changes.length === 0 ? [] : [`going on with a changed plan: ${changes.join(', ')}`];
  notices.push(...splitsNotice(document.shared, sharing));
  await forgetRequests(o);
  const { error: _, summary: __, ...rest } = document;
  const joined = {
    ...rest,
    ...alsoFor(document, o.invocation),
    attempt: document.attempt + 1,
    status: document.status === 'finishing' ? ('finishing' as const) : ('running' as const),
    plan: hashes,
    worker_id: o.holder.workerId,
  } as SharedDocument;
  await shared.save(joined, version, lease, 'hard');
  return { kind: 'joined', document: joined, notices };
}

function refuseOther({ shards }: Shared, sharing: Sharing, runKey: string): void {
  const asked = sharing.kind === 'shard' ? sharing.of : undefined;
  if (asked === shards) return;
  const was = shards === undefined ? 'workers that join' : `${shards} shards`;
  const ways = shards === undefined ? 'go on with --join' : `go on with --shard I/${shards}`;
  throw new OxiError(
    'PLAN_CHANGED',
    `run "${runKey}" is unfinished and was cut for ${was}: ${ways}, or --fresh starts over`,
  );
}

const MOST_NAMED = 5;

function besideNotice(left: readonly string[]): string[] {
  if (left.length === 0) return [];
  const more = left.length > MOST_NAMED ? ` and ${left.length - MOST_NAMED} more` : '';
  return [
    `${left.slice(0, MOST_NAMED).join(', ')}${more}: parts of another cut, which this run does not replace; who reads all parts would read them too, so move them away`,
  ];
}

/** The work is cut once, by whoever begins. */
function splitsNotice({ splits, groups }: Shared, sharing: Sharing): string[] {
  const asked = sharing.kind === 'join' ? sharing.splits : undefined;
  if (asked === undefined || asked === (splits ?? groups.length)) return [];
  return [`--splits ${asked} has no effect: the work of this run was cut into ${groups.length} when it began`];
}

async function begin(shared: SharedRun, o: BeginOptions, { lease, document }: Stored): Promise<Begun> {
  await refuseLiving(o);
  const notices: string[] = [];
  const [outline] = o.plan.segments;
  if (outline === undefined) throw new Error('a plan has a segment');
  const segment = await outline.plan(new Map());
  const input = await openInput(segment, o.projectRoot, notices, o.waiting);
  const { parser, select } = segment;
  const cutting = cutInput({ ...input, parser, select }, wishOf(o.sharing, input.splits), o.waiting.signal);
  const groups = await sayIfSlow(o.say, 'looking where the input can be cut', cutting);
  await checkOutputs(o, input, groups.length);
  await closeSources(segment);
  const { runKey, pipeline } = o;
  const earlier = await earlierOutputs(o.store, runKey, document);
  await clearAway(o, lease);
  const sinkRun = { runKey, runId: '', pipeline, token: lease.token, finishing: false };
  await sweepParts(segment, o.plan, (step) => ({ ...sinkRun, step }), document?.shared?.groups.length ?? 0);
  const left = await clearEarlier(segment, earlier.replaces ?? [], { of: groups.length, dry: true });
  notices.push(...besideNotice(left));
  await forgetRequests(o);
  const fresh: SharedDocument = {
    run_key: o.runKey,
    run_id: randomUUID(),
    pipeline: o.pipeline,
    attempt: 1,
    status: 'running',
    ...alsoFor(undefined, o.invocation),
    plan: planHashes(o),
    ...inputOf(0, input),
    started_at: o.now().toISOString(),
    worker_id: o.holder.workerId,
    ...earlier,
    shared: {
      ...(o.sharing.kind === 'shard' ? { shards: o.sharing.of } : {}),
      ...(o.sharing.kind === 'join' && o.sharing.splits !== undefined ? { splits: o.sharing.splits } : {}),
      groups: groups.map((splits) => ({ splits: [...splits] })),
    },
  };
  crashpoint('cut');
  // Whoever works on a split must find it in the table, whatever dies: the table is durable before anybody begins.
  await shared.save(fresh, 0, lease, 'hard');
  crashpoint('tabled');
  o.say(`the work is cut into ${groups.length} ${groups.length === 1 ? 'split' : 'splits'}`);
  return { kind: 'joined', document: fresh, notices };
}

/**
 * All documents of this key go, those of parts too whose run is lost: they speak of other splits than these. The tokens stay, so
 * that workers of an earlier run change nothing any more; and so does a pause.
 */
async function clearAway({ store, runKey }: BeginOptions, lease: Lease): Promise<void> {
  if (!(await store.parts(runKey)).some(({ version }) => version > 0)) return;
  const pauses = (await store.requests(runKey)).filter(({ kind }) => kind === 'pause');
  await store.remove(lease);
  for (const pause of pauses) await store.request(runKey, pause);
}

function wishOf(sharing: Sharing, splits: readonly Split[]): Parameters<typeof cutInput>[1] {
  if (sharing.kind === 'shard') return { groups: sharing.of, exactly: true, minBytes: 1 };
  if (sharing.splits !== undefined) return { groups: sharing.splits, minBytes: 1 };
  const bytes = splits.reduce((sum, { size = 0 }) => sum + size, 0);
  const sizes = taperedSizes(bytes, sharing.workers);
  return { groups: sizes.length, minBytes: SMALLEST_BYTES, sizes };
}

/** What every worker would find wrong with its outputs, found before any of them has made one: no part may replace an input. */
async function checkOutputs(o: BeginOptions, { source, splits }: RecordedInput, of: number): Promise<void> {
  const plan = await o.planFor({ index: 0, of });
  await checkSinks(plan);
  await refuseOverInput(plan, { index: 0, source, splits });
}

/** A request to workers that are gone must not end those that come, but what was asked since then does; a pause is for all of them. */
async function forgetRequests({ store, runKey, holder, requests }: BeginOptions): Promise<void> {
  const others = (await listWorkers(store, { runKey })).filter(
    (worker) => worker.alive && workerIdOf(worker) !== holder.workerId,
  );
  if (others.length > 0) return;
  requests.forget();
  const isCancel = (request: RunRequest): boolean => request.kind === 'cancel' && requests.isNews(request);
  const cancels = (await store.requests(runKey)).filter(isCancel);
  await store.clearRequests(runKey, { kinds: ['cancel', 'stop', 'rebalance'] });
  for (const cancel of cancels) await store.request(runKey, cancel);
}

async function closeSources({ sources }: Segment): Promise<void> {
  for (const { source } of sources) await source.close();
}

/** Split groups that this worker may be given: those of its shard, or all. */
export function mine({ shared }: SharedDocument, sharing: Sharing): number[] {
  const all = shared.groups.map((_, index) => index);
  return sharing.kind === 'shard' ? all.filter((index) => index === sharing.index) : all;
}
