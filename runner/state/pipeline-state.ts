/** The PipelineState of the specification, put together from the documents of a run, for people and `state show`. */
import { addCounters, type StepCounters } from '../engine/counters.ts';
import { type Checkpoint, parseRunDocument, parseSplitDocument, type RunDocument } from '../engine/documents.ts';
import type { LeaseStanding, Part, PartStanding, StateStore } from './store.ts';
import { WORKER_PREFIX } from './worker-part.ts';

export interface PipelineState {
  pipeline_id: string;
  run_key: string;
  run_id: string;
  attempt: number;
  status: RunDocument['status'];
  /** Where reading goes on: the split's name and the offset in bytes. Of a shared run: that of the newest checkpoint. */
  last_processed_id: string;
  /** The number of the last checkpoint; of a shared run the sum of its groups. */
  batch_number: number;
  records_processed: number;
  /** Records that ended as an error, whatever became of them. */
  records_failed: number;
  data_size_processed: number;
  /** The furthest step that records have reached. */
  current_step: string;
  step_states: { [stepId: string]: Partial<Checkpoint['counters'][string]> };
  worker_id: string;
  last_heartbeat: string;
  version: number;
  started_at: string;
  finished_at?: string;
  error?: { code: string; message: string };
  /** How many hold a lease of it. */
  workers_alive: number;
  /** Only of a run that several workers share. */
  groups?: GroupState[];
}

/** A split group of a shared run. */
export interface GroupState {
  group: number;
  /** Names of its splits. */
  splits: string[];
  done: boolean;
  /** Who works on it, has finished it, or failed with it last; empty where nobody did yet. */
  worker_id: string;
  /** null: nobody has claimed it. */
  lease: LeaseReport | null;
  checkpoint: number;
  records: number;
  bytes: number;
  error?: { code: string; message: string };
}

/** A lease as documents for machines tell it. */
export interface LeaseReport {
  worker_id: string;
  host: string;
  pid: number;
  over: boolean;
  proven_dead: boolean;
  remaining_ms: number;
}

export function leaseReport({ holder, over, provenDead, remainingMs }: LeaseStanding): LeaseReport {
  const { workerId, host, pid } = holder;
  return { worker_id: workerId, host, pid, over, proven_dead: provenDead, remaining_ms: Math.round(remainingMs) };
}

/** The state of a run, or undefined where there is none; throws STATE_CORRUPT. */
export async function readPipelineState(store: StateStore, runKey: string): Promise<PipelineState | undefined> {
  const stored = await store.read(runKey, 'run');
  if (stored === undefined) return undefined;
  const run = parseRunDocument(stored.body);
  const parts = await store.parts(runKey);
  const { groups, last, sum } = run.shared === undefined ? await plain(store, run) : await shared(store, run, parts);
  const ids = run.plan.steps.map((step) => step.id);
  const { counters } = sum;
  return {
    pipeline_id: run.pipeline,
    run_key: run.run_key,
    run_id: run.run_id,
    attempt: run.attempt,
    status: run.status,
    last_processed_id: last,
    batch_number: sum.n,
    records_processed: sum.records,
    records_failed: Object.values(counters).reduce((failed, c) => failed + c.failed + c.dead_lettered + c.dropped, 0),
    data_size_processed: sum.bytes,
    current_step: ids.findLast((id) => (counters[id]?.in ?? 0) > 0) ?? ids[0] ?? '',
    step_states: Object.fromEntries(ids.map((id) => [id, counters[id] ?? {}])),
    worker_id: run.worker_id,
    last_heartbeat: [stored.writtenAt, ...parts.map(({ writtenAt }) => writtenAt)].sort().at(-1) ?? stored.writtenAt,
    version: stored.version,
    started_at: run.started_at,
    ...(run.finished_at === undefined ? {} : { finished_at: run.finished_at }),
    ...(run.error === undefined ? {} : { error: run.error }),
    workers_alive: workersAlive(parts),
    ...(groups === undefined ? {} : { groups }),
  };
}

type Sum = Pick<Checkpoint, 'n' | 'records' | 'bytes'> & { counters: { [step: string]: StepCounters } };

interface Progress {
  sum: Sum;
  /** Where reading goes on. */
  last: string;
  groups?: GroupState[];
}

const NOTHING: Sum = { n: 0, records: 0, bytes: 0, counters: {} };

async function plain(store: StateStore, run: RunDocument): Promise<Progress> {
  const newest = await newestCheckpoint(store, run.run_key, 0, run.run_id);
  if (newest === undefined) return { sum: NOTHING, last: '' };
  return { sum: newest, last: placeOf(run.splits, newest) };
}

async function shared(store: StateStore, run: RunDocument, parts: readonly PartStanding[]): Promise<Progress> {
  const sum = { ...NOTHING, counters: {} };
  const groups: GroupState[] = [];
  let latest = { at: '', place: '' };
  for (const [group, { splits, done, failed }] of (run.shared?.groups ?? []).entries()) {
    const attempts = await groupRunId(store, run, group);
    const checkpoint = attempts === undefined ? undefined : await newestCheckpoint(store, run.run_key, group, attempts);
    const lease = leaseOf(parts, [`split-${group}`, `group-${group}`]);
    const held = lease?.over === false ? lease.holder.workerId : undefined;
    const { records, bytes } = done ?? checkpoint ?? NOTHING;
    groups.push({
      group,
      splits: splits.map(({ name }) => name),
      done: done !== undefined,
      worker_id: held ?? done?.worker_id ?? failed?.worker_id ?? lease?.holder.workerId ?? '',
      lease: lease === undefined ? null : leaseReport(lease),
      checkpoint: checkpoint?.n ?? 0,
      records,
      bytes,
      ...(failed === undefined || done !== undefined ? {} : { error: { code: failed.code, message: failed.message } }),
    });
    sum.n += checkpoint?.n ?? 0;
    sum.records += records;
    sum.bytes += bytes;
    addAll(sum.counters, checkpoint?.counters ?? {});
    if (checkpoint !== undefined && checkpoint.at > latest.at)
      latest = { at: checkpoint.at, place: placeOf(splits, checkpoint) };
  }
  return { sum, last: latest.place, groups };
}

/** By which id the attempts at a split group of this run go: its checkpoints belong to that. */
async function groupRunId(store: StateStore, run: RunDocument, group: number): Promise<string | undefined> {
  const stored = await store.read(run.run_key, `group-${group}`);
  const attempts = stored && parseRunDocument(stored.body);
  return attempts?.invocation === run.run_id ? attempts.run_id : undefined;
}

/** Of one group; those of another run count for nothing. */
async function newestCheckpoint(
  store: StateStore,
  runKey: string,
  group: number,
  runId: string,
): Promise<Checkpoint | undefined> {
  const stored = await store.read(runKey, `split-${group}`);
  if (stored === undefined) return undefined;
  const { run_id, checkpoint } = parseSplitDocument(stored.body);
  if (run_id !== undefined && run_id !== runId) return undefined;
  const { soft, hard } = checkpoint;
  return soft !== undefined && soft.n > (hard?.n ?? -1) ? soft : hard;
}

function leaseOf(parts: readonly PartStanding[], names: readonly Part[]): LeaseStanding | undefined {
  const leases = parts.flatMap(({ part, lease }) => (names.includes(part) && lease !== undefined ? [lease] : []));
  return leases.find(({ over }) => !over) ?? leases[0];
}

/** Workers of a shared run are registered; whoever works on one alone has its lease. */
function workersAlive(parts: readonly PartStanding[]): number {
  const alive = parts.filter(({ lease }) => lease?.over === false);
  const registered = alive.filter(({ part }) => part.startsWith(WORKER_PREFIX));
  return new Set((registered.length > 0 ? registered : alive).map(({ lease }) => lease?.holder.workerId)).size;
}

function addAll(into: { [step: string]: StepCounters }, more: { [step: string]: StepCounters }): void {
  for (const [step, counters] of Object.entries(more)) {
    const before = into[step];
    if (before === undefined) into[step] = { ...counters };
    else addCounters(before, counters);
  }
}

function placeOf(splits: RunDocument['splits'], { position: { split, offset } }: Checkpoint): string {
  return `${splits.find(({ index }) => index === split)?.name ?? `split ${split}`}@${offset}`;
}
