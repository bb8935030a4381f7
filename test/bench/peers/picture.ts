/** The works as bars of MB/s, a drawing that can be read in light and dark. */
import { median, of, type Runs, ratios } from '../report.ts';
import { ALL_WORKLOADS, WORKLOAD_TEXT } from '../works.ts';
import { type Kept, type PeersRace, ROLES, type Role, runsOf } from './kept.ts';

const WIDTH = 860;
const NAMES_WIDTH = 150;
/** Behind the longest bar, for its figures. */
const FIGURES_WIDTH = 290;
const BAR = 16;
const ROW = 21;
const TITLE = 30;
const HEAD = 64;
const FOOT = 34;
const LEFT = 20;

/** The page behind the text is drawn too, since a viewer may know another theme than the page around the picture. */
const STYLE = `
    svg { font: 13px ui-sans-serif, system-ui, sans-serif; }
    .page { fill: #ffffff; } text { fill: #1f2328; } .quiet { fill: #59636e; }
    .bar { fill: #b3bcc6; } .own { fill: #c2410c; } .head { font-size: 17px; font-weight: 600; } .work { font-weight: 600; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; } text { fill: #e6edf3; } .quiet { fill: #9198a1; } .bar { fill: #4b5563; } .own { fill: #fb923c; }
    }
  `;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('`', '');

const LABELS: Record<Role, string> = {
  oxiflow: 'oxiflow, 2 threads',
  'one thread': 'oxiflow, 1 thread',
  DuckDB: 'DuckDB, ordered',
  Polars: 'Polars',
  'Node script': 'Node script',
};

interface Bar {
  role: Role;
  rate: number;
  figures: string;
}

function barOf(race: PeersRace, role: Role, runs: Runs, own: Runs): Bar {
  const rate = race.inputBytes / 1e6 / of(runs, 'wall_s');
  const peak = Math.round((of(runs, 'peak_kb') * 1024) / 1e6);
  const times = runs === own ? '' : `, oxiflow ${median(ratios(runs, own)).toFixed(1)} times as fast`;
  return { role, rate, figures: `${rate.toFixed(0)} MB/s, ${peak} MB${times}` };
}

function barsOf(race: PeersRace): Bar[] {
  const own = runsOf(race, 'oxiflow');
  return ROLES.flatMap((role) => {
    const runs = runsOf(race, role);
    return runs === undefined || own === undefined ? [] : [barOf(race, role, runs, own)];
  });
}

/** The document; the bars of all works are on one scale. */
export function picture(kept: Kept): string {
  const groups = ALL_WORKLOADS.flatMap((workload) => {
    const race = kept.races[workload];
    return race === undefined ? [] : [{ title: WORKLOAD_TEXT[workload], bars: barsOf(race) }];
  });
  const most = Math.max(...groups.flatMap(({ bars }) => bars.map(({ rate }) => rate)));
  const room = WIDTH - 2 * LEFT - NAMES_WIDTH - FIGURES_WIDTH;
  const text = (x: number, y: number, content: string, kind = ''): string =>
    `<text x="${x}" y="${y}"${kind === '' ? '' : ` class="${kind}"`}>${escaped(content)}</text>`;
  const lines: string[] = [
    text(LEFT, 30, 'MB of input per second: longer is faster', 'head'),
    text(
      LEFT,
      50,
      'Behind it the peak memory of the largest process; oxiflow keeps order and checks every record',
      'quiet',
    ),
  ];
  let y = HEAD;
  for (const { title, bars } of groups) {
    lines.push(text(LEFT, y + 18, title, 'work'));
    y += TITLE;
    for (const { role, rate, figures } of bars) {
      const width = Math.max(1, (room * rate) / most).toFixed(1);
      const bar = LEFT + NAMES_WIDTH;
      const kind = role === 'oxiflow' || role === 'one thread' ? 'own' : 'bar';
      lines.push(
        text(LEFT, y + 13, LABELS[role]),
        `<rect x="${bar}" y="${y}" width="${width}" height="${BAR}" rx="2" class="${kind}"/>`,
        text(Math.round(bar + Number(width) + 8), y + 13, figures, 'quiet'),
      );
      y += ROW;
    }
  }
  const height = y + FOOT;
  const ground = kept.ground.flatMap(([name, value]) => (name === 'processor' || name === 'versions' ? [value] : []));
  lines.push(text(LEFT, height - 12, [...kept.dates.slice(-1), ...ground].join(' · '), 'quiet'));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">
  <title>oxiflow beside DuckDB, Polars and a Node script</title>
  <style>${STYLE}</style>
  <rect class="page" width="100%" height="100%" rx="6"/>
  ${lines.join('\n  ')}
</svg>
`;
}
