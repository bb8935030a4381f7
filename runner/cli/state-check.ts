/** `oxiflow state check`: reads everything that is saved, and tells what of it is damaged; exit code 74 where anything is. */
import type { Command } from 'commander';
import { EXIT } from '../engine/errors.ts';
import { quote } from '../state/faults.ts';
import { mustBeThere, printJson, printRows, type StateOptions, say, withStore } from './state-store.ts';

export function checkCommand(verb: Command): Command {
  return verb
    .summary('read everything and say what is damaged')
    .description('read everything that is saved and say what is damaged')
    .option('--run-key <key>', 'only this run')
    .action((options: StateOptions & { runKey?: string }) =>
      withStore(options, async (store) => {
        const { runKey } = options;
        const { checkUp } = await import('../state/checkup.ts');
        const found = await checkUp(store, runKey);
        const { runs, documents, history, damage } = found;
        if (runKey !== undefined && documents + damage.length === 0) await mustBeThere(store, runKey);
        if (damage.length > 0) process.exitCode = EXIT.corruptState;
        if (options.json === true) return printJson({ backend: store.backend, location: store.location, ...found });
        if (damage.length > 0)
          printRows([
            ['RUN KEY', 'PART', 'PLACE', 'DAMAGE'],
            ...damage.map(({ run_key, part, place, message }) => [run_key ?? '-', part ?? '-', place, message]),
          ]);
        const looked = `${runs} runs, ${documents} documents, ${history} entries of the history in ${store.location}`;
        if (damage.length === 0) return say(`all good: ${looked}`);
        const [first] = damage;
        const key = first?.run_key === null || first === undefined ? 'KEY' : quote(first.run_key);
        say(`${damage.length} damaged of ${looked}. Mend with: oxiflow state repair --run-key ${key}`);
      }),
    );
}
