/** `oxiflow state list`: the runs that are saved, the newest first. */
import { type Command, Option } from 'commander';
import type { StateStore } from '../state/store.ts';
import { printJson, printRows, type StateOptions, withStore } from './state-store.ts';

interface Options extends StateOptions {
  active?: boolean;
  failed?: boolean;
  completed?: boolean;
}

export function listCommand(verb: Command): Command {
  const only = (name: string, others: string[], text: string): Option =>
    new Option(`--${name}`, text).conflicts(others);
  return verb
    .description('list the runs that are saved, the newest first')
    .addOption(only('active', ['failed', 'completed'], 'only those that are not finished'))
    .addOption(only('failed', ['active', 'completed'], 'only those that have failed or are damaged'))
    .addOption(only('completed', ['active', 'failed'], 'only those that are finished'))
    .action((options: Options) => withStore(options, (store) => list(store, options)));
}

async function list(store: StateStore, options: Options): Promise<void> {
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  const runs = (await store.list())
    .map(({ runKey, run, error }) => ({
      run_key: runKey,
      pipeline: text(run?.body.pipeline),
      status: run === undefined ? 'corrupt' : text(run.body.status),
      written_at: run?.writtenAt ?? '',
      ...(error === undefined ? {} : { error }),
    }))
    .filter(({ status }) => isWanted(status, options));
  if (options.json === true) return printJson({ backend: store.backend, location: store.location, runs });
  if (runs.length > 0)
    return printRows([
      ['RUN KEY', 'PIPELINE', 'STATUS', 'WRITTEN'],
      ...runs.map((run) => [run.run_key, run.pipeline, run.status, run.error ?? run.written_at]),
    ]);
  const which = options.active ? 'unfinished ' : options.failed ? 'failed ' : options.completed ? 'finished ' : '';
  process.stderr.write(`no ${which}runs in ${store.location}\n`);
}

function isWanted(status: string, { active, failed, completed }: Options): boolean {
  if (active) return status !== 'finished';
  if (failed) return status === 'failed' || status === 'corrupt';
  return !completed || status === 'finished';
}
