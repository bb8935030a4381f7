/** `write_stdout`: text on standard output. What was written can't be taken back: a resumed run repeats what came after its checkpoint. */
import { fstatSync } from 'node:fs';
import type { Writable } from 'node:stream';
import * as z from 'zod/mini';
import type { Held, Mark, Output, Sink, SinkRun } from '../../engine/contracts.ts';
import { ioError } from '../../engine/errors.ts';
import { defineSink, field, only } from '../define.ts';
import { jsonFormat } from '../formats/format-json.ts';

const config = () =>
  z
    .strictObject({
      format: field(
        z._default(z.literal(['auto', 'text', 'json']), 'auto'),
        'How records are written that no formatter laid out: auto and text as lines, json as the source was framed.',
      ),
      newline: field(only(true), 'A line feed ends the output.'),
      prefix: field(only(''), 'Text in front of the output.'),
      json_pretty: field(
        z._default(z.boolean(), false),
        'Records that no formatter laid out are indented; needs format json.',
      ),
      flush_interval: field(
        z.optional(z.int().check(z.gte(0))),
        'Kept for older projects: output is never held back.',
        {
          unit: 'milliseconds',
        },
      ),
    })
    .check(
      z.refine((c) => !c.json_pretty || c.format === 'json', {
        path: ['json_pretty'],
        error: 'has no effect without "format: json"',
      }),
    );

export const writeStdout = defineSink({
  name: 'write_stdout',
  kind: 'sink',
  summary: 'Writes to standard output.',
  limits: { maxMemoryMb: 512, concurrentOperations: 1 },
  config,
  make: (_c, context) => new StdoutSink(context.stepId),
  implicitFormat: (c) => jsonFormat(c.format === 'json' ? { pretty: c.json_pretty } : { framing: 'lines' }),
});

class StdoutSink implements Sink {
  readonly guarantee = 'append';
  readonly target = 'standard output';
  readonly #step: string;
  #out: Writable = process.stdout;
  #records = 0;
  #bytes = 0;
  #failure: unknown;

  constructor(step: string) {
    this.#step = step;
  }

  readonly #onError = (error: unknown): void => {
    this.#failure ??= error;
  };

  async open(_run: SinkRun, mark: Mark | undefined): Promise<Held> {
    this.#records = mark?.records ?? 0;
    this.#bytes = mark?.bytes ?? 0;
    this.#out = openStdout();
    this.#out.on('error', this.#onError);
    return { at: 'mark' };
  }

  async write(bytes: Uint8Array, records: number): Promise<void> {
    if (this.#failure !== undefined) throw ioError(this.#failure, 'standard output', { step: this.#step });
    await new Promise<void>((resolve, reject) => {
      this.#out.write(bytes, (error) => {
        if (error) reject(ioError(error, 'standard output', { step: this.#step }));
        else resolve();
      });
    });
    this.#records += records;
    this.#bytes += bytes.byteLength;
  }

  async prepare(n: number): Promise<Mark> {
    return { n, records: this.#records, bytes: this.#bytes, data: {} };
  }

  async finish(mark: Mark): Promise<Output> {
    return { rows: mark.records, bytes: mark.bytes };
  }

  async abort(): Promise<void> {}

  async close(): Promise<void> {
    this.#out.off('error', this.#onError);
    if (this.#out !== process.stdout) this.#out.on('error', () => undefined).destroy();
  }
}

/** Node writes to a pipe of its own standard output by blocking the whole process; a socket over the same descriptor waits. */
function openStdout(): Writable {
  const kind = fstatSync(1);
  if (!kind.isFIFO() && !kind.isSocket()) return process.stdout;
  // Loaded here: other sinks start without it.
  const net = process.getBuiltinModule('node:net');
  return new net.Socket({ fd: 1, readable: false, writable: true });
}
