/** The measured runs as Markdown: medians, and ratios of runs that stood side by side in the same round. */
import { WORKLOAD_TEXT, type Workload } from './works.ts';

/** What one run cost; see measure.py. */
export interface Cost {
  wall_s: number;
  cpu_s: number;
  peak_kb: number;
}

/** The runs of one contender, one a round. */
export interface Runs {
  name: string;
  costs: Cost[];
}

/** A work that several contenders did in turn, and how what they wrote differs. */
export interface Race {
  workload: Workload;
  inputBytes: number;
  records: number;
  runs: Runs[];
  differences: string[];
}

export interface Report {
  head: [name: string, value: string][];
  workloads: Race[];
  /** Peaks of `runners` (contenders of the workloads), and with a larger input, by their names, in kilobytes. */
  memory: {
    runners: string[];
    bytes: number;
    large: { bytes: number; peaks: ReadonlyMap<string, ReadonlyMap<Workload, number>> } | undefined;
  };
  /** The first is the base of the ratios. */
  observed: { runs: Runs[]; count: number };
  start: { runs: Runs[]; count: number };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export const of = (runs: Runs, field: keyof Cost): number => median(runs.costs.map((cost) => cost[field]));
export const megabytes = (kilobytes: number): string => String(Math.round((kilobytes * 1024) / 1e6));

/** Wall (or CPU) time of `runs` over that of `base`, round by round. */
export function ratios(runs: Runs, base: Runs, field: keyof Cost = 'wall_s'): number[] {
  return runs.costs.map((cost, round) => cost[field] / (base.costs[round]?.[field] ?? Number.NaN));
}

/** The same as text: "median (least-most)". */
export function ratio(runs: Runs, base: Runs, field: keyof Cost = 'wall_s', digits = 2): string {
  const all = ratios(runs, base, field);
  const show = (value: number): string => value.toFixed(digits);
  return `${show(median(all))} (${show(Math.min(...all))}-${show(Math.max(...all))})`;
}

export function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${head.map((_, i) => (i === 0 ? '---' : '---:')).join('|')}|`, ...rows.map(line)].join('\n');
}

function memoryTable({ memory, workloads }: Report): string {
  const { runners, bytes, large } = memory;
  const title = (runner: string, size: number): string => `${runner}: ${(size / 1e6).toFixed(0)} MB`;
  const rows = workloads.map(({ workload, runs }) => {
    const cells = runners.flatMap((runner) => {
      const peaks = runs.find(({ name }) => name === runner)?.costs.map(({ peak_kb }) => peak_kb) ?? [];
      const small = megabytes(Math.max(...peaks));
      return large === undefined ? [small] : [small, megabytes(large.peaks.get(runner)?.get(workload) ?? Number.NaN)];
    });
    return [workload.toUpperCase(), ...cells];
  });
  const sizes = large === undefined ? [bytes] : [bytes, large.bytes];
  return table(['', ...runners.flatMap((runner) => sizes.map((size) => title(runner, size)))], rows);
}

export function markdown(report: Report): string {
  const parts = [
    '# Benchmark',
    'Written by `npm run bench`. Each round runs every contender once, one after the other; figures are medians over the rounds, ' +
      'start-up included. A ratio is the wall time over that of oxiflow in the same round: median (least-most), above 1 means ' +
      'oxiflow was faster. CPU is user and system time; memory is the peak of the largest process.',
    table(['', ''], report.head),
  ];
  for (const { workload, inputBytes, records, runs, differences } of report.workloads) {
    const bases = runs.filter(({ name }) => name.startsWith('oxiflow'));
    const rows = runs.map((one) => [
      one.name,
      of(one, 'wall_s').toFixed(2),
      (inputBytes / 1e6 / of(one, 'wall_s')).toFixed(0),
      (records / 1e3 / of(one, 'wall_s')).toFixed(0),
      of(one, 'cpu_s').toFixed(2),
      megabytes(of(one, 'peak_kb')),
      ...bases.map((base) => (one === base ? '1' : ratio(one, base))),
    ]);
    const head = [
      '',
      'wall s',
      'MB/s',
      '1000 records/s',
      'CPU s',
      'peak MB',
      ...bases.map(({ name }) => `over ${name}`),
    ];
    parts.push(`## ${WORKLOAD_TEXT[workload]}`, table(head, rows));
    parts.push(
      differences.length === 0
        ? 'Every output was compared with that of oxiflow, byte for byte (DuckDB, and all of CSV: as parsed rows), and is the same.'
        : differences.map((one) => `- **${one}**`).join('\n'),
    );
  }
  parts.push('## Memory: largest peak in MB', memoryTable(report));
  const [base, ...variants] = report.observed.runs;
  if (base !== undefined) {
    const rows = [base, ...variants].map((one) => [
      one.name,
      of(one, 'wall_s').toFixed(2),
      of(one, 'cpu_s').toFixed(2),
      ...(['wall_s', 'cpu_s'] as const).map((field) => (one === base ? '1' : ratio(one, base, field, 3))),
    ]);
    parts.push(
      `## Metrics and checkpoints: W1 on two threads, value tier, ${report.observed.count} alternating runs`,
      'A build in which soft checkpoints can be moved; "neither" has them and all measurements but the last put off beyond the end. ' +
        'The usual settings measure every 10 seconds.',
      table(['', 'wall s', 'CPU s', `wall over ${base.name}`, `CPU over ${base.name}`], rows),
    );
  }
  const [empty, ...others] = report.start.runs;
  if (empty !== undefined && empty.costs.length > 0) {
    const rows = [empty, ...others].map((one) => [
      one.name,
      (of(one, 'wall_s') * 1000).toFixed(0),
      (of(one, 'cpu_s') * 1000).toFixed(0),
      megabytes(of(one, 'peak_kb')),
      one === empty ? '1' : ratio(one, empty),
    ]);
    parts.push(
      `## Start-up: ten records through W1, ${report.start.count} alternating runs`,
      table(['', 'wall ms', 'CPU ms', 'peak MB', `over ${empty.name}`], rows),
    );
  }
  return `${parts.join('\n\n')}\n`;
}
