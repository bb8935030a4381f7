/** `oxiflow pause --run-key KEY`: asks all who work on a run to save a checkpoint and wait; it stands until `oxiflow resume`. */
import { Command } from 'commander';
import { quote } from '../state/faults.ts';
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
  return withStateOptions(new Command('pause'))
    .description('ask a run to save a checkpoint and wait until it is resumed')
    .requiredOption('--run-key <key>', 'the run')
    .action((options: StateOptions & { runKey: string }) =>
      withStore(options, async (store) => {
        const { runKey } = options;
        const { status } = await findRun(store, runKey);
        const earlier = (await store.requests(runKey)).find(({ kind }) => kind === 'pause');
        const requested = status !== 'finished' && earlier === undefined;
        if (requested) await store.request(runKey, { kind: 'pause', at: new Date().toISOString(), from: whoAsks() });
        if (options.json === true) return printJson({ run_key: runKey, status, requested });
        if (status === 'finished') return say(`run ${quoted(runKey)} is finished: nothing to pause`);
        const until = `until: oxiflow resume --run-key ${quote(runKey)}`;
        if (earlier !== undefined)
          return say(`run ${quoted(runKey)} was asked to pause at ${earlier.at} already, ${until}`);
        if (isAtWork(status))
          say(`asked run ${quoted(runKey)} to pause; it saves a checkpoint first, and waits ${until}`);
        else say(`run ${quoted(runKey)} is ${status}: its next attempt waits ${until}`);
      }),
    );
}
