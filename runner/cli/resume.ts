/** `oxiflow resume --run-key KEY`: takes a pause back; whoever waits goes on where it was. */
import { Command } from 'commander';
import { findRun, printJson, quoted, type StateOptions, say, withStateOptions, withStore } from './state-store.ts';

export function command(): Command {
  return withStateOptions(new Command('resume'))
    .description('let a run go on that was paused')
    .requiredOption('--run-key <key>', 'the run')
    .action((options: StateOptions & { runKey: string }) =>
      withStore(options, async (store) => {
        const { runKey } = options;
        const { status, workers_alive } = await findRun(store, runKey);
        const resumed = (await store.requests(runKey)).some(({ kind }) => kind === 'pause');
        if (resumed) await store.clearRequests(runKey, { kinds: ['pause'] });
        if (options.json === true) return printJson({ run_key: runKey, status, resumed });
        if (!resumed) return say(`run ${quoted(runKey)} is not paused: nothing to resume`);
        if (workers_alive > 0) say(`run ${quoted(runKey)} goes on`);
        else say(`run ${quoted(runKey)} is not paused any more; nobody works on it: oxiflow run starts an attempt`);
      }),
    );
}
