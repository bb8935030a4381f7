/** `oxiflow state backup`: the whole store in a file that `state restore` takes. */
import type { Command } from 'commander';
import { leftOut, printJson, type StateOptions, say, withStore } from './state-store.ts';

export function backupCommand(verb: Command): Command {
  return verb
    .summary('write everything that is saved into a file')
    .description('write everything that is saved into a file, for restore')
    .option('--output <file>', 'write it there (default: a new file in .oxiflow/backups)')
    .action((options: StateOptions & { output?: string }) =>
      withStore(options, async (store, { root }) => {
        const { backUp } = await import('./archive-file.ts');
        const written = await backUp(store, root, { output: options.output, damaged: leftOut });
        if (options.json === true) return printJson(written);
        say(`${written.runs} runs and ${written.history} entries of the history: ${written.file}`);
      }),
    );
}
