/** A run that stands still for as long as a test wants: it writes to a pipe that nobody reads yet. */
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { type Ended, folder, jsonLines, pipelineOf, type Started, start } from './program.ts';

/** More than all buffers between the input and the output hold together. */
const RIDES = 200_000;

/** A project whose pipeline "rides" writes every ride to output/rides.ndjson and to stdout. */
export function ridesProject(): { root: string; rides: string } {
  const rides = Array.from({ length: RIDES }, (_, ride) => `{"ride":${ride},"from":"Harbour","to":"Hill","km":4.2}\n`);
  const text = rides.join('');
  const root = folder({
    'oxiflow.yaml': 'project:\n  name: city\n',
    'input/rides.ndjson': text,
    'pipelines/rides.yaml': pipelineOf([
      ['read_file', { path: 'input/rides.ndjson' }],
      ['parse_json'],
      ['write_file', { path: 'output/rides.ndjson' }],
      ['write_stdout'],
    ]),
  });
  return { root, rides: text };
}

export interface Blocked {
  pid: number;
  /** Resolves when the first bytes are on stdout: more than its buffers hold is on its way then, and the run stands still. */
  working(): Promise<unknown>;
  /** Resolves when the event stream holds an event of this type; rejects when the run ends before. */
  event(type: string): Promise<void>;
  /** Resolves when the event stream matches this; rejects when the run ends before. */
  has(pattern: RegExp): Promise<void>;
  /** Resolves when stderr holds this. */
  said(text: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** Reads stdout from now on, to the end of the run. */
  read(): Promise<Ended & { events: Record<string, unknown>[] }>;
}

export function startBlocked(root: string, args: readonly string[] = []): Blocked {
  const started = start(['run', 'rides', '--events', 'fd:3', ...args], { cwd: root, pipes: 1, ownStdout: true });
  const { child, ended } = started;
  const events = listen(started, child.stdio[3] as Readable);
  const errors = listen(started, child.stderr as Readable);
  return {
    pid: child.pid ?? 0,
    working: () => once(child.stdout as Readable, 'readable'),
    event: (type) => events.has(`"type":"${type}"`),
    has: (pattern) => events.has(pattern),
    said: (text) => errors.has(text),
    kill: (signal) => void child.kill(signal),
    read: async () => {
      const out: Buffer[] = [];
      child.stdout?.on('data', (part: Buffer) => out.push(part));
      const end = await ended;
      return { ...end, stdout: Buffer.concat(out).toString(), events: jsonLines(events.text()) };
    },
  };
}

function listen({ ended }: Started, stream: Readable): { text(): string; has(part: string | RegExp): Promise<void> } {
  let text = '';
  const waiting = new Set<() => void>();
  stream.on('data', (part: Buffer) => {
    text += part.toString();
    for (const look of waiting) look();
  });
  return {
    text: () => text,
    has: (part) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const look = (): void => {
        if (typeof part === 'string' ? text.includes(part) : part.test(text)) resolve();
      };
      waiting.add(look);
      look();
      void ended.then(() => reject(new Error(`the run ended without ${part}:\n${text}`)));
      return promise.finally(() => waiting.delete(look));
    },
  };
}
