/** What `state import` and `state restore` have in common: a file into the store, all of it or nothing. */
import { OxiError } from '../engine/errors.ts';
import type { PutPlan } from '../state/archive-store.ts';
import { asker, printJson, printRows, type StateOptions, say, withStore } from './state-store.ts';

export interface PutCommand extends StateOptions {
  replace?: boolean;
  dryRun?: boolean;
}

/** `only`: the store is to hold what the file holds, and no other run. */
export function putArchive(path: string, options: PutCommand, only: boolean): Promise<void> {
  return withStore(options, async (store, { root }) => {
    const [{ backUp, readArchive }, { planPut, putIn }] = await Promise.all([
      import('./archive-file.ts'),
      import('../state/archive-store.ts'),
    ]);
    const archive = await readArchive(path);
    if (only && archive.scope !== 'store')
      throw new OxiError(
        'COMMAND_INVALID',
        `${path} holds ${archive.runs.length === 1 ? 'one run' : 'some runs'} and not a whole store: oxiflow state import takes it`,
        { place: { file: path } },
      );
    const { replace = false, dryRun = false } = options;
    if (dryRun) {
      const plan = await planPut(store, archive, only);
      if (options.json === true) return printJson({ file: path, dry_run: true, ...plan, backup: null });
      return tell(plan, true);
    }
    let backup: string | null = null;
    const done = await putIn(store, archive, {
      replace,
      only,
      holder: await asker('import'),
      before: async () => {
        // What nobody can read may be why it is replaced.
        backup = (await backUp(store, root, { unchecked: true })).file;
        if (options.json !== true) say(`what was there is kept: ${backup}`);
      },
    });
    if (options.json === true) return printJson({ file: path, dry_run: false, ...done, backup });
    tell(done, false);
    if (done.history > 0) say(`${done.history} entries of the history are new`);
  });
}

function tell({ added, replaced, removed }: PutPlan, dryRun: boolean): void {
  const would = dryRun ? 'would be ' : '';
  printRows([
    ...added.map((key) => [`${would}added`, key]),
    ...replaced.map((key) => [`${would}replaced`, key]),
    ...removed.map((key) => [`${would}removed`, key]),
  ]);
  if (added.length + replaced.length + removed.length === 0) say('it holds no runs');
}
