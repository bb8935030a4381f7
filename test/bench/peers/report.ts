/** The runner beside its peers as Markdown, and what it should reach. */
import { median, megabytes, of, type Runs, ratio, ratios, table } from '../report.ts';
import { ALL_WORKLOADS, WORKLOAD_NAMES, WORKLOAD_TEXT, type Workload } from '../works.ts';
import { power } from './growth.ts';
import { type Kept, type PeersRace, ROLES, type Role, runsOf } from './kept.ts';
import { PLACE_TEXT, PLACES } from './profile.ts';

/** How many times the time of the runner on two threads a peer should take, at least; and the runner's peak, at most. */
const WANTED: Record<Workload, Partial<Record<Role, number>> & { peakMb: number }> = {
  w1: { DuckDB: 3.5, Polars: 7, 'Node script': 20, peakMb: 100 },
  w1js: { DuckDB: 2.5, Polars: 5, 'Node script': 14, peakMb: 125 },
  w2: { DuckDB: 4, Polars: 2.3, 'Node script': 8, peakMb: 110 },
  w3: { 'Node script': 20, peakMb: 100 },
  w4: { DuckDB: 3.5, 'Node script': 20, peakMb: 90 },
  w5: { 'one thread': 1.6, 'Node script': 12, peakMb: 120 },
};
/** Of the peak at the larger size over that at the usual one, and of start-up over `node -e 0`. */
const FLAT = 1.1;
const START = 2;
const POWER = [0.9, 1.1] as const;
const PEERS = ['DuckDB', 'Polars', 'Node script', 'one thread'] as const;

const peakMb = (runs: Runs): number => (Math.max(...runs.costs.map(({ peak_kb }) => peak_kb)) * 1024) / 1e6;

/** Sentences about what is not as it should be; collected while the tables are made. */
class Missed {
  readonly sentences: string[] = [];

  /** The text; bold, and with a sentence, where it is not reached. */
  mark(isReached: boolean, text: string, sentence: string): string {
    if (isReached) return text;
    this.sentences.push(`- ${sentence}`);
    return `**${text}**`;
  }
}

function ratioCell(race: PeersRace, role: (typeof PEERS)[number], missed: Missed): string {
  const own = runsOf(race, 'oxiflow');
  const peer = runsOf(race, role);
  const wanted = WANTED[race.workload][role];
  if (own === undefined || peer === undefined || wanted === undefined) return '';
  const value = median(ratios(peer, own));
  const sentence = `${WORKLOAD_NAMES[race.workload]}: ${value.toFixed(2)} times ${role}, not ${wanted}`;
  return missed.mark(value >= wanted, `${ratio(peer, own)}, wanted ${wanted}`, sentence);
}

function peakCell(race: PeersRace, missed: Missed): string {
  const own = runsOf(race, 'oxiflow');
  if (own === undefined) return '';
  const wanted = WANTED[race.workload].peakMb;
  const peak = peakMb(own);
  const name = WORKLOAD_NAMES[race.workload];
  const sentence = `${name}: a peak of ${peak.toFixed(0)} MB, not ${wanted}`;
  return missed.mark(peak <= wanted, `${peak.toFixed(0)}, wanted ${wanted}`, sentence);
}

/** The contenders of one work, the runner first. */
function raceTable(race: PeersRace): string {
  const own = runsOf(race, 'oxiflow');
  const rows = ROLES.flatMap((role) => {
    const runs = runsOf(race, role);
    if (runs === undefined || own === undefined) return [];
    const wall = of(runs, 'wall_s');
    const row = [
      runs.name,
      wall.toFixed(2),
      (race.inputBytes / 1e6 / wall).toFixed(0),
      (race.records / 1e3 / wall).toFixed(0),
      of(runs, 'cpu_s').toFixed(2),
      megabytes(of(runs, 'peak_kb')),
      ...(['wall_s', 'cpu_s'] as const).map((field) => (runs === own ? '1' : ratio(runs, own, field))),
    ];
    return [row];
  });
  const head = ['', 'wall s', 'MB/s', '1000 records/s', 'CPU s', 'peak MB', 'wall over oxiflow', 'CPU over oxiflow'];
  return table(head, rows);
}

/** How the outputs were compared, and what differs. */
function comparedText({ workload, differences, records, runs, roles }: PeersRace): string {
  if (differences.length > 0) return differences.map((one) => `- **${one}**`).join('\n');
  const own = workload === 'w2' ? 'as parsed rows in order (it keeps 12.50 as it is)' : 'byte for byte';
  const others = roles.includes('DuckDB') ? ', those of the others as parsed rows in order' : '';
  const digits =
    roles.includes('Polars') && workload !== 'w2' ? ' (of Polars, which divides inexactly, numbers to 15 digits)' : '';
  const rounds = runs[0]?.costs.length ?? 0;
  return `${rounds} rounds, ${records} records. All outputs are those of the Node script: of oxiflow ${own}${others}${digits}.`;
}

const raceParts = (race: PeersRace): string[] => [
  `### ${WORKLOAD_TEXT[race.workload]}`,
  raceTable(race),
  comparedText(race),
];

function largePart({ large, races, bytes }: Kept, missed: Missed): string[] {
  if (large === undefined) return [];
  const title = (size: number): string => `${(size / 1e6).toFixed(0)} MB`;
  const rows = ALL_WORKLOADS.flatMap((workload) => {
    const kilobytes = large.peaks[workload];
    const race = races[workload];
    const own = race && runsOf(race, 'oxiflow');
    if (kilobytes === undefined || own === undefined) return [];
    const [small, big] = [peakMb(own), (kilobytes * 1024) / 1e6];
    const times = big / small;
    const name = WORKLOAD_NAMES[workload];
    const sentence = `${name}: at ${title(large.bytes)} the peak is ${times.toFixed(2)} times that at ${title(bytes)}`;
    return [[name, small.toFixed(0), big.toFixed(0), missed.mark(times <= FLAT, times.toFixed(2), sentence)]];
  });
  return [
    `## Memory and the size of the input`,
    `The largest peak on two threads, in MB. Wanted: flat, at most ${FLAT} times.`,
    table(['', title(bytes), title(large.bytes), 'times'], rows),
  ];
}

function growthPart({ growth, start }: Kept, missed: Missed): string[] {
  const ten = start[1];
  if (growth.length === 0) return [];
  const rows = growth.flatMap((one) => {
    const name = WORKLOAD_NAMES[one.workload];
    const fields = (['wall_s', 'cpu_s'] as const).map((field) => {
      const value = power(one, ten === undefined ? 0 : of(ten, field), field);
      const sentence = `${name}: ${field === 'wall_s' ? 'wall' : 'CPU'} time grows with the power ${value.toFixed(3)} of the size`;
      return missed.mark(value >= POWER[0] && value <= POWER[1], value.toFixed(3), sentence);
    });
    const points = one.points.map(({ bytes, runs }) => [
      name,
      (bytes / 1e6).toFixed(0),
      of(runs, 'wall_s').toFixed(2),
      of(runs, 'cpu_s').toFixed(2),
      megabytes(of(runs, 'peak_kb')),
    ]);
    return [...points, [`${name}, fitted power`, '', ...fields, '']];
  });
  return [
    '## Cost and the size of the input',
    `Two threads. The power is the slope of the line through the logarithms of size and cost${ten === undefined ? '' : ', less the cost of ten records'}. ` +
      `Wanted: ${POWER.join(' to ')}.`,
    table(['', 'MB', 'wall s', 'CPU s', 'peak MB'], rows),
  ];
}

function profilePart({ profiles }: Kept): string[] {
  if (profiles.length === 0) return [];
  const order = (workload: Workload): number => ALL_WORKLOADS.indexOf(workload);
  const rows = profiles
    .toSorted((a, b) => order(a.workload) - order(b.workload))
    .map(({ workload, ms, functions }) => {
      const all = PLACES.reduce((sum, place) => sum + ms[place], 0);
      const share = (took: number): string => `${((100 * took) / all).toFixed(0)} %`;
      const most = functions.map(([name, took]) => `\`${name}\` ${share(took)}`).join(', ');
      return [WORKLOAD_NAMES[workload], ...PLACES.map((place) => share(ms[place])), most];
    });
  return [
    '## What holds them: where the time of all threads goes',
    "One run of each work on two threads under V8's profiler; a thread that waits does not count. The last column: the functions of " +
      "the runner's JavaScript that take most.",
    table(['', ...PLACES.map((place) => PLACE_TEXT[place]), 'functions'], rows),
  ];
}

function startPart({ start }: Kept, missed: Missed): string[] {
  const [empty, ten] = start;
  if (empty === undefined || ten === undefined) return [];
  const times = median(ratios(ten, empty));
  const sentence = `Start-up: ${times.toFixed(2)} times \`node -e 0\`, not ${START}`;
  const rows = [empty, ten].map((one) => [
    one.name,
    (of(one, 'wall_s') * 1000).toFixed(0),
    (of(one, 'cpu_s') * 1000).toFixed(0),
    megabytes(of(one, 'peak_kb')),
    one === empty ? '1' : missed.mark(times <= START, `${ratio(one, empty)}, wanted ${START}`, sentence),
  ]);
  return [
    `## Start-up: ten records through W1 again, ${ten.costs.length} alternating runs`,
    table(['', 'wall ms', 'CPU ms', 'peak MB', `over ${empty.name}`], rows),
  ];
}

export function peersMarkdown(kept: Kept): string {
  const races = ALL_WORKLOADS.flatMap((workload) => kept.races[workload] ?? []);
  const missed = new Missed();
  const summary = table(
    ['', ...PEERS.map((role) => `over ${role}`), 'peak MB, 2 threads'],
    races.map((race) => [
      WORKLOAD_NAMES[race.workload],
      ...PEERS.map((role) => ratioCell(race, role, missed)),
      peakCell(race, missed),
    ]),
  );
  const behind = [
    ...growthPart(kept, missed),
    ...largePart(kept, missed),
    ...startPart(kept, missed),
    ...profilePart(kept),
  ];
  const parts = [
    '# Against DuckDB, Polars and a Node script',
    'Written by `npm run bench -- --peers`. Each round runs every contender once, one after the other; figures are medians over ' +
      'the rounds, start-up included. A ratio is the wall time of a peer over that of oxiflow on two threads in the same round: ' +
      'median (least-most), above 1 means oxiflow was faster. Every record is checked. CPU is user and system time; memory is ' +
      'the peak of the largest process.',
    table(['', ''], [['date', kept.dates.join(', ')], ...kept.ground]),
    '## What it should show',
    summary,
    missed.sentences.length === 0
      ? 'All that was measured is as wanted.'
      : `Not as wanted:\n\n${missed.sentences.join('\n')}`,
    ...(races.length === 0 ? [] : ['## The works', ...races.flatMap(raceParts)]),
    ...behind,
  ];
  return `${parts.join('\n\n')}\n`;
}
