/** The PipelineState of the specification, put together from the two documents of a run, for people and `state show`. */
import { type Checkpoint, parseRunDocument, parseSplitDocument, type RunDocument } from '../engine/documents.ts';
import type { StateStore } from './store.ts';

export interface PipelineState {
  pipeline_id: string;
  run_key: string;
  run_id: string;
  attempt: number;
  status: RunDocument['status'];
  /** Where reading goes on: the split's name and the offset in bytes. */
  last_processed_id: string;
  /** The number of the last checkpoint. */
  batch_number: number;
  records_processed: number;
  /** Records that ended as an error, whatever became of them. */
  records_failed: number;
  data_size_processed: number;
  /** The furthest step that records have reached. */
  current_step: string;
  step_states: { [stepId: string]: Partial<Checkpoint['counters'][string]> };
  worker_id: string;
  last_heartbeat: string;
  version: number;
  started_at: string;
  finished_at?: string;
  error?: { code: string; message: string };
}

/** The state of a run, or undefined where there is none; throws STATE_CORRUPT. */
export async function readPipelineState(store: StateStore, runKey: string): Promise<PipelineState | undefined> {
  const stored = await store.read(runKey, 'run');
  if (stored === undefined) return undefined;
  const run = parseRunDocument(stored.body);
  const position = await store.read(runKey, 'split-0');
  const { soft, hard } = position === undefined ? {} : parseSplitDocument(position.body).checkpoint;
  const last = soft !== undefined && soft.n > (hard?.n ?? -1) ? soft : hard;
  const ids = run.plan.steps.map((step) => step.id);
  const counters = last?.counters ?? {};
  return {
    pipeline_id: run.pipeline,
    run_key: run.run_key,
    run_id: run.run_id,
    attempt: run.attempt,
    status: run.status,
    last_processed_id: last === undefined ? '' : `${nameOf(run, last.position.split)}@${last.position.offset}`,
    batch_number: last?.n ?? 0,
    records_processed: last?.records ?? 0,
    records_failed: Object.values(counters).reduce((sum, c) => sum + c.failed + c.dead_lettered + c.dropped, 0),
    data_size_processed: last?.bytes ?? 0,
    current_step: ids.findLast((id) => (counters[id]?.in ?? 0) > 0) ?? ids[0] ?? '',
    step_states: Object.fromEntries(ids.map((id) => [id, counters[id] ?? {}])),
    worker_id: run.worker_id,
    last_heartbeat: [stored.writtenAt, position?.writtenAt ?? ''].sort().at(-1) ?? stored.writtenAt,
    version: stored.version,
    started_at: run.started_at,
    ...(run.finished_at === undefined ? {} : { finished_at: run.finished_at }),
    ...(run.error === undefined ? {} : { error: run.error }),
  };
}

function nameOf(run: RunDocument, split: number): string {
  return run.splits.find((one) => one.index === split)?.name ?? `split ${split}`;
}
