/** `oxiflow cancel --run-key KEY`: asks whoever works on a run to save a checkpoint and end; the runner looks for it. */
import { hostname, userInfo } from 'node:os';
import { Command } from 'commander';
import { findRun, isAtWork, printJson, type StateOptions, withStateOptions, withStore } from './state-store.ts';

export function command(): Command {
  return withStateOptions(new Command('cancel'))
    .description('ask a run to save a checkpoint and end')
    .requiredOption('--run-key <key>', 'the run')
    .action((options: StateOptions & { runKey: string }) =>
      withStore(options, async (store) => {
        const { status } = await findRun(store, options.runKey);
        // A request for a run that nobody works on would end its next attempt.
        const requested = isAtWork(status);
        if (requested) {
          await store.request(options.runKey, { kind: 'cancel', at: new Date().toISOString(), from: whoAsks() });
        }
        if (options.json === true) printJson({ run_key: options.runKey, status, requested });
        else if (requested) process.stderr.write(`asked run "${options.runKey}" to end; it saves a checkpoint first\n`);
        else process.stderr.write(`run "${options.runKey}" is ${status}: nothing to cancel\n`);
      }),
    );
}

function whoAsks(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    // A container's user need not have a name.
    return hostname();
  }
}
