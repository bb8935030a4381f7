/** `oxiflow worker stop ID`: asks one worker to save a checkpoint, give its work back and end; the run goes on with the others. */
import type { Command } from 'commander';
import { printJson, quoted, type StateOptions, say, whoAsks, withStore } from './state-store.ts';
import { findWorker, stateText, workerReport } from './worker-known.ts';

export function stopCommand(verb: Command): Command {
  return verb
    .summary('ask a worker to end')
    .description('ask a worker to save a checkpoint, give its work back and end')
    .argument('<worker>', 'its id, or how no other one begins')
    .option('--run-key <key>', 'look among those of this run')
    .option('--force', 'at once, without a checkpoint')
    .action((id: string, options: StateOptions & { runKey?: string; force?: boolean }) =>
      withStore(options, async (store) => {
        const known = await findWorker(store, id, options.runKey);
        const worker = workerReport(known);
        const { worker_id, run_key, alive } = worker;
        const force = options.force === true;
        if (alive)
          await store.request(run_key, {
            kind: 'stop',
            worker: worker_id,
            ...(force ? { force } : {}),
            at: new Date().toISOString(),
            from: whoAsks(),
          });
        const state = stateText(worker);
        if (options.json === true) return printJson({ worker_id, run_key, state, requested: alive, force });
        if (!alive) return say(`worker ${quoted(worker_id)} is ${state}: nothing to stop`);
        const how = force
          ? 'to end at once; its work since its last checkpoint is done again by others'
          : 'to save a checkpoint and end';
        say(`asked worker ${quoted(worker_id)} of run ${quoted(run_key)} ${how}`);
      }),
    );
}
