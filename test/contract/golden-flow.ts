/**
 * A pipeline as the command line runs it, from checked configuration through plan, framer, stages and encoder, with the input
 * and the output in memory. What the golden files and the engine's tests stand on.
 */
import * as z from 'zod';
import { runFlow } from '../../runner/engine/assemble.ts';
import type { Assembly } from '../../runner/engine/assembly.ts';
import type { Block, Oxi, Sink, Source, Tier } from '../../runner/engine/contracts.ts';
import type { StepCounters } from '../../runner/engine/counters.ts';
import { DeadLetterFile } from '../../runner/engine/dead-letters.ts';
import type { Checkpoint } from '../../runner/engine/documents.ts';
import { detectStream } from '../../runner/engine/first-look.ts';
import type { Barrier } from '../../runner/engine/flow.ts';
import type { PlannedSource, Segment, StepInput } from '../../runner/engine/plan.ts';
import { makePlan } from '../../runner/engine/planner.ts';
import type { Pool, PoolOptions } from '../../runner/engine/pool.ts';
import { makeFigures, type RunFigures } from '../../runner/engine/report.ts';
import { StageProgram } from '../../runner/engine/stage.ts';
import type { StageResult, StageSpec } from '../../runner/engine/stage-spec.ts';
import { tierAsked } from '../../runner/engine/tiers.ts';
import { defineSink, defineSource } from '../../runner/oxis/define.ts';
import { jsonFormat } from '../../runner/oxis/formats/format-json.ts';
import { makeSteps } from '../../runner/oxis/make.ts';
import { registry } from '../../runner/oxis/registry.ts';
import { type DiskSink, directInput } from './disk-ends.ts';

export interface GoldenStep {
  oxi: string;
  config?: Record<string, unknown>;
  on_error?: 'stop' | 'drop' | 'dead_letter';
  continue_on_error?: boolean;
  ordered?: boolean;
  threads?: number;
  /** A second chain (tee). */
  steps?: readonly GoldenStep[];
}

export interface FlowInput {
  /** What the input is called: its ending may say how it is framed. */
  name: string;
  bytes: Uint8Array;
  /** The input comes in pieces of so many bytes. */
  piece: number;
  steps: readonly GoldenStep[];
  /** Fields of the sink `out`. */
  last?: Omit<GoldenStep, 'oxi'>;
  /** What the output is called; its ending may say how it is framed. */
  output?: string;
  /** The output can't be rewritten, as a standard output can't. */
  once?: boolean;
  /** The tier that everything runs on that can; what OXIFLOW_TIER says otherwise. */
  tier?: Tier;
  startPool?: (spec: StageSpec, options: PoolOptions) => Pool;
  /** What the flow is given otherwise than usual: intervals of checkpoints, a limit, signals. */
  flow?: Partial<Assembly>;
  /** Called before the bytes from `at` on are given out, and awaited, unless the flow ends meanwhile. */
  reading?: (at: number) => Promise<void> | undefined;
  /** Called before each write of the sinks `out` and `second`, and awaited. */
  writing?: (sink: 'out' | 'second', text: string) => Promise<void> | undefined;
  /** Called with every letter's text before it is written, and awaited. */
  lettering?: (text: string) => Promise<void> | undefined;
  /** Is given the figures of the run, which go on while it does. */
  figures?: (figures: RunFigures) => void;
  commit?: (barrier: Barrier) => Promise<void>;
  /** Where it goes on. */
  from?: Checkpoint;
  /** The input and the output stand in files of this folder. */
  disk?: { folder: string; sink: DiskSink };
}

export interface FlowOutput {
  bytes: Buffer;
  /** What the sink `second` got, in a tee or in the middle. */
  second: Buffer;
  letters: Buffer;
  counters: Map<string, StepCounters>;
  errors: string[];
  /** Records that the sink was told of. */
  written: number;
}

class MemorySource implements Source {
  readonly kind = 'offset';
  readonly bounded = true;
  readonly #input: FlowInput;
  readonly direct?: NonNullable<Source['direct']>;

  constructor(input: FlowInput) {
    this.#input = input;
    if (input.disk !== undefined) this.direct = directInput(input.disk.folder, input.bytes);
  }

  async splits(): Promise<{ index: number; name: string; size: number }[]> {
    return [{ index: 0, name: this.#input.name, size: this.#input.bytes.length }];
  }

  async recorded(): Promise<{ index: number; name: string; size: number }[]> {
    return this.splits();
  }

  async peek(_split: unknown, length: number): Promise<Uint8Array> {
    return this.#input.bytes.slice(0, length);
  }

  async *open(
    _split: unknown,
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<{ bytes: Uint8Array; after: number }> {
    const { bytes, piece } = this.#input;
    const over = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    for (let at = from; at < bytes.length; at += piece) {
      // Every piece has memory of its own, as those of a file have.
      await Promise.race([this.#input.reading?.(at), over]);
      if (signal.aborted) return;
      const part = Uint8Array.from(bytes.subarray(at, at + piece));
      yield { bytes: part, after: at + part.length };
    }
  }

  async close(): Promise<void> {}
}

class MemorySink implements Sink {
  readonly guarantee = 'truncate';
  readonly target: string;
  pieces: Buffer[] = [];
  /** Records that came with them. */
  records = 0;
  readonly rewrite?: NonNullable<Sink['rewrite']>;

  readonly #before: ((text: string) => Promise<void> | undefined) | undefined;

  constructor(target = 'memory', once = false, before?: (text: string) => Promise<void> | undefined) {
    this.target = target;
    this.#before = before;
    if (once) return;
    this.rewrite = async (rewrite) => {
      const before = this.pieces;
      const after: Buffer[] = [];
      const text = async function* (): AsyncGenerator<Uint8Array> {
        yield* before;
      };
      for await (const piece of rewrite(text())) after.push(Buffer.from(piece));
      this.pieces = after;
    };
  }

  async open(): Promise<{ at: 'mark' }> {
    return { at: 'mark' };
  }

  async write(bytes: Uint8Array, records: number): Promise<void> {
    const piece = Buffer.from(bytes);
    if (this.#before !== undefined) await this.#before(piece.toString());
    this.pieces.push(piece);
    this.records += records;
  }

  async prepare(n: number): Promise<{ n: number; records: number; bytes: number; data: Record<string, never> }> {
    return { n, records: 0, bytes: 0, data: {} };
  }

  async finish(): Promise<{ rows: number; bytes: number }> {
    return { rows: 0, bytes: 0 };
  }

  async abort(): Promise<void> {}
  async close(): Promise<void> {}
}

/** Steps inside others are numbered on from those around them: `out_2_0` is the first one in the second step. */
function stepInput(step: GoldenStep, i: number, oxis: ReadonlyMap<string, Oxi>, inside = ''): StepInput {
  const { oxi, config, on_error, threads } = step;
  const definition = oxis.get(oxi);
  if (definition === undefined) throw new Error(`no oxi ${oxi}`);
  const where = { file: 'pipelines/golden.yaml', line: i + 1, column: 1 };
  const place = `${inside}${i}`;
  return {
    oxi,
    id: `${oxi}_${place}`,
    onError: on_error ?? 'stop',
    ordered: step.ordered ?? true,
    threads,
    retryAttempts: 0,
    retryDelaySeconds: 0,
    timeoutSeconds: undefined,
    maxMemoryMb: undefined,
    continueOnError: step.continue_on_error ?? false,
    condition: undefined,
    limits: undefined,
    where,
    references: [],
    raw: config ?? {},
    ...(step.steps === undefined ? {} : { steps: step.steps.map((one, k) => stepInput(one, k, oxis, `${place}_`)) }),
    resolve: () => z.parse(definition.config as z.ZodType, config ?? {}),
    locate: () => where,
  };
}

/** Runs to the end. Throws what stops the run. Ids of the steps: `in_0`, then the oxi and its place, then `out_N`. */
export async function runInMemory(input: FlowInput): Promise<FlowOutput> {
  const { writing } = input;
  const sink = new MemorySink(input.output, input.once, writing && ((text) => writing('out', text)));
  const second = new MemorySink('second', false, writing && ((text) => writing('second', text)));
  const letters = new MemorySink('letters', false, input.lettering);
  const oxis = new Map(registry);
  const nothing = z.strictObject({});
  oxis.set(
    'in',
    defineSource({
      name: 'in',
      kind: 'source',
      summary: '',
      output: 'bytes',
      config: nothing,
      make: () => new MemorySource(input),
    }),
  );
  oxis.set(
    'out',
    defineSink({
      name: 'out',
      kind: 'sink',
      summary: '',
      config: nothing,
      make: () => input.disk?.sink ?? sink,
      implicitFormat: () => jsonFormat({}),
    }),
  );
  oxis.set(
    'second',
    defineSink({
      name: 'second',
      kind: 'sink',
      summary: '',
      config: nothing,
      make: () => second,
      implicitFormat: () => jsonFormat({ framing: 'lines' }),
    }),
  );
  oxis.set(
    'third',
    defineSink({
      name: 'third',
      kind: 'sink',
      summary: '',
      config: nothing,
      make: () => new MemorySink('third'),
      implicitFormat: () => jsonFormat({ framing: 'lines' }),
    }),
  );
  const chain = [{ oxi: 'in' }, ...input.steps, { oxi: 'out', ...input.last }];
  const plan = await makePlan({
    steps: chain.map((step, i) => stepInput(step, i, oxis)),
    oxis,
    projectRoot: '/',
    threads: 1,
    tier: input.tier ?? tierAsked(process.env),
    delivery: 'at_least_once',
    deadLetterPath: 'letters.ndjson',
    condition: () => true,
  });
  const segment = plan.segments[0]?.planned as Segment;
  const { parser, select } = segment;
  const [source] = segment.sources as [PlannedSource];
  const splits = await source.source.splits();
  const first = splits[0] as { index: number; name: string; size: number };
  const stream = await detectStream(
    source.source,
    splits,
    parser && { oxi: parser.oxi, config: parser.step.config, select },
  );
  const errors: string[] = [];
  const figures = makeFigures(plan, {}, first.size);
  input.figures?.(figures);
  await runFlow(
    {
      projectRoot: '/',
      params: new Map(),
      env: new Map(),
      maxErrors: undefined,
      limit: Number.POSITIVE_INFINITY,
      softIntervalMs: Number.POSITIVE_INFINITY,
      hardIntervalMs: Number.POSITIVE_INFINITY,
      makeSteps,
      startPool:
        input.startPool ??
        ((spec, { mayLoop }) => {
          // What has to run apart runs here: nothing of it loops.
          if (!mayLoop) throw new Error('no threads here');
          const program = new StageProgram(spec, makeSteps);
          // One block after the other, as on a thread.
          let last: Promise<unknown> = Promise.resolve();
          const run = (block: Block): Promise<StageResult> => {
            const result = last.then(() => program.process(block));
            last = result.catch(() => undefined);
            return result;
          };
          return { run, [Symbol.asyncDispose]: () => program.close() };
        }),
      redact: (text) => text,
      say: () => undefined,
      stop: new AbortController().signal,
      kill: new AbortController().signal,
      ...input.flow,
    },
    {
      segment,
      source,
      from: input.from,
      checkpoints: 0,
      deadLetters:
        plan.deadLetters && new DeadLetterFile({ ...plan.deadLetters, sink: letters, redact: (text) => text }, 0),
      lettersSent: () => undefined,
      splits,
      stream,
      figures,
      startMs: Date.parse('2026-03-01T00:00:00Z'),
      commit: input.commit ?? (async () => undefined),
      recordErrors: (messages) => errors.push(...messages),
      skip: new Map(),
    },
  );
  const counters = new Map(figures.steps.map((step) => [step.id, step.counters]));
  return {
    bytes: input.disk?.sink.text() ?? Buffer.concat(sink.pieces),
    second: Buffer.concat(second.pieces),
    letters: Buffer.concat(letters.pieces),
    counters,
    errors,
    written: (input.disk?.sink ?? sink).records,
  };
}
