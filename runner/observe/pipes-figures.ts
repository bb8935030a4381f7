/** What Dagster is shown of a run that has ended: the metadata of its outputs, and what it says of the checks that were asked for. */
import type { PipesMetadata } from './pipes-protocol.ts';
import type { EventCounters, EventPayloads, RunEvent } from './types.ts';

export type Finished = Extract<RunEvent, { type: 'run.finished' }>;
export type Output = EventPayloads['run.finished']['outputs'][number];
type Metadata = Map<string, PipesMetadata>;

const COUNTS = ['in', 'added', 'out', 'filtered', 'dropped', 'dead_lettered', 'failed'] as const;

export function materialized(event: Finished, outputs: readonly Output[]): Metadata {
  const { total } = event.counters;
  const seconds = event.durations.total_ms / 1000;
  const metadata: Metadata = new Map<string, PipesMetadata>([
    ['dagster/row_count', { type: 'int', value: outputs.reduce((sum, { rows }) => sum + rows, 0) }],
    ['oxiflow/records', { type: 'int', value: total.added }],
    ['oxiflow/bytes', { type: 'int', value: outputs.reduce((sum, { bytes }) => sum + bytes, 0) }],
    ['oxiflow/duration_seconds', { type: 'float', value: seconds }],
    // Of a run that took no time it is no number, and is left out.
    ['oxiflow/rate_records_per_s', { type: 'float', value: total.added / seconds }],
    ['oxiflow/checkpoints', { type: 'int', value: event.checkpoint }],
    ['oxiflow/filtered', { type: 'int', value: total.filtered }],
    ['oxiflow/dropped', { type: 'int', value: total.dropped }],
    ['oxiflow/dead_lettered', { type: 'int', value: total.dead_lettered }],
    ['oxiflow/errors', { type: 'int', value: badOf(total) }],
    ['oxiflow/run_key', { type: 'text', value: event.run_key }],
    ['oxiflow/run_id', { type: 'text', value: event.run_id }],
    ['oxiflow/attempt', { type: 'int', value: event.attempt }],
    ['oxiflow/oxis', oxis(event)],
  ]);
  if (event.bottleneck !== undefined)
    metadata.set('oxiflow/bottleneck', { type: 'text', value: event.bottleneck.reason });
  outputs.forEach(({ step, path, table }, i) => {
    const key = i === 0 ? 'oxiflow/output' : `oxiflow/output_${step}`;
    if (path !== undefined) metadata.set(key, { type: 'path', value: path });
    else if (table !== undefined) metadata.set(key, { type: 'text', value: table });
  });
  const columns = outputs.find((output) => output.columns !== undefined)?.columns;
  if (columns !== undefined)
    metadata.set('dagster/column_schema', {
      type: 'table_schema',
      columns: columns.map((name) => ({ name, type: 'string' })),
    });
  return metadata;
}

/** What each step did and cost. */
function oxis({ counters: { steps } }: Finished): PipesMetadata {
  return {
    type: 'table',
    records: steps.map(({ step, oxi, counters, busy_ms }) => ({
      step,
      oxi,
      ...Object.fromEntries(COUNTS.map((name) => [name, counters[name]])),
      busy_ms: Math.round(busy_ms * 10) / 10,
    })),
    columns: [
      { name: 'step', type: 'string' },
      { name: 'oxi', type: 'string' },
      ...COUNTS.map((name) => ({ name, type: 'int' })),
      { name: 'busy_ms', type: 'float' },
    ],
  };
}

export interface Verdict {
  passed: boolean;
  /** WARN: the run went on without the bad records. */
  severity: 'WARN' | 'ERROR';
  metadata: Metadata;
}

/** `of`: the id of a step that lets no bad record pass, or `dead_letters`. Undefined where the run came not so far as to know. */
export function verdictOf(event: Finished, of: string): Verdict | undefined {
  const { total, steps } = event.counters;
  const counters = of === 'dead_letters' ? total : steps.find(({ step }) => step === of)?.counters;
  if (counters === undefined) return undefined;
  const refused = of === 'dead_letters' ? counters.dead_lettered : badOf(counters);
  const stopped = of === 'dead_letters' ? event.error?.code === 'DEAD_LETTERS_FULL' : counters.failed > 0;
  const passed = refused === 0 && !stopped;
  // The rest of the records might have been bad.
  if (passed && event.status !== 'succeeded') return undefined;
  const checked = of === 'dead_letters' ? counters.added : counters.in;
  const metadata: Metadata = new Map<string, PipesMetadata>([
    ['oxiflow/checked', { type: 'int', value: checked }],
    ['oxiflow/refused', { type: 'int', value: refused }],
  ]);
  if (stopped && event.error !== undefined)
    metadata.set('oxiflow/reason', { type: 'text', value: event.error.message });
  return { passed, severity: stopped ? 'ERROR' : 'WARN', metadata };
}

function badOf({ dropped, dead_lettered, failed, passed_on_error }: EventCounters): number {
  return dropped + dead_lettered + failed + passed_on_error;
}
