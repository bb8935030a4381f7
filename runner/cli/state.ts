/** `oxiflow state show|list|repair`: what is saved of runs, for people and scripts. */
import { stat } from 'node:fs/promises';
import { Command } from 'commander';
import { OxiError } from '../engine/errors.ts';
import { humanBytes } from '../observe/human.ts';
import type { PipelineState } from '../state/pipeline-state.ts';
import type { StateStore } from '../state/store.ts';
import { findRun, printJson, printRows, type StateOptions, withStateOptions, withStore } from './state-store.ts';

export function command(): Command {
  const state = new Command('state').description('show, list and repair the saved state of runs');
  withStateOptions(state.command('show'))
    .description('show how far a run got')
    .argument('[pipeline]', 'show the newest run of this pipeline')
    .option('--run-key <key>', 'show this run')
    .action((pipeline: string | undefined, options: StateOptions & { runKey?: string }) =>
      withStore(options, async (store) => {
        const found = await findRun(store, options.runKey ?? (await newestRun(store, pipeline)));
        if (options.json === true) printJson(found);
        else printRows(describe(found));
      }),
    );
  withStateOptions(state.command('list'))
    .description('list the runs that are saved, the newest first')
    .option('--active', 'only those that are not finished')
    .action((options: StateOptions & { active?: boolean }) =>
      withStore(options, (store) => list(store, options.active === true, options.json === true)),
    );
  withStateOptions(state.command('repair'))
    .description('set damaged state aside and go back to the last good version')
    .requiredOption('--run-key <key>', 'the run to repair')
    .action((options: StateOptions & { runKey: string }) =>
      withStore(options, (store) => repair(store, options.runKey, options.json === true)),
    );
  return state;
}

async function newestRun(store: StateStore, pipeline: string | undefined): Promise<string> {
  if (pipeline === undefined) {
    throw new OxiError('COMMAND_INVALID', 'state show: name a pipeline, or a run with --run-key');
  }
  const runs = await store.list();
  const found = runs.filter((entry) => entry.run?.body.pipeline === pipeline);
  if (found.length > 1) {
    process.stderr.write(`${pipeline} has ${found.length} saved runs, this is the newest; others: --run-key\n`);
  }
  // A damaged run has no readable pipeline; by default it is called like it, and asking for it says what is wrong.
  return found[0]?.runKey ?? pipeline;
}

function describe(state: PipelineState): string[][] {
  const steps = Object.entries(state.step_states).map(([id, { in: taken, out }]) => [
    `step ${id}`,
    taken === undefined ? 'nothing yet' : `${taken} in, ${out ?? 0} out`,
  ]);
  return [
    ['pipeline', state.pipeline_id],
    ['run key', state.run_key],
    ['run', `${state.run_id}, attempt ${state.attempt}`],
    ['status', state.status],
    ...(state.error === undefined ? [] : [['error', `${state.error.code}: ${state.error.message}`]]),
    ['started', state.started_at],
    ...(state.finished_at === undefined ? [] : [['finished', state.finished_at]]),
    ['worker', state.worker_id],
    ['last heartbeat', state.last_heartbeat],
    ['checkpoint', state.batch_number === 0 ? 'none' : `${state.batch_number} at ${state.last_processed_id}`],
    ['records', `${state.records_processed} read, ${state.records_failed} failed`],
    ['bytes', String(state.data_size_processed)],
    ['current step', state.current_step],
    ...steps,
  ];
}

async function list(store: StateStore, onlyActive: boolean, asJson: boolean): Promise<void> {
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  const runs = (await store.list())
    .map(({ runKey, run, error }) => ({
      run_key: runKey,
      pipeline: text(run?.body.pipeline),
      status: run === undefined ? 'corrupt' : text(run.body.status),
      written_at: run?.writtenAt ?? '',
      ...(error === undefined ? {} : { error }),
    }))
    .filter((run) => !onlyActive || run.status !== 'finished');
  if (asJson) return printJson({ backend: store.backend, location: store.location, runs });
  if (runs.length === 0) process.stderr.write(`no runs in ${store.location}\n`);
  else {
    printRows([
      ['RUN KEY', 'PIPELINE', 'STATUS', 'WRITTEN'],
      ...runs.map((run) => [run.run_key, run.pipeline, run.status, run.error ?? run.written_at]),
    ]);
  }
}

/** Looking through a large database keeps the whole process busy: whoever waits is told before. */
const LARGE_BYTES = 100e6;

async function announce({ location }: StateStore): Promise<void> {
  const size = (await stat(location).catch(() => undefined))?.size ?? 0;
  if (size > LARGE_BYTES) process.stderr.write(`looking through ${humanBytes(size)} of state, which takes a while\n`);
}

async function repair(store: StateStore, runKey: string, asJson: boolean): Promise<void> {
  await announce(store);
  const done = await store.repair(runKey);
  if (asJson) return printJson({ run_key: runKey, ...done });
  if (done.quarantined.length === 0) process.stderr.write(`nothing of run "${runKey}" is damaged\n`);
  printRows([
    ...done.quarantined.map((what) => ['set aside', what]),
    ...done.restored.map(({ part, version }) => ['restored', `${part}, now version ${version}`]),
  ]);
  if (done.quarantined.length > done.restored.length) {
    process.stderr.write('not everything could be restored: the next run starts from the last position that is left\n');
  }
}
