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
  on?(event: 'error', listener: (error: Error) => void): unknown;
}

export interface TerminalEnv {
  readonly TERM?: string | undefined;
  readonly NO_COLOR?: string | undefined;
}

/** Used where a terminal does not say how wide it is. */
const USUAL_COLUMNS = 80;

const ERASE_LINE = '\r\u001b[2K';

export class Terminal implements TextOut {
  readonly #stream: TerminalStream;
  /** Lines can be redrawn in place. */
  readonly live: boolean;
  readonly colour: boolean;
  #liveLine = '';

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
    if (this.#liveLine === '') this.#stream.write(text);
    else this.#stream.write(`${ERASE_LINE}${text}${this.#liveLine}`);
  }

  /** Puts `text` in place of the live line; '' takes it away. Cut to the width, because a line that wraps can't be erased. */
  draw(text: string): void {
    if (!this.live) return;
    const line = safeText(text).slice(0, Math.max(0, this.columns - 1));
    if (line === this.#liveLine) return;
    this.#liveLine = line;
    this.#stream.write(`${ERASE_LINE}${line}`);
  }

  /** `text` in a colour, where colours are wanted. */
  paint(colour: 'red' | 'yellow' | 'dim', text: string): string {
    if (!this.colour) return text;
    const code = { red: 31, yellow: 33, dim: 2 }[colour];
    return `\u001b[${code}m${text}\u001b[0m`;
  }
}
