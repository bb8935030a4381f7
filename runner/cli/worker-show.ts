/** `oxiflow worker show ID`: all that is known of one worker. */
import type { Command } from 'commander';
import { humanDuration } from '../observe/human.ts';
import { printJson, printRows, type StateOptions, withStore } from './state-store.ts';
import { findWorker, stateText, type WorkerReport, workerReport } from './worker-known.ts';

export function showCommand(verb: Command): Command {
  return verb
    .description('show all that is known of a worker')
    .argument('<worker>', 'its id, or how no other one begins')
    .option('--run-key <key>', 'look among those of this run')
    .action((id: string, options: StateOptions & { runKey?: string }) =>
      withStore(options, async (store) => {
        const worker = workerReport(await findWorker(store, id, options.runKey));
        if (options.json === true) printJson(worker);
        else printRows(describe(worker));
      }),
    );
}

function describe(worker: WorkerReport): string[][] {
  const { lease, splits } = worker;
  const rows: [string, string | number | undefined][] = [
    ['worker', worker.worker_id],
    ['run key', worker.run_key],
    ['pipeline', worker.pipeline],
    ['run', worker.run_id],
    ['state', stateText(worker)],
    ['process', worker.pid === undefined ? undefined : `${worker.pid} on ${worker.host ?? '?'}`],
    ['oxiflow', worker.version],
    ['threads', worker.capacity],
    ['started', worker.started_at],
    ['groups', splits === undefined ? undefined : splits.length === 0 ? 'none' : splits.join(', ')],
    ['groups done', worker.done],
    ['records', worker.records],
    ['bytes', worker.bytes],
    ['updated', worker.updated_at],
    ['lease', lease === null ? 'given back' : leaseText(lease)],
    ['error', worker.error],
  ];
  return rows.flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
}

function leaseText({ over, proven_dead, remaining_ms }: NonNullable<WorkerReport['lease']>): string {
  if (proven_dead) return 'over: its process is dead';
  return over ? 'over' : `${humanDuration(remaining_ms)} left`;
}
