/** `oxiflow status --run-key KEY`: whether a run is at work, in a few lines. */
import { Command } from 'commander';
import {
  findRun,
  isAtWork,
  printJson,
  printRows,
  type StateOptions,
  withStateOptions,
  withStore,
} from './state-store.ts';

export function command(): Command {
  return withStateOptions(new Command('status'))
    .description('say where a run stands')
    .requiredOption('--run-key <key>', 'the run')
    .action((options: StateOptions & { runKey: string }) =>
      withStore(options, async (store) => {
        const state = await findRun(store, options.runKey);
        const asked = new Set((await store.requests(options.runKey)).map(({ kind }) => kind));
        const { groups } = state;
        const status = {
          run_key: state.run_key,
          pipeline: state.pipeline_id,
          run_id: state.run_id,
          attempt: state.attempt,
          status: state.status,
          // A request that a run has ended by stays in the store until the next attempt begins.
          cancel_requested: isAtWork(state.status) && asked.has('cancel'),
          // This one stands until `resume`, also for later attempts.
          pause_requested: state.status !== 'finished' && asked.has('pause'),
          worker_id: state.worker_id,
          workers_alive: state.workers_alive,
          ...(groups === undefined
            ? {}
            : { groups_done: groups.filter(({ done }) => done).length, groups_total: groups.length }),
          checkpoint: state.batch_number,
          records: state.records_processed,
          bytes: state.data_size_processed,
          last_heartbeat: state.last_heartbeat,
          ...(state.error === undefined ? {} : { error: state.error }),
        };
        if (options.json === true) return printJson(status);
        const { error, ...rest } = status;
        printRows([
          ...Object.entries(rest).map(([name, value]) => [name.replaceAll('_', ' '), String(value)]),
          ...(error === undefined ? [] : [['error', `${error.code}: ${error.message}`]]),
        ]);
      }),
    );
}
