/** What was measured of the state and of several workers, as Markdown, with what it should be. */
import { median, of, type Runs, ratio, ratios, table } from './report.ts';
import type { Beats } from './state-beats.ts';
import type { Commits, Series } from './state-commits.ts';
import { OFTEN } from './state-runs.ts';

export const PARTS = ['commits', 'checkpoints', 'workers', 'beats'] as const;
export type PartOfState = (typeof PARTS)[number];

/** What was measured now, and how much of it, in a sentence. */
export interface StateReport {
  head: [name: string, value: string][];
  commits?: { measured: Commits; how: string } | undefined;
  /** By backend: without, and with; the first is the base. */
  checkpoints?: { measured: Runs[][]; how: string } | undefined;
  workers?: { measured: { runs: Runs[]; differences: string[]; parts: number }; how: string } | undefined;
  beats?: { measured: Beats; how: string } | undefined;
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

/** `before`: the report of an earlier run, of which all stays that was not measured now. */
export function stateMarkdown(report: StateReport, before = ''): string {
  const earlier = before
    .trimEnd()
    .split(/\n\n(?=## )/)
    .slice(1);
  const sectionOf = (part: PartOfState): string[] => {
    const now = measured(report)[part];
    const text = now ?? earlier.find((one) => one.startsWith(`## ${TITLES[part]}`));
    return text === undefined ? [] : [text];
  };
  const head = [
    '# Benchmark of the state and of workers',
    'Written by `npm run bench -- --state`; with names of parts behind it (' +
      `${PARTS.join(', ')}), only these are measured, and the others stay. All sides of a ratio ran in turn, in one go; figures are medians, ` +
      'with the least and the most in brackets, and a ratio is taken within each round.',
    table(['', ''], report.head),
  ];
  return `${[...head, ...PARTS.flatMap(sectionOf)].join('\n\n')}\n`;
}

const TITLES: Record<PartOfState, string> = {
  commits: 'A commit on Redis',
  checkpoints: 'What soft checkpoints cost: W1 on two threads',
  workers: 'Two workers beside one: W5, one thread each',
  beats: 'Many workers on one Redis',
};

function measured({ commits, checkpoints, workers, beats }: StateReport): Partial<Record<PartOfState, string>> {
  const section = (part: PartOfState, ...texts: string[]): string => [`## ${TITLES[part]}`, ...texts].join('\n\n');
  return {
    ...(commits && { commits: section('commits', commits.how, commitsText(commits.measured)) }),
    ...(checkpoints && { checkpoints: section('checkpoints', checkpoints.how, checkpointsText(checkpoints.measured)) }),
    ...(workers && { workers: section('workers', workers.how, workersText(workers.measured)) }),
    ...(beats && { beats: section('beats', beats.how, beatsText(beats.measured)) }),
  };
}

function commitsText({ series: [set, json, entry, commit], bytes }: Commits): string {
  return [
    `A checkpoint of ${bytes} bytes through the store (compare-and-set, token, checksum; one commit in a tenth of the lease renews it), beside an awaited SET of ` +
      'the same bytes on a connection of the same kind; the server is on this machine. Wanted: at most 1.5 times the SET.',
    table(
      ['', 'microseconds', 'over the SET', 'over JSON and SET'],
      [
        [set.name, spread(set.micros, 1), '1', ''],
        [json.name, spread(json.micros, 1), over(json, set), '1'],
        [entry.name, spread(entry.micros, 1), over(entry, set), ''],
        [commit.name, spread(commit.micros, 1), over(commit, set), over(commit, json)],
      ],
    ),
  ].join('\n\n');
}

const COSTS = ['wall_s', 'cpu_s'] as const;

function checkpointsText(groups: readonly Runs[][]): string {
  return [
    'All take turns, in a build in which checkpoints can be moved: "off" has no checkpoint but the last. Wanted: at most 1.02 with ' +
      `the usual ones. The machine's own ups and downs are larger than that, so there are also runs with ${OFTEN} times as many: ` +
      `what they cost, divided by ${OFTEN}, is what the usual ones cost.`,
    table(
      ['', 'wall s', 'CPU s', 'wall over off', 'CPU over off', 'wall, usual', 'CPU, usual'],
      groups.flatMap(([off, usual, often]) =>
        off === undefined || usual === undefined || often === undefined
          ? []
          : [off, usual, often].map((one) => [
              one.name,
              of(one, 'wall_s').toFixed(2),
              of(one, 'cpu_s').toFixed(2),
              ...COSTS.map((field) => (one === off ? '1' : ratio(one, off, field, 3))),
              ...COSTS.map((field) =>
                one === often ? (1 + (median(ratios(one, off, field)) - 1) / OFTEN).toFixed(4) : '',
              ),
            ]),
      ),
    ),
  ].join('\n\n');
}

function workersText({ runs, differences, parts }: NonNullable<StateReport['workers']>['measured']): string {
  return [
    'W1, and a hash, a regular expression and two fields out of the address. State in SQLite. Wanted: at least 1.7 times as fast.',
    workersTable(runs),
    differences.length === 0
      ? `The merged file, the ${parts} part files one behind the other, and both halves, are byte for byte what one worker makes. ` +
        'What two runs that share nothing come to is what this machine lets two processes do side by side.'
      : differences.map((one) => `- **${one}**`).join('\n'),
  ].join('\n\n');
}

function beatsText(beats: Beats): string {
  const ms = (value: number): string => `${value.toFixed(1)} ms`;
  return [
    `${beats.workers} workers, each of which registers, holds a split and renews both every ${ms(beats.renewMs)}, looks for requests ` +
      `and listens, as the thread that keeps leases does. A lease lasts ${ms(beats.ttlMs)}. Wanted: none is ever over.`,
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
  ].join('\n\n');
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
