/** What was measured of the state and of several workers, as Markdown, with what it should be. */
import { median, of, type Runs, ratio, table } from './report.ts';
import type { Beats } from './state-beats.ts';
import type { Commits, Series } from './state-commits.ts';

export interface StateReport {
  head: [name: string, value: string][];
  commits: Commits;
  /** By backend: without, and with; the first is the base. */
  checkpoints: Runs[][];
  workers: { runs: Runs[]; differences: string[]; parts: number };
  beats: Beats;
}

const spread = (values: readonly number[], digits: number): string => {
  const show = (value: number): string => value.toFixed(digits);
  return `${show(median(values))} (${show(Math.min(...values))}-${show(Math.max(...values))})`;
};

function over(series: Series, base: Series): string {
  return spread(
    series.micros.map((value, round) => value / (base.micros[round] ?? Number.NaN)),
    2,
  );
}

export function stateMarkdown({ head, commits, checkpoints, workers, beats }: StateReport): string {
  const [set, json, commit] = commits.series;
  const ms = (value: number): string => `${value.toFixed(1)} ms`;
  const parts = [
    '# Benchmark of the state and of workers',
    'Written by `npm run bench -- --state`. All sides of a ratio ran in turn, in one go; figures are medians, with the least and ' +
      'the most in brackets, and a ratio is taken within each round.',
    table(['', ''], head),
    '## A commit on Redis',
    `A checkpoint of ${commits.bytes} bytes through the store (compare-and-set, token, renewal, two checksums), beside an awaited SET of ` +
      'the same bytes on a connection of the same kind; the server is on this machine. Wanted: at most 1.5 times the SET.',
    table(
      ['', 'microseconds', 'over the SET', 'over JSON and SET'],
      [
        [set.name, spread(set.micros, 1), '1', ''],
        [json.name, spread(json.micros, 1), over(json, set), '1'],
        [commit.name, spread(commit.micros, 1), over(commit, set), over(commit, json)],
      ],
    ),
    '## What soft checkpoints cost: W1 on two threads',
    `${checkpoints[0]?.[0]?.costs.length ?? 0} alternating pairs of a build in which checkpoints can be moved: "off" has no checkpoint but ` +
      'the last. Wanted: at most 1.02.',
    table(
      ['', 'wall s', 'CPU s', 'wall over off', 'CPU over off'],
      checkpoints.flatMap(([off, ...others]) =>
        off === undefined
          ? []
          : [off, ...others].map((one) => [
              one.name,
              of(one, 'wall_s').toFixed(2),
              of(one, 'cpu_s').toFixed(2),
              ...(['wall_s', 'cpu_s'] as const).map((field) => (one === off ? '1' : ratio(one, off, field, 3))),
            ]),
      ),
    ),
    '## Two workers beside one: W5, one thread each',
    'W1, and a hash, a regular expression and two fields out of the address. State in SQLite. Wanted: at least 1.7 times as fast.',
    workersTable(workers.runs),
    workers.differences.length === 0
      ? `The merged file, and the ${workers.parts} part files one behind the other, are byte for byte what one worker makes.`
      : workers.differences.map((one) => `- **${one}**`).join('\n'),
    `## ${beats.workers} workers on one Redis`,
    `Each registers, holds a split and renews both every ${ms(beats.renewMs)}, looks for requests and listens, as the thread that keeps ` +
      `leases does, for ${(beats.durationMs / 1000).toFixed(0)} seconds. A lease lasts ${ms(beats.ttlMs)}. Wanted: none is ever over.`,
    table(
      ['', ''],
      [
        ['leases over or lost', String(beats.missed + beats.lost)],
        ['looks at all of them, by the clock of the server', String(beats.looks)],
        ['least that was left of one', ms(beats.leastRemainingMs)],
        ['longest between two renewals of one', ms(beats.longestGapMs)],
        ['renewals of splits', String(beats.renewals)],
        ['a renewal, median', ms(beats.p50Ms)],
        ['a renewal, 99 of 100', ms(beats.p99Ms)],
        ['a renewal, longest', ms(beats.mostMs)],
        ['connections at most', String(beats.connections)],
      ],
    ),
  ];
  return `${parts.join('\n\n')}\n`;
}

function workersTable(runs: readonly Runs[]): string {
  const [one, ...others] = runs;
  if (one === undefined) return '';
  return table(
    ['', 'wall s', 'CPU s', 'times as fast as one'],
    [one, ...others].map((each) => [
      each.name,
      spread(
        each.costs.map(({ wall_s }) => wall_s),
        2,
      ),
      of(each, 'cpu_s').toFixed(2),
      each === one ? '1' : ratio(one, each),
    ]),
  );
}
