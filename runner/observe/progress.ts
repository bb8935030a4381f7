/**
 * How far the run is, for people. On a terminal one live line, redrawn at most five times a second; elsewhere one plain line
 * every ten seconds at most, none for a run that is over by then.
 */
import { humanBytes, humanCount, humanDuration, humanRate, humanShare, shortCount } from './human.ts';
import { oneLine } from './safe-text.ts';
import type { Terminal } from './terminal.ts';
import type { EventListener, EventPayloads, RunEvent } from './types.ts';

const REDRAW_MS = 200;
const PLAIN_MS = 10_000;

export type Progress = EventPayloads['progress'];

export class ProgressLine implements EventListener {
  readonly #terminal: Terminal;
  readonly #now: () => number;
  readonly #label: string;
  readonly #write: ((line: string) => void) | undefined;
  readonly #below: ((metrics: EventPayloads['metrics'], width: number) => string[]) | undefined;
  #metrics: EventPayloads['metrics'] | undefined;
  #last: number;

  /**
   * `label`: what runs, in front of the line. `below`: lines under the live one, of the last metrics. Create it when the run
   * starts. `write`: takes plain lines in place of the terminal, which shows no live line then.
   */
  constructor(
    terminal: Terminal,
    options: {
      now: () => number;
      label: string;
      write?: ((line: string) => void) | undefined;
      below?: ((metrics: EventPayloads['metrics'], width: number) => string[]) | undefined;
    },
  ) {
    this.#terminal = terminal;
    this.#now = options.now;
    this.#label = oneLine(options.label);
    this.#below = options.below;
    this.#write = options.write;
    this.#last = this.#isLive ? Number.NEGATIVE_INFINITY : options.now();
  }

  onProgress(progress: Progress): void {
    const now = this.#now();
    if (now - this.#last < (this.#isLive ? REDRAW_MS : PLAIN_MS)) return;
    this.#last = now;
    if (this.#isLive) this.#draw(progress, this.#terminal.columns - 1);
    else this.#say(progressText(this.#label, progress, Number.POSITIVE_INFINITY));
  }

  #say(line: string): void {
    if (this.#write === undefined) this.#terminal.write(`${line}\n`);
    else this.#write(line);
  }

  get #isLive(): boolean {
    return this.#terminal.live && this.#write === undefined;
  }

  #draw(progress: Progress, width: number): void {
    const below = this.#metrics === undefined ? undefined : this.#below?.(this.#metrics, width);
    this.#terminal.draw([progressText(this.#label, progress, width), ...(below ?? [])].join('\n'));
  }

  onEvent(event: RunEvent): void {
    if (event.type === 'metrics') this.#metrics = event;
    if (event.type === 'run.finished') this.#terminal.draw('');
  }

  async close(): Promise<void> {
    this.#terminal.draw('');
  }
}

/** The line; where it does not fit into `width`, numbers are shortened, then its least important parts are left out. */
export function progressText(label: string, progress: Progress, width: number): string {
  const whole = lineOf(label, progress, MOST_PARTS, humanCount, humanRate);
  if (whole.length <= width) return whole;
  const short = (rate: number): string => (rate < 1000 ? humanRate(rate) : shortCount(rate));
  for (let most = MOST_PARTS; most > 0; most--) {
    const line = lineOf(label, progress, most, shortCount, short);
    if (line.length <= width) return line;
  }
  return lineOf(label, progress, 0, shortCount, short).slice(0, width);
}

const MOST_PARTS = 5;

function lineOf(
  label: string,
  progress: Progress,
  most: number,
  count: (count: number) => string,
  rate: (rate: number) => string,
): string {
  const { records, bytes, total_bytes: total, errors, rate_records_per_s, rate_bytes_per_s, eta_seconds } = progress;
  const share = total === undefined || total === 0 ? undefined : Math.min(1, bytes / total);
  const { busiest } = progress;
  /** What is told, and how soon it is left out: 0 never. */
  const parts: [string | undefined, number][] = [
    [label, 2],
    [share === undefined ? humanBytes(bytes) : humanShare(share), 0],
    [`${count(records)} ${records === 1 ? 'record' : 'records'}`, 4],
    [`${rate(rate_records_per_s)} records/s`, 1],
    [`${humanBytes(rate_bytes_per_s)}/s`, 3],
    [errors === 0 ? undefined : `${count(errors)} ${errors === 1 ? 'error' : 'errors'}`, 0],
    [eta_seconds === undefined ? undefined : `${humanDuration(eta_seconds * 1000)} left`, 1],
    [busiest === undefined ? undefined : `busiest: ${oneLine(busiest.step)}`, MOST_PARTS],
  ];
  return parts
    .filter(([text, rank]) => text !== undefined && rank <= most)
    .map(([text]) => text)
    .join('  ');
}
