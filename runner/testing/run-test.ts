/**
 * Runs the `tests` of a pipeline. What is tested is the real thing: the same plan, stages, threads, retries, dead letters and
 * errors as in `oxiflow run`; only the ends are in memory, and the state is in a folder that is gone afterwards. A test writes
 * nothing and reads nothing but the files that it names.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod/mini';
import type { Pipeline } from '../config/pipeline.ts';
import type { PipelineTest, TestInput } from '../config/tests.ts';
import type {
  Encoder,
  EncoderContext,
  FormatterOxi,
  MakeContext,
  Oxi,
  SinkOxi,
  Source,
  SourceOxi,
  StreamInfo,
} from '../engine/contracts.ts';
import { EXIT, OxiError } from '../engine/errors.ts';
import type { Plan, StepInput } from '../engine/plan.ts';
import { executeRun } from '../engine/run.ts';
import { readFile } from '../oxis/files/read-file.ts';
import { makeSteps } from '../oxis/make.ts';
import { openFileStore } from '../state/file.ts';
import { thisHolder } from '../state/host.ts';
import { StagePool } from '../threads/pool.ts';
import { readerOf, textOf } from './input.ts';
import { MemorySink, MemorySource } from './memory.ts';
import { type Ended, type Kept, located, testError, type Wrong, wrongEnd, wrongOutput } from './outcome.ts';

export interface TestResult {
  name: string;
  passed: boolean;
  /** One sentence: what was expected and what came instead. */
  problem?: string;
  difference?: Wrong['difference'];
}

export interface TestRun {
  test: PipelineTest;
  /** The pipeline, loaded with the parameters and variables of the test. */
  pipeline: Pipeline;
  oxis: ReadonlyMap<string, Oxi>;
  projectRoot: string;
  /** Plans the pipeline with these oxis. */
  plan(oxis: ReadonlyMap<string, Oxi>): Promise<Plan>;
  redact(text: string): string;
}

/** Longer than any test: nobody else asks for its lease. */
const LEASE_MS = 86_400_000;

export async function runTest(t: TestRun): Promise<TestResult> {
  const { test } = t;
  for (const id of Object.keys(test.inputs ?? {})) {
    const oxi = t.pipeline.steps.find((step) => step.id === id)?.oxi ?? '';
    if (t.oxis.get(oxi)?.kind !== 'source') throw testError(test, `inputs.${id}`, `"${id}" is no source`);
  }
  const ended = await runInMemory(t).catch((error): Ended => {
    // What is wrong with the test itself is nothing that it may expect.
    if (!(error instanceof OxiError) || error.place.field?.startsWith('tests.')) throw error;
    return { exitCode: error.exitCode, message: error.message, errors: 0, kept: new Map(), letters: '' };
  });
  const order = t.pipeline.steps.map(({ id }) => id);
  const wrong = wrongEnd(test, ended) ?? (ended.exitCode === EXIT.ok ? wrongOutput(test, order, ended) : undefined);
  return wrong === undefined
    ? { name: test.name, passed: true }
    : { name: test.name, passed: false, ...wrong, problem: t.redact(wrong.problem) };
}

async function runInMemory(t: TestRun): Promise<Ended> {
  const { pipeline, projectRoot, redact } = t;
  const kept = new Map<string, Kept>();
  const planned = await t.plan(inMemory(t, kept));
  const letters = planned.deadLetters && new MemorySink(planned.deadLetters.sink);
  const plan = letters === undefined ? planned : { ...planned, deadLetters: { ...planned.deadLetters, sink: letters } };
  const folder = await mkdtemp(join(tmpdir(), 'oxiflow-test-'));
  try {
    await using store = await openFileStore(folder);
    const { summary } = await executeRun({
      plan: plan as Plan,
      pipeline: pipeline.name,
      projectRoot,
      store,
      holder: thisHolder('test'),
      runKey: 'test',
      invocation: undefined,
      fresh: true,
      acceptChanges: false,
      limit: Number.POSITIVE_INFINITY,
      params: pipeline.params,
      env: pipeline.environment,
      maxErrors: boundOf(t),
      lockTimeoutMs: LEASE_MS,
      leaseWaitMs: 0,
      softIntervalMs: Number.POSITIVE_INFINITY,
      hardIntervalMs: Number.POSITIVE_INFINITY,
      makeSteps,
      startPool: (spec, options) => new StagePool(spec, options),
      keepLease: () => ({ [Symbol.asyncDispose]: async () => undefined }),
      observe: async () => SILENT,
      deliver: async () => undefined,
      say: () => undefined,
      cancelled: () => undefined,
      redact,
      stop: new AbortController().signal,
      kill: new AbortController().signal,
      now: () => new Date(),
    });
    const { total } = summary.counters;
    return {
      exitCode: summary.exit_code,
      message: summary.error?.message,
      errors: total.dropped + total.dead_lettered + total.failed + total.passed_on_error,
      kept,
      letters: letters?.bytes.toString() ?? '',
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A share of a handful of records says nothing: it counts where the test expects a failure. */
function boundOf({ test, pipeline }: TestRun): Pipeline['maxErrors'] {
  const { maxErrors } = pipeline;
  const fails = test.expect.message !== undefined || (test.expect.exit_code ?? EXIT.ok) !== EXIT.ok;
  return maxErrors !== undefined && 'share' in maxErrors && !fails ? undefined : maxErrors;
}

const SILENT = {
  started: () => undefined,
  checkpoint: () => undefined,
  recordErrors: () => undefined,
  deadLettered: () => undefined,
  finished: () => undefined,
};

// ---------------------------------------------------------------- the ends

/** The oxis with every source and sink in memory. */
function inMemory(t: TestRun, kept: Map<string, Kept>): ReadonlyMap<string, Oxi> {
  const byTarget = new Map<string, Kept>();
  const oxis = new Map<string, Oxi>();
  for (const [name, oxi] of t.oxis) {
    if (oxi.kind === 'source')
      oxis.set(
        name,
        withMake(oxi, (config, context) => sourceOf(t, oxi, config, context)),
      );
    else if (oxi.kind === 'sink')
      oxis.set(
        name,
        withMake(oxi, (config, context) => {
          const sink = new MemorySink((oxi as SinkOxi).make(config as never, context));
          const one: Kept = { sink, json: undefined, formatter: undefined, config: undefined };
          kept.set(context.stepId, one);
          byTarget.set(sink.target, one);
          return sink;
        }),
      );
    else if (oxi.kind === 'formatter') oxis.set(name, listened(oxi, byTarget));
    else oxis.set(name, oxi);
  }
  return oxis;
}

function withMake(oxi: SourceOxi | SinkOxi, make: (config: unknown, context: MakeContext) => unknown): Oxi {
  return { ...oxi, make } as unknown as Oxi;
}

/** The same formatter, which notes what each sink is given: of JSON the records themselves. */
function listened(oxi: FormatterOxi, byTarget: ReadonlyMap<string, Kept>): Oxi {
  return {
    ...oxi,
    encoder: (config: never, stream: StreamInfo, context: EncoderContext): Encoder => {
      const encoder = oxi.encoder(config, stream, context);
      const one = byTarget.get(context.output);
      if (one === undefined) return encoder;
      Object.assign(one, { formatter: oxi.name, config, json: oxi.name === 'format_json' ? [] : undefined });
      const { json } = one;
      if (json === undefined) return encoder;
      const encode = encoder.encode.bind(encoder);
      encoder.encode = (block, fail) => {
        const bad = new Set<number>();
        const texts = Array.from({ length: block.count }, (_, i) => {
          const [from = 0, to = 0] = block.spans.subarray(2 * i, 2 * i + 2);
          return Buffer.from(block.bytes.subarray(from, to)).toString();
        });
        const pieces = encode(block, (i, error) => {
          bad.add(i);
          fail(i, error);
        });
        json.push(...texts.filter((_, i) => !bad.has(i)));
        return pieces;
      };
      return encoder;
    },
  } as unknown as Oxi;
}

function sourceOf(t: TestRun, oxi: SourceOxi, config: unknown, context: MakeContext): Source {
  const { stepId } = context;
  const { test, pipeline } = t;
  const real = oxi.make(config as never, context);
  const steps: readonly StepInput[] = pipeline.steps;
  const step = steps.find(({ id }) => id === stepId);
  const isFirst = steps.find((one) => t.oxis.get(one.oxi)?.kind === 'source')?.id === stepId;
  const input: TestInput | undefined = test.inputs?.[stepId] ?? (isFirst ? test.input : undefined);
  const field = test.inputs === undefined ? 'input' : `inputs.${stepId}`;
  const { path } = config as { path?: unknown };
  const name = typeof path === 'string' ? path : stepId;
  const memory = (bytes: Uint8Array | undefined): Source =>
    new MemorySource({ kind: real.kind, step: stepId, name, bytes });
  if (input === undefined || step === undefined) return memory(undefined);
  if (Array.isArray(input)) {
    const text = located(test, field, () => textOf(input, readerOf(steps, step, t.oxis)));
    return memory(Buffer.from(text));
  }
  if (input.file === undefined) return memory(Buffer.from(input.text ?? ''));
  // A file is read as the source would read it, packing, encoding and all.
  const { encoding, compression, max_expansion, binary } = config as Record<string, unknown>;
  const given = { encoding, compression, max_expansion, binary };
  const known = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return (readFile as SourceOxi).make(
    z.parse(readFile.config as z.ZodMiniType, { path: input.file, ...known }) as never,
    context,
  );
}
