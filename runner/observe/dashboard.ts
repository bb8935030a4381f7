/** `monitoring.real_time_dashboard`: below the progress line, what every step does at the moment and what holds the run back. */
import { humanRate, humanShare } from './human.ts';
import { oneLine } from './safe-text.ts';
import { tableLines } from './table.ts';
import type { EventPayloads } from './types.ts';

type Metrics = EventPayloads['metrics'];
type Step = Metrics['steps'][number];

/** Lines of the table and of the bottleneck, where there is one. */
export function dashboardLines({ steps, queues = [], bottleneck }: Metrics, width: number): string[] {
  const column = (head: string, cell: (step: Step) => string) => ({ head, cells: steps.map(cell) });
  const names = column('step', ({ step }) => oneLine(step));
  const cells = [
    column('records/s', (step) => humanRate(step.processing_rate_per_sec)),
    column('errors', ({ error_count }) => (error_count === 0 ? '-' : humanRate(error_count))),
    column('busy', ({ busy_percent = 0 }) => humanPercent(busy_percent)),
    column('cpu', ({ cpu_usage_percent }) => humanPercent(cpu_usage_percent)),
    column('waits for', waitOf),
    column('queue', ({ step }) => {
      const queue = queues.find(({ to }) => to === step);
      return queue === undefined ? '' : humanShare(queue.fill);
    }),
  ];
  const lines = tableLines(names, cells, width);
  return bottleneck === undefined ? lines : [...lines, ...wrap(`bottleneck: ${oneLine(bottleneck.reason)}`, width)];
}

/** Between words, as far as they fit. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width)
      lines.push(last === undefined ? word : `  ${word}`);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** More than 100 % is more than one thread. */
function humanPercent(percent: number): string {
  return percent > 100 ? `${Math.round(percent)} %` : humanShare(percent / 100);
}

function waitOf({ wait_input_percent = 0, wait_room_percent = 0, wait_outside_percent = 0 }: Step): string {
  const waits: [string, number][] = [
    ['input', wait_input_percent],
    ['room', wait_room_percent],
    ['output', wait_outside_percent],
  ];
  const [what, percent] = waits.reduce((a, b) => (b[1] > a[1] ? b : a));
  return percent < 1 ? '-' : `${what} ${humanShare(percent / 100)}`;
}
