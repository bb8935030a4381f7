/** `write_stdout`: text on standard output. What was written can't be taken back: a resumed run repeats what came after its checkpoint. */
import { fstatSync } from 'node:fs';
import type { Writable } from 'node:stream';
import * as z from 'zod/mini';
import type { Held, Mark, Output, Sink, SinkRun } from '../../engine/contracts.ts';
import { ioError } from '../../engine/errors.ts';
import { defineSink, field } from '../define.ts';
import { jsonFormat } from '../formats/format-json.ts';
import { yamlFormat } from '../formats/format-yaml.ts';

const config = () =>
  z
    .strictObject({
      format: field(
        z._default(z.literal(['auto', 'text', 'json', 'yaml']), 'auto'),
        'How records are written that no formatter laid out: auto and text as lines, json and yaml as the source was framed.',
      ),
      newline: field(z._default(z.boolean(), true), 'A line feed ends the output; false leaves the last one away.'),
      prefix: field(z._default(z.string(), ''), 'Text in front of the output, once.'),
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

type Config = z.output<ReturnType<typeof config>>;

export const writeStdout = defineSink({
  name: 'write_stdout',
  kind: 'sink',
  summary: 'Writes to standard output.',
  limits: { maxMemoryMb: 512, concurrentOperations: 1 },
  config,
  alone: { why: 'writes to standard output, which every worker has one of its own' },
  make: (c, context) => new StdoutSink(c, context.stepId),
  implicitFormat: (c) => {
    if (c.format === 'yaml') return yamlFormat();
    return jsonFormat(c.format === 'json' ? { pretty: c.json_pretty } : { framing: 'lines' });
  },
  onlyImplicit: (c) => (c.json_pretty ? ['json_pretty'] : []),
});

const LF = 0x0a;
const LINE_END = Buffer.from('\n');

class StdoutSink implements Sink {
  readonly guarantee = 'append';
  readonly target = 'standard output';
  readonly #c: Config;
  readonly #step: string;
  #out: Writable = process.stdout;
  #records = 0;
  #bytes = 0;
  /** Nothing was written yet: the prefix is still to come. */
  #fresh = true;
  /** A line feed that is written only if something follows it. */
  #held = false;
  #failure: unknown;

  constructor(c: Config, step: string) {
    this.#c = c;
    this.#step = step;
  }

  readonly #onError = (error: unknown): void => {
    this.#failure ??= error;
  };

  async open(_run: SinkRun, mark: Mark | undefined): Promise<Held> {
    this.#records = mark?.records ?? 0;
    this.#bytes = mark?.bytes ?? 0;
    this.#fresh = mark === undefined;
    this.#held = mark?.data.held === true;
    this.#out = openStdout();
    this.#out.on('error', this.#onError);
    return { at: 'mark' };
  }

  async write(bytes: Uint8Array, records: number): Promise<void> {
    await this.#begin();
    if (this.#c.newline) await this.#send(bytes);
    else if (bytes.byteLength > 0) {
      if (this.#held) await this.#send(LINE_END);
      this.#held = bytes.at(-1) === LF;
      await this.#send(this.#held ? bytes.subarray(0, -1) : bytes);
    }
    this.#records += records;
  }

  async #begin(): Promise<void> {
    if (!this.#fresh) return;
    this.#fresh = false;
    if (this.#c.prefix !== '') await this.#send(Buffer.from(this.#c.prefix));
  }

  async #send(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw ioError(this.#failure, 'standard output', { step: this.#step });
    await new Promise<void>((resolve, reject) => {
      this.#out.write(bytes, (error) => {
        if (error) reject(ioError(error, 'standard output', { step: this.#step }));
        else resolve();
      });
    });
    this.#bytes += bytes.byteLength;
  }

  async prepare(n: number): Promise<Mark> {
    // An empty output has its prefix, too.
    await this.#begin();
    return { n, records: this.#records, bytes: this.#bytes, data: this.#held ? { held: true } : {} };
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
