import { describe, expect, it } from 'vitest';
import { dashboardLines } from '../../runner/observe/dashboard.ts';
import { ProgressLine } from '../../runner/observe/progress.ts';
import { Terminal } from '../../runner/observe/terminal.ts';
import { clock, eventOf, finished, metrics, Paper, progress } from './story.ts';

/** A terminal that does what it is told: what stands on it at last, as lines. */
class Screen extends Paper {
  readonly isTTY = true;
  readonly columns: number;
  readonly rows: number;

  constructor(columns: number, rows: number) {
    super();
    this.columns = columns;
    this.rows = rows;
  }

  /** Throws on what it does not know, on a line that would wrap, and on a move beyond the first line. */
  shown(): string[] {
    const lines = [''];
    let at = 0;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's own language.
    for (const part of this.text.match(/\u001b\[\d*[A-Za-z]|\r|\n|[^\u001b\r\n]+/g) ?? []) {
      if (part === '\n') {
        at += 1;
        lines[at] ??= '';
      } else if (part === '\u001b[2K') lines[at] = '';
      else if (part === '\u001b[J') lines.length = at + 1;
      else if (part.endsWith('A') && part.startsWith('\u001b[')) {
        at -= Number(part.slice(2, -1));
        if (at < 0) throw new Error('above the screen');
      } else if (part.startsWith('\u001b')) throw new Error(`unknown: ${JSON.stringify(part)}`);
      else if (part !== '\r') {
        lines[at] += part;
        if ((lines[at] ?? '').length >= this.columns) throw new Error('a line that wraps');
      }
    }
    return lines;
  }
}

function onScreen(columns = 80, rows = 24) {
  const screen = new Screen(columns, rows);
  const terminal = new Terminal(screen, {});
  const time = clock();
  const line = new ProgressLine(terminal, { now: time.now, label: 'rides', below: dashboardLines });
  return { screen, terminal, time, line };
}

const LINE = 'rides  42.0 MB  1,200,000 records  98,765 records/s  3.46 MB/s';
const TABLE = [
  '  step        records/s  errors   busy   cpu   waits for  queue',
  '  read_file      15,000       -   15 %  13 %   room 80 %',
  '  long_rides     15,000       -  190 %  13 %           -  100 %',
  '  write_file     15,000       -   15 %  13 %  input 60 %    0 %',
  'bottleneck: step "long_rides" is busy 95 % of the time on 2 threads',
];

describe('the live table', () => {
  it('stands below the progress line once there are metrics, and goes away with it', () => {
    const { screen, line, time } = onScreen();
    line.onProgress(progress());
    expect(screen.shown()).toEqual([LINE]);
    line.onEvent(eventOf('metrics', metrics));
    time.forward(1000);
    line.onProgress(progress());
    expect(screen.shown()).toEqual([LINE, ...TABLE]);
    time.forward(1000);
    line.onProgress(progress({ records: 1_300_000 }));
    expect(screen.shown()).toEqual([LINE.replace('1,200', '1,300'), ...TABLE]);
    line.onEvent(eventOf('run.finished', finished()));
    expect(screen.shown()).toEqual(['']);
  });

  it('lets ordinary lines go past above it', () => {
    const { screen, terminal, line } = onScreen();
    terminal.write('going on from checkpoint 4\n');
    line.onEvent(eventOf('metrics', metrics));
    line.onProgress(progress());
    terminal.write('warning: a row was skipped\n');
    expect(screen.shown()).toEqual(['going on from checkpoint 4', 'warning: a row was skipped', LINE, ...TABLE]);
  });

  it('is cut to a small terminal: no line wraps, none scrolls away, and long sentences go on below', () => {
    const { screen, terminal, line } = onScreen(48, 7);
    line.onEvent(eventOf('metrics', metrics));
    line.onProgress(progress());
    terminal.write('done\n');
    const shown = screen.shown();
    expect(shown).toHaveLength(1 + 6);
    expect(shown[0]).toBe('done');
    expect(shown.at(-1)).toBe('bottleneck: step "long_rides" is busy 95 % of');
  });
});
