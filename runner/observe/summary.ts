/** The end of a run, for people: one line on how it went and a table with a line for each oxi. */
import { humanBytes, humanCount, humanDuration, humanRate, humanShare } from './human.ts';
import { errorCount } from './metrics.ts';
import { oneLine } from './safe-text.ts';
import type { EventPayloads } from './types.ts';

type Finished = EventPayloads['run.finished'];

const HEAD = ['oxi', 'in', 'out', 'filtered', 'dropped', 'failed', 'records/s', 'time'];

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
  const { status, counters, durations, outputs } = finished;
  const read = humanCount(counters.steps[0]?.counters.added ?? 0);
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
  return lines.map((line) => `${line}\n`).join('');
}

function table({ counters, durations }: Finished, width: number): string[] {
  const allBusy = counters.steps.reduce((sum, step) => sum + step.busy_ms, 0);
  const seconds = durations.attempt_ms / 1000;
  // What earlier attempts did is in the counts but took none of this attempt's time.
  const thisAttempt = counters.total.added > 0 ? counters.attempt.added / counters.total.added : 1;
  const rows = counters.steps.map(({ step, oxi, busy_ms, counters: c }) => {
    const records = (c.in > 0 ? c.in : c.added) * thisAttempt;
    return [
      oneLine(step === oxi ? step : `${step} (${oxi})`),
      humanCount(c.in > 0 ? c.in : c.added),
      humanCount(c.out),
      zeroAsDash(c.filtered),
      zeroAsDash(c.dropped),
      zeroAsDash(c.dead_lettered + c.failed + c.passed_on_error),
      seconds > 0 ? humanRate(records / seconds) : '-',
      allBusy > 0 ? humanShare(busy_ms / allBusy) : '-',
    ];
  });
  if (rows.length === 0) return [];
  const widths = HEAD.map((head, column) => Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const numbers = widths.slice(1).reduce((sum, columns) => sum + columns + 2, 0);
  const nameWidth = Math.max(8, Math.min(widths[0] ?? 0, width - numbers - 2));
  return [HEAD, ...rows].map((row) => {
    const [name = '', ...cells] = row;
    const shown = name.length > nameWidth ? `${name.slice(0, nameWidth - 1)}…` : name.padEnd(nameWidth);
    return `  ${shown}${cells.map((cell, i) => `  ${cell.padStart(widths[i + 1] ?? 0)}`).join('')}`;
  });
}

function zeroAsDash(count: number): string {
  return count === 0 ? '-' : humanCount(count);
}
