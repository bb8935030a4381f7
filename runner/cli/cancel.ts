/** `oxiflow cancel --run-key KEY`: asks all who work on a run to save a checkpoint and end; the runner looks for it. */
import { Command } from 'commander';
import {
  findRun,
  isAtWork,
  printJson,
  quoted,
  type StateOptions,
  say,
  whoAsks,
  withStateOptions,
  withStore,
} from './state-store.ts';

export function command(): Command {
  return withStateOptions(new Command('cancel'))
    .description('ask a run to save a checkpoint and end')
    .requiredOption('--run-key <key>', 'the run')
    .action((options: StateOptions & { runKey: string }) =>
      withStore(options, async (store) => {
        const { runKey } = options;
        const { status } = await findRun(store, runKey);
        // A request for a run that nobody works on would end its next attempt.
        const requested = isAtWork(status);
        if (requested) await store.request(runKey, { kind: 'cancel', at: new Date().toISOString(), from: whoAsks() });
        if (options.json === true) printJson({ run_key: runKey, status, requested });
        else if (requested) say(`asked run ${quoted(runKey)} to end; it saves a checkpoint first`);
        else say(`run ${quoted(runKey)} is ${status}: nothing to cancel`);
      }),
    );
}
