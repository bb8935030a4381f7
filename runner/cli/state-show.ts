/** `oxiflow state show [PIPELINE]`: how far a run got; of one that several workers share, each split group too. */
import type { Command } from 'commander';
import { OxiError } from '../engine/errors.ts';
import { humanDuration } from '../observe/human.ts';
import type { GroupState, PipelineState } from '../state/pipeline-state.ts';
import type { StateStore } from '../state/store.ts';
import { findRun, printJson, printRows, type StateOptions, withStore } from './state-store.ts';

export function showCommand(verb: Command): Command {
  return verb
    .description('show how far a run got')
    .argument('[pipeline]', 'show the newest run of this pipeline')
    .option('--run-key <key>', 'show this run')
    .action((pipeline: string | undefined, options: StateOptions & { runKey?: string }) =>
      withStore(options, async (store) => {
        const found = await findRun(store, options.runKey ?? (await newestRun(store, pipeline)));
        if (options.json === true) return printJson(found);
        printRows(describe(found));
        if (found.groups !== undefined) printRows(table(found.groups));
      }),
    );
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
  const { groups } = state;
  const steps = Object.entries(state.step_states).map(([id, { in: taken, out }]) => [
    `step ${id}`,
    taken === undefined ? 'nothing yet' : `${taken} in, ${out ?? 0} out`,
  ]);
  const checkpoint =
    groups === undefined
      ? `${state.batch_number} at ${state.last_processed_id}`
      : `${state.batch_number} in all, the newest at ${state.last_processed_id}`;
  return [
    ['pipeline', state.pipeline_id],
    ['run key', state.run_key],
    ['run', `${state.run_id}, attempt ${state.attempt}`],
    ['status', state.status],
    ...(state.error === undefined ? [] : [['error', `${state.error.code}: ${state.error.message}`]]),
    ['started', state.started_at],
    ...(state.finished_at === undefined ? [] : [['finished', state.finished_at]]),
    groups === undefined ? ['worker', state.worker_id] : ['workers', `${state.workers_alive} at work`],
    ...(groups === undefined
      ? []
      : [['groups', `${groups.filter(({ done }) => done).length} of ${groups.length} done`]]),
    ['last heartbeat', state.last_heartbeat],
    ['checkpoint', state.batch_number === 0 ? 'none' : checkpoint],
    ['records', `${state.records_processed} read, ${state.records_failed} failed`],
    ['bytes', String(state.data_size_processed)],
    ['current step', state.current_step],
    ...steps,
  ];
}

/** A line for each group. */
function table(groups: readonly GroupState[]): string[][] {
  return [
    ['GROUP', 'STATE', 'CHECKPOINT', 'RECORDS', 'WORKER', 'LEASE', 'SPLITS'],
    ...groups.map((group) => [
      String(group.group),
      stateOf(group),
      group.checkpoint === 0 ? '-' : String(group.checkpoint),
      String(group.records),
      group.worker_id === '' ? '-' : group.worker_id,
      group.lease === null ? '-' : group.lease.over ? 'over' : humanDuration(group.lease.remaining_ms),
      splitsText(group.splits),
    ]),
  ];
}

function stateOf({ done, lease, error, checkpoint }: GroupState): string {
  if (done) return 'done';
  if (lease?.over === false) return 'at work';
  if (error !== undefined) return `failed (${error.code})`;
  return checkpoint === 0 ? 'open' : 'begun';
}

function splitsText([first = '', ...more]: readonly string[]): string {
  return more.length === 0 ? first : `${first} and ${more.length} more`;
}
