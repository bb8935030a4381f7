/**
 * What the runner says on stderr: short lines for people, or JSON lines (pino) for machines. Secrets are redacted. The content
 * of a record has one place, the field `content`, which shows at level debug only and never reaches the event stream.
 */
import { type Redact, redactStrings } from './redaction.ts';
import { safeText } from './safe-text.ts';
import type { TextOut } from './terminal.ts';
import type { EventSink } from './types.ts';

type LogLevel = 'debug' | 'info' | 'warn' | 'error';

const RANK: Record<LogLevel, number> = { debug: 20, info: 30, warn: 40, error: 50 };

/** Longest part of a record that is shown. */
const MAX_CONTENT = 200;

/** Facts beside the message. */
interface LogFields {
  step?: string;
  /** A piece of a record, for debugging. */
  content?: string;
  [name: string]: string | number | boolean | undefined;
}

export interface LogOptions {
  format: 'text' | 'json';
  /** The least that is written. */
  level: LogLevel;
  stream: TextOut;
  redact: Redact;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Put the time before text lines: where no terminal shows when they came. */
  timestamps?: boolean;
  /** Colours the word before a warning or an error. */
  paint?: (colour: 'red' | 'yellow' | 'dim', text: string) => string;
}

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Lines from here on are `log` events too, info and above (and debug where the level is debug). */
  attach(sink: EventSink): void;
}

type WriteLine = (level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>) => void;

/** Asynchronous because JSON lines need pino, which takes 25 ms to load and is loaded for them only. */
export async function createLog(options: LogOptions): Promise<Log> {
  const write = options.format === 'json' ? await jsonLines(options) : textLines(options);
  let sink: EventSink | undefined;
  const speak = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    const shown = RANK[level] >= RANK[options.level];
    const { content, ...rest } = fields;
    if (shown) {
      const all = content !== undefined && options.level === 'debug' ? { ...rest, content: clip(content) } : rest;
      write(level, options.redact(message), redactStrings(all, options.redact));
    }
    const heard = RANK[level] >= Math.min(RANK.info, RANK[options.level]);
    if (heard) sink?.emit('log', { level, message, ...(fields.step === undefined ? {} : { step: fields.step }) });
  };
  return {
    debug: (message, fields) => speak('debug', message, fields),
    info: (message, fields) => speak('info', message, fields),
    warn: (message, fields) => speak('warn', message, fields),
    error: (message, fields) => speak('error', message, fields),
    attach: (to) => {
      sink = to;
    },
  };
}

function clip(content: string): string {
  return content.length <= MAX_CONTENT ? content : `${content.slice(0, MAX_CONTENT)}…`;
}

function textLines({ stream, now, timestamps = false, paint = (_, text) => text }: LogOptions): WriteLine {
  const words: Record<LogLevel, string> = {
    debug: paint('dim', 'debug: '),
    info: '',
    warn: paint('yellow', 'warning: '),
    error: paint('red', 'error: '),
  };
  return (level, message, fields) => {
    const time = timestamps ? `${new Date(now()).toISOString().slice(0, 19)}Z ` : '';
    const facts = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => ` ${name}=${shortValue(value)}`)
      .join('');
    // Further lines of a message are indented: nothing inside a message looks like a message of its own.
    stream.write(`${time}${words[level]}${safeText(message).replaceAll('\n', '\n  ')}${safeText(facts)}\n`);
  };
}

function shortValue(value: unknown): string {
  const text = String(value);
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}

async function jsonLines({ stream, level, now }: LogOptions): Promise<WriteLine> {
  // The default export, because it is the only one that a bundle of a CommonJS package has.
  const { default: pino } = await import('pino');
  const logger = pino(
    {
      level,
      base: null,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label }) },
      timestamp: () => `,"ts":"${new Date(now()).toISOString()}"`,
    },
    { write: (line) => void stream.write(line) },
  );
  return (label, message, fields) => logger[label](fields, message);
}
