import { describe, expect, it } from 'vitest';
import { ProgressLine, progressText } from '../../runner/observe/progress.ts';
import { Terminal } from '../../runner/observe/terminal.ts';
import { clock, eventOf, finished, Paper, progress } from './story.ts';

const ERASE = '\r\u001b[2K';

class Screen extends Paper {
  readonly isTTY = true;
  readonly columns: number;

  constructor(columns: number) {
    super();
    this.columns = columns;
  }
}

function onScreen(columns = 80, env = {}) {
  const screen = new Screen(columns);
  const terminal = new Terminal(screen, env);
  const time = clock();
  return { screen, terminal, time, line: new ProgressLine(terminal, { now: time.now, label: 'rides' }) };
}

describe('the progress line on a terminal', () => {
  const known = progress({ total_bytes: 100_000_000, eta_seconds: 17, errors: 3 });

  it('tells share, records, speed, errors and the time left', () => {
    const { screen, line } = onScreen(100);
    line.onProgress(known);
    expect(screen.text).toBe(
      `${ERASE}rides  42 %  1,200,000 records  98,765 records/s  3.46 MB/s  3 errors  17 s left`,
    );
  });

  it('tells bytes where the total is unknown, and nothing of errors where there are none', () => {
    expect(progressText('rides', progress(), 120)).toBe(
      'rides  42.0 MB  1,200,000 records  98,765 records/s  3.46 MB/s',
    );
  });

  it.each([
    [85, 'rides  42 %  1,200,000 records  98,765 records/s  3.46 MB/s  3 errors  17 s left'],
    [78, 'rides  42 %  1.20M records  98.8k records/s  3.46 MB/s  3 errors  17 s left'],
    [62, 'rides  42 %  98.8k records/s  3.46 MB/s  3 errors  17 s left'],
    [50, 'rides  42 %  98.8k records/s  3 errors  17 s left'],
    [45, '42 %  98.8k records/s  3 errors  17 s left'],
    [30, '42 %  3 errors'],
    [9, '42 %  3 e'],
  ])('fits into %d columns by leaving out what matters least', (width, text) => {
    expect(progressText('rides', known, width)).toBe(text);
  });

  it('names the busiest step where there is room for it', () => {
    const busy = { ...known, busiest: { step: 'map', busy_percent: 93 } };
    expect(progressText('rides', busy, 100)).toBe(
      'rides  42 %  1,200,000 records  98,765 records/s  3.46 MB/s  3 errors  17 s left  busiest: map',
    );
    expect(progressText('rides', busy, 90)).toBe(
      'rides  42 %  1.20M records  98.8k records/s  3.46 MB/s  3 errors  17 s left  busiest: map',
    );
    expect(progressText('rides', busy, 80)).not.toContain('busiest');
  });

  it('leaves the last column free, where a terminal would wrap', () => {
    for (const columns of [1, 10, 40, 80]) {
      const { screen, line } = onScreen(columns);
      line.onProgress(known);
      expect(screen.text.replace(ERASE, '').length).toBeLessThan(columns);
    }
  });

  it('is redrawn at most five times a second', () => {
    const { screen, line, time } = onScreen();
    for (let ms = 0; ms < 2000; ms += 10) {
      line.onProgress(progress({ records: ms }));
      time.forward(10);
    }
    expect(screen.text.split(ERASE)).toHaveLength(1 + 10);
  });

  it('is gone when the run ends', () => {
    const { screen, line } = onScreen();
    line.onProgress(known);
    line.onEvent(eventOf('run.finished', finished()));
    expect(screen.text.endsWith(ERASE)).toBe(true);
  });

  it('stays at the bottom when other lines are written', () => {
    const { screen, terminal } = onScreen();
    terminal.draw('rides  42 %');
    terminal.write('warning: a row was skipped\n');
    expect(screen.text).toBe(`${ERASE}rides  42 %${ERASE}warning: a row was skipped\nrides  42 %`);
  });

  it('is there with NO_COLOR too: that forbids colours only', () => {
    const { screen, line, terminal } = onScreen(80, { NO_COLOR: '1' });
    line.onProgress(known);
    expect(screen.text).toContain('42 %');
    expect(terminal.paint('red', 'error')).toBe('error');
    expect(onScreen().terminal.paint('red', 'error')).toBe('\u001b[31merror\u001b[0m');
  });
});

describe('progress elsewhere', () => {
  it('is a plain line every ten seconds at most, and none for a run shorter than that', () => {
    const paper = new Paper();
    const time = clock();
    const line = new ProgressLine(new Terminal(paper, {}), { now: time.now, label: 'rides' });
    for (let ms = 0; ms < 9_999; ms += 200) {
      line.onProgress(progress());
      time.forward(200);
    }
    expect(paper.text).toBe('');
    for (let ms = 0; ms < 20_000; ms += 200) {
      line.onProgress(progress());
      time.forward(200);
    }
    line.onEvent(eventOf('run.finished', finished()));
    expect(paper.lines).toEqual(Array(2).fill('rides  42.0 MB  1,200,000 records  98,765 records/s  3.46 MB/s'));
  });

  it('goes where plain lines are wanted, on a terminal too', () => {
    const screen = new Screen(80);
    const time = clock();
    const lines: string[] = [];
    const write = (line: string): void => void lines.push(line);
    const line = new ProgressLine(new Terminal(screen, {}), { now: time.now, label: 'rides', write });
    time.forward(10_000);
    line.onProgress(progress());
    expect(lines).toEqual(['rides  42.0 MB  1,200,000 records  98,765 records/s  3.46 MB/s']);
    expect(screen.text).toBe('');
  });

  it('has no control sequences in it, whatever the pipeline is called, nor on a dumb terminal', () => {
    const screen = new Screen(80);
    const time = clock();
    const terminal = new Terminal(screen, { TERM: 'dumb' });
    const line = new ProgressLine(terminal, { now: time.now, label: 'rides\u001b]0;owned\u0007\nx' });
    time.forward(10_000);
    line.onProgress(progress());
    expect(screen.lines).toHaveLength(1);
    expect(screen.text).toContain('rides\\x1b]0;owned\\x07 x  42.0 MB');
  });
});
