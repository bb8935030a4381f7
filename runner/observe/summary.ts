/** The end of a run, for people: one line on how it went and a table with a line for each oxi. */
import { humanBytes, humanCount, humanDuration, humanRate, humanShare } from './human.ts';
import { errorCount } from './metrics.ts';
import { oneLine } from './safe-text.ts';
import { type Column, fits, tableLines } from './table.ts';
import type { EventPayloads } from './types.ts';

type Finished = EventPayloads['run.finished'];

/** A run that was over before has no bottleneck worth a line. */
const BOTTLENECK_FROM_MS = 1000;
/** Waits below this share of the time are nobody's concern. */
const NOTABLE = 0.1;

const STATUS: Record<Finished['status'], string> = {
  succeeded: 'done',
  failed: 'failed',
  interrupted: 'interrupted',
  cancelled: 'cancelled',
};

/**
 * Lines that each end in a line feed. Counts are over all attempts; the rate and the time share are of this attempt. Names
 * that are too long for `width` columns are cut, numbers never.
 */
export function summaryText(pipeline: string, finished: Finished, width: number): string {
  const { status, counters, durations, outputs, bottleneck } = finished;
  const read = humanCount(readBy(counters.steps));
  const errors = errorCount(counters.total);
  const facts = [
    `${read} read`,
    `${humanCount(counters.total.out)} written`,
    ...(errors === 0 ? [] : [`${humanCount(errors)} ${errors === 1 ? 'error' : 'errors'}`]),
    humanDuration(durations.attempt_ms),
  ];
  const lines = [`${oneLine(pipeline)}: ${STATUS[status]}, ${facts.join(', ')}`, ...table(finished, width)];
  for (const { step, path, table: name, rows, bytes } of outputs)
    lines.push(
      `${oneLine(path ?? name ?? step)}: ${humanCount(rows)} ${rows === 1 ? 'record' : 'records'}, ${humanBytes(bytes)}`,
    );
  if (bottleneck !== undefined && durations.attempt_ms >= BOTTLENECK_FROM_MS)
    lines.push(`bottleneck: ${oneLine(bottleneck.reason)}`);
  return lines.map((line) => `${line}\n`).join('');
}

type Row = Finished['counters']['steps'][number];

/** Columns that say nothing of any step are left out, and where its time went if there is no room for it. */
function table({ counters, durations }: Finished, width: number): string[] {
  const rows = counters.steps;
  if (rows.length === 0) return [];
  const allBusy = rows.reduce((sum, step) => sum + step.busy_ms, 0);
  const seconds = durations.attempt_ms / 1000;
  // What earlier attempts did is in the counts but took none of this attempt's time.
  const thisAttempt = counters.total.added > 0 ? counters.attempt.added / counters.total.added : 1;
  const arrived = ({ counters: c }: Row): number => (c.in > 0 ? c.in : c.added);
  const column = (head: string, cell: (row: Row, i: number) => string): Column => ({ head, cells: rows.map(cell) });
  const names = column('oxi', ({ step, oxi }) => oneLine(step === oxi ? step : `${step} (${oxi})`));
  const numbers = [
    column('in', (row) => humanCount(arrived(row))),
    column('out', (row) => humanCount(row.counters.out)),
    ...[
      column('filtered', ({ counters: c }) => zeroAsDash(c.filtered)),
      column('dropped', ({ counters: c }) => zeroAsDash(c.dropped)),
      column('failed', ({ counters: c }) => zeroAsDash(c.dead_lettered + c.failed)),
      // They are among those that left, too.
      column('passed on', ({ counters: c }) => zeroAsDash(c.passed_on_error)),
    ].filter(({ cells }) => cells.some((cell) => cell !== '-')),
    column('records/s', (row) => (seconds > 0 ? humanRate((arrived(row) * thisAttempt) / seconds) : '-')),
    // Found by samples, it is not exact.
    column('time', ({ busy_ms, sampled }) =>
      allBusy > 0 ? `${sampled === true ? '~' : ''}${humanShare(busy_ms / allBusy)}` : '-',
    ),
  ];
  const waits = column('waits for', (row, i) => waitOf(row, rows[i - 1], durations.attempt_ms));
  const isTold = waits.cells.some((cell) => cell !== '' && cell !== '-');
  const all = [...numbers, waits];
  return tableLines(names, isTold && fits(names, all, width) ? all : numbers, width);
}

/** What a step waited for most, if that is worth a word. Steps of one stage wait together, which is told with the first. */
function waitOf(row: Row, before: Row | undefined, attemptMs: number): string {
  const { wait_input_ms = 0, wait_room_ms = 0, wait_outside_ms = 0 } = row;
  const isSameStage =
    wait_input_ms + wait_room_ms > 0 &&
    row.wait_input_ms === before?.wait_input_ms &&
    row.wait_room_ms === before?.wait_room_ms;
  if (isSameStage) return '';
  const [what, ms] = (
    [
      ['input', wait_input_ms],
      ['room', wait_room_ms],
      ['output', wait_outside_ms],
    ] as const
  ).reduce((a, b) => (b[1] > a[1] ? b : a));
  const share = attemptMs > 0 ? Math.min(1, ms / attemptMs) : 0;
  return share < NOTABLE ? '-' : `${what} ${humanShare(share)}`;
}

function zeroAsDash(count: number): string {
  return count === 0 ? '-' : humanCount(count);
}

/** Records that the sources have read: nothing comes to them. */
function readBy(steps: readonly { counters: { in: number; added: number } }[]): number {
  return steps.reduce((sum, { counters }) => sum + (counters.in === 0 ? counters.added : 0), 0);
}
