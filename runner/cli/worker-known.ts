/** What the verbs about workers have in common: how one is found by its id, and how it is told. */
import { OxiError } from '../engine/errors.ts';
import { type LeaseReport, leaseReport } from '../state/pipeline-state.ts';
import { type KnownWorker, listWorkers, type Registration, workerIdOf } from '../state/registration.ts';
import type { StateStore } from '../state/store.ts';
import { quoted } from './state-store.ts';

/** As documents for machines tell it: its registration, and how its lease stands. */
export type WorkerReport = Pick<Registration, 'worker_id' | 'run_key'> &
  Partial<Registration> & { alive: boolean; lease: LeaseReport | null; error?: string };

export function workerReport(known: KnownWorker): WorkerReport {
  const { runKey, registration, lease, alive, error } = known;
  return {
    worker_id: workerIdOf(known),
    run_key: runKey,
    ...registration,
    alive,
    lease: lease === undefined ? null : leaseReport(lease),
    ...(error === undefined ? {} : { error }),
  };
}

/** In a word: what it says of itself, or that it is gone. */
export function stateText({ alive, lease, state, error }: WorkerReport): string {
  if (error !== undefined) return 'damaged';
  if (alive) return state ?? 'starting';
  return lease?.proven_dead === true ? 'dead' : 'lost';
}

const MOST_NAMED = 8;

/** The worker with this id, or the only one whose id begins with it. Throws OxiError COMMAND_INVALID. */
export async function findWorker(store: StateStore, id: string, runKey?: string): Promise<KnownWorker> {
  const errors: OxiError[] = [];
  const all = await listWorkers(store, { runKey, damaged: (error) => void errors.push(error) });
  const exact = all.filter((one) => workerIdOf(one) === id);
  const found = exact.length > 0 ? exact : all.filter((one) => workerIdOf(one).startsWith(id));
  const [first, ...others] = found;
  if (first !== undefined && others.length === 0) return first;
  if (first !== undefined)
    throw new OxiError(
      'COMMAND_INVALID',
      `${quoted(id)} is more than one worker: ${named(found)}; ${exact.length > 1 ? 'say of which run with --run-key' : 'give more of its id'}`,
    );
  // It may be one of those that can't be known.
  if (errors[0] !== undefined) throw errors[0];
  const there = all.length === 0 ? 'no worker is registered' : `there are: ${named(all)}`;
  throw new OxiError('COMMAND_INVALID', `no worker ${quoted(id)} in ${store.location}: ${there}`);
}

function named(workers: readonly KnownWorker[]): string {
  const shown = workers.slice(0, MOST_NAMED).map((one) => `${quoted(workerIdOf(one))} of run ${quoted(one.runKey)}`);
  const more = workers.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
