/**
 * Where people read: stderr. One live line at the bottom of a terminal can be redrawn in place while ordinary lines go past
 * above it. A reader that went away is no reason to end a run: what can't be written is forgotten.
 */
import { safeText } from './safe-text.ts';

/** What is needed of a writable stream. */
export interface TextOut {
  write(text: string): unknown;
}

export interface TerminalStream extends TextOut {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  on?(event: 'error', listener: (error: Error) => void): unknown;
}

export interface TerminalEnv {
  readonly TERM?: string | undefined;
  readonly NO_COLOR?: string | undefined;
}

/** Used where a terminal does not say how wide it is. */
const USUAL_COLUMNS = 80;

const ERASE_LINE = '\r\u001b[2K';
const ERASE_BELOW = '\u001b[J';

export class Terminal implements TextOut {
  readonly #stream: TerminalStream;
  /** Lines can be redrawn in place. */
  readonly live: boolean;
  readonly colour: boolean;
  #live = '';

  constructor(stream: TerminalStream, env: TerminalEnv) {
    this.#stream = stream;
    this.live = stream.isTTY === true && env.TERM !== 'dumb';
    // https://no-color.org: present and not empty, whatever its value.
    this.colour = this.live && (env.NO_COLOR ?? '') === '';
    stream.on?.('error', () => {
      // Nobody reads any more (EPIPE), and there is nobody left to tell. Without a listener Node would end the run.
    });
  }

  get columns(): number {
    const columns = this.#stream.columns;
    return columns !== undefined && columns > 0 ? columns : USUAL_COLUMNS;
  }

  /** Whole lines, each with its line feed, above the live line. */
  write(text: string): void {
    if (this.#live === '') this.#stream.write(text);
    else this.#stream.write(`${this.#erase()}${text}${this.#live}`);
  }

  /**
   * Puts `text` in place of what is live, a line or several; '' takes it away. Cut to the size of the terminal, because what
   * wraps or scrolls away can't be erased.
   */
  draw(text: string): void {
    if (!this.live) return;
    const width = Math.max(0, this.columns - 1);
    const lines = safeText(text).split('\n').slice(0, this.#rows);
    const live = lines.map((line) => line.slice(0, width)).join('\n');
    if (live === this.#live) return;
    const erase = this.#erase();
    this.#live = live;
    this.#stream.write(`${erase}${live}`);
  }

  get #rows(): number {
    const { rows } = this.#stream;
    return rows !== undefined && rows > 1 ? rows - 1 : 1;
  }

  /** The cursor stands at the end of the last live line. */
  #erase(): string {
    const above = this.#live.split('\n').length - 1;
    return above === 0 ? ERASE_LINE : `\u001b[${above}A${ERASE_LINE}${ERASE_BELOW}`;
  }

  /** `text` in a colour, where colours are wanted. */
  paint(colour: 'red' | 'yellow' | 'dim', text: string): string {
    if (!this.colour) return text;
    const code = { red: 31, yellow: 33, dim: 2 }[colour];
    return `\u001b[${code}m${text}\u001b[0m`;
  }
}
