/** `oxiflow state export`: what is saved, as one JSON document on standard output or in a file. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { print } from './output.ts';
import { leftOut, mustBeThere, printJson, type StateOptions, say, withStore } from './state-store.ts';

export function exportCommand(verb: Command): Command {
  return verb
    .summary('write what is saved as one JSON document')
    .description('write what is saved as one JSON document, for import elsewhere')
    .option('--run-key <key>', 'only this run')
    .option('--output <file>', 'write it there (default: standard output)')
    .action((options: StateOptions & { runKey?: string; output?: string }) =>
      withStore(options, async (store) => {
        const { runKey, output } = options;
        const [{ archiveOf, writeArchive }, { archiveText }] = await Promise.all([
          import('./archive-file.ts'),
          import('../state/archive.ts'),
        ]);
        const archive = await archiveOf(store, { runKey, damaged: runKey === undefined ? leftOut : undefined });
        if (runKey !== undefined && archive.runs.length === 0) await mustBeThere(store, runKey);
        if (output === undefined) {
          for (const text of archiveText(archive)) await print(text);
          return;
        }
        const written = await writeArchive(archive, resolve(output));
        if (options.json === true) return printJson(written);
        say(`${written.runs} runs and ${written.history} entries of the history: ${written.file}`);
      }),
    );
}
