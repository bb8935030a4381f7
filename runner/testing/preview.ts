/**
 * The records as they leave a step: the steps in front of it run as they are, and nothing behind it. What is read is cut into
 * small pieces at first, so that a slow step has worked on little when enough has come.
 */
import * as z from 'zod/mini';
import type { Pipeline } from '../config/pipeline.ts';
import type { Oxi, RawBlock, Sink, SinkOxi, Source, SourceOxi } from '../engine/contracts.ts';
import { ioError, OxiError } from '../engine/errors.ts';
import type { Letter } from '../engine/letters.ts';
import type { Plan, StepInput } from '../engine/plan.ts';
import { jsonFormat } from '../oxis/formats/format-json.ts';
import { runApart } from './apart.ts';
import { type Cut, flatSteps, madeStep } from './cut.ts';
import { MemorySink } from './memory.ts';

export interface PreviewRun {
  pipeline: Pipeline;
  cut: Cut;
  oxis: ReadonlyMap<string, Oxi>;
  projectRoot: string;
  limit: number;
  /** Plans these steps with these oxis. */
  plan(steps: readonly StepInput[], oxis: ReadonlyMap<string, Oxi>): Promise<Plan>;
  redact(text: string): string;
  /** Takes some JSON texts. */
  take(records: readonly string[]): Promise<void>;
  /** A sentence on a bad record. */
  bad(sentence: string): void;
  say(sentence: string): void;
  /** Aborted with the error to fail with. */
  stop: AbortSignal;
}

export interface Previewed {
  records: number;
  /** A record was met that a run would stop at. */
  stops: boolean;
  /** The input was read to its end. */
  complete: boolean;
}

const SINK = '.preview';
/** The first piece of the input; each one is twice as long as the last. */
const FIRST_BYTES = 4096;
/** Of a line of bytes that nobody parses so much is shown. */
const LINE_BYTES = 1 << 20;

/** Throws OxiError where a run would fail for another reason than a bad record. */
export async function preview(p: PreviewRun): Promise<Previewed> {
  const { cut, pipeline } = p;
  const enough = new AbortController();
  const isText = !cut.steps.some(({ oxi }) => p.oxis.get(oxi)?.kind === 'parser');
  const shown = new ShownSink(p.limit, isText, async (records) => {
    await p.take(records);
    if (shown.records >= p.limit) enough.abort();
  });
  // Bad records are told, and the others shown: what a run would do with them is said at the end.
  const steps = cut.steps.map((step) =>
    step.continueOnError
      ? { ...step, threads: undefined }
      : { ...step, threads: undefined, onError: 'dead_letter' as const },
  );
  const made = await p.plan([...cut.before, ...steps, madeStep(SINK, {}, cut.target)], oxisOf(p.oxis, shown));
  for (const id of made.segments.flatMap(({ planned }) => planned?.skipped ?? []))
    if (id === cut.target.id) p.say(`"${id}" is skipped, its condition is false: these are the records that pass it`);
  const told = new Set<string>();
  const passing = steps.filter(({ continueOnError }) => continueOnError).map(({ id }) => `: step "${id}": `);
  const observer = {
    deadLettered: (letters: readonly Letter[]) => {
      for (const { step, file, offset, reason } of letters) {
        told.add(step);
        p.bad(p.redact(`${file}: record at byte ${offset}: step "${step}": ${reason}`));
      }
    },
    recordErrors: (messages: readonly string[]) => {
      for (const message of messages) if (passing.some((part) => message.includes(part))) p.bad(p.redact(message));
    },
  };
  const { summary } = await runApart({
    plan: { ...made, deadLetters: undefined },
    pipeline: { ...pipeline, maxErrors: undefined },
    projectRoot: p.projectRoot,
    redact: p.redact,
    observer,
    say: p.say,
    kill: AbortSignal.any([enough.signal, p.stop]),
    now: Date.now(),
  });
  p.stop.throwIfAborted();
  if (shown.failure !== undefined) throw shown.failure;
  const isEnough = enough.signal.aborted;
  if (!isEnough && summary.error !== undefined) throw failureOf(summary.error);
  const stopping = new Set(cut.steps.filter(({ onError }) => onError === 'stop').map(({ id }) => id));
  return {
    records: shown.records,
    stops: [...told].some((id) => stopping.has(id)),
    complete: !isEnough,
  };
}

function failureOf({ code, message }: { code: string; message: string }): Error {
  return code === 'INTERNAL' ? new Error(message) : new OxiError(code as OxiError['code'], message);
}

function oxisOf(all: ReadonlyMap<string, Oxi>, shown: ShownSink): ReadonlyMap<string, Oxi> {
  const oxis = new Map<string, Oxi>();
  for (const [name, oxi] of all) {
    if (oxi.kind === 'source') oxis.set(name, inSmallPieces(oxi));
    else if (oxi.kind === 'sink') {
      const make: SinkOxi['make'] = (config, context) => new MemorySink(oxi.make(config, context), 'nothing');
      oxis.set(name, { ...oxi, make });
    } else oxis.set(name, oxi);
  }
  const sink: SinkOxi = {
    name: SINK,
    kind: 'sink',
    summary: 'Shows records.',
    config: z.strictObject({}),
    make: () => shown,
    implicitFormat: () => jsonFormat({ framing: 'lines' }),
  };
  return oxis.set(SINK, sink);
}

function inSmallPieces(oxi: SourceOxi): SourceOxi {
  const make: SourceOxi['make'] = (config, context) => {
    const source: Source = oxi.make(config, context);
    const open = source.open.bind(source);
    source.open = (split, from, signal) => pieces(open(split, from, signal));
    return source;
  };
  return { ...oxi, make };
}

async function* pieces(blocks: AsyncIterable<RawBlock>): AsyncGenerator<RawBlock> {
  let size = FIRST_BYTES;
  for await (const block of blocks) {
    const { bytes, after } = block;
    if (size >= bytes.length) {
      yield block;
      continue;
    }
    for (let at = 0; at < bytes.length; size *= 2) {
      // The receiver writes to what it gets.
      const piece = Uint8Array.from(bytes.subarray(at, at + size));
      at += piece.length;
      yield { bytes: piece, after: after - bytes.length + at };
    }
  }
}

/** Cuts what it is given into records, as many as are wanted; of bytes that nobody parsed, lines. */
class ShownSink implements Sink {
  readonly guarantee = 'truncate';
  readonly target = 'nowhere';
  readonly #limit: number;
  readonly #isText: boolean;
  readonly #take: (records: readonly string[]) => Promise<void>;
  #rest: Buffer = Buffer.alloc(0);
  #written = 0;
  records = 0;
  failure: unknown;

  constructor(limit: number, isText: boolean, take: (records: readonly string[]) => Promise<void>) {
    this.#limit = limit;
    this.#isText = isText;
    this.#take = take;
  }

  async open(): Promise<{ at: 'mark' }> {
    return { at: 'mark' };
  }

  async write(bytes: Uint8Array, records: number): Promise<void> {
    this.#written += records;
    const all = Buffer.concat([this.#rest, bytes]);
    const lines: string[] = [];
    let from = 0;
    for (let end = all.indexOf(0x0a); end >= 0 && this.#room(lines); end = all.indexOf(0x0a, from)) {
      lines.push(this.#line(all.subarray(from, end)));
      from = end + 1;
    }
    this.#rest = all.subarray(from);
    if (this.#isText && this.#rest.length > LINE_BYTES && this.#room(lines)) {
      lines.push(this.#line(this.#rest));
      this.#rest = Buffer.alloc(0);
    }
    await this.#give(lines);
  }

  #room(lines: readonly string[]): boolean {
    return this.records + lines.length < this.#limit;
  }

  #line(bytes: Buffer): string {
    if (!this.#isText) return bytes.toString();
    return JSON.stringify(bytes.subarray(0, LINE_BYTES).toString().replace(/\r$/, ''));
  }

  async #give(lines: readonly string[]): Promise<void> {
    if (lines.length === 0 || this.failure !== undefined) return;
    this.records += lines.length;
    await this.#take(lines).catch((error) => {
      this.failure = ioError(error, 'standard output');
      throw this.failure;
    });
  }

  async prepare(n: number): Promise<{ n: number; records: number; bytes: number; data: Record<string, never> }> {
    return { n, records: this.#written, bytes: 0, data: {} };
  }

  async finish(): Promise<{ rows: number; bytes: number }> {
    const rest = this.#rest;
    if (rest.length > 0 && this.#room([])) await this.#give([this.#line(rest)]);
    return { rows: this.#written, bytes: 0 };
  }

  async abort(): Promise<void> {}
  async close(): Promise<void> {}
}

/** Programs that run for it. */
export function programsIn({ before, steps }: Cut): StepInput[] {
  return flatSteps([...before, ...steps]).filter(({ oxi }) => oxi === 'exec');
}
