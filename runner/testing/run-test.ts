/**
 * Runs the `tests` of a pipeline. What is tested is the real thing: the same plan, stages, threads, retries, dead letters and
 * errors as in `oxiflow run`; only the ends are in memory, and the state is in a folder that is gone afterwards. A test writes
 * nothing and reads nothing but the files that it names.
 */
import * as z from 'zod/mini';
import type { Pipeline } from '../config/pipeline.ts';
import type { PipelineTest, TestInput } from '../config/tests.ts';
import { parseInstant } from '../config/units.ts';
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
import { conditionsOn } from '../engine/planner.ts';
import { readFile } from '../oxis/files/read-file.ts';
import { jsonFormat } from '../oxis/formats/format-json.ts';
import { parseJson } from '../oxis/formats/parse-json.ts';
import { runApart } from './apart.ts';
import { findStep, madeStep } from './cut.ts';
import { readerOf, textOf } from './input.ts';
import { MemorySink, MemorySource } from './memory.ts';
import {
  ALONE,
  type Differs,
  type Ended,
  type Kept,
  located,
  testError,
  type Wrong,
  wrongEnd,
  wrongErrors,
  wrongOutputs,
} from './outcome.ts';

export interface TestResult {
  name: string;
  passed: boolean;
  /** One sentence: what was expected and what came instead. */
  problem?: string;
  difference?: Wrong['difference'];
  /** Every expectation that differs from what came; absent where the run itself ended otherwise than it should. */
  differs?: readonly Differs[];
}

export interface TestRun {
  test: PipelineTest;
  /** The pipeline, loaded with the parameters and variables of the test. */
  pipeline: Pipeline;
  oxis: ReadonlyMap<string, Oxi>;
  projectRoot: string;
  /** Plans these steps with these oxis; `now`: start of the run, milliseconds since the epoch. */
  plan(steps: readonly StepInput[], oxis: ReadonlyMap<string, Oxi>, now: number): Promise<Plan>;
  redact(text: string): string;
}

export async function runTest(t: TestRun): Promise<TestResult> {
  const { test } = t;
  for (const id of Object.keys(test.inputs ?? {})) {
    const oxi = t.pipeline.steps.find((step) => step.id === id)?.oxi ?? '';
    if (t.oxis.get(oxi)?.kind !== 'source') throw testError(test, `inputs.${id}`, `"${id}" is no source`);
  }
  const steps = test.step === undefined ? t.pipeline.steps : stepAlone(t, test.step);
  const ended = await runInMemory(t, steps).catch((error): Ended => {
    // What is wrong with the test itself is nothing that it may expect.
    if (!(error instanceof OxiError) || error.place.field?.startsWith('tests.')) throw error;
    return { exitCode: error.exitCode, message: error.message, errors: 0, kept: new Map(), letters: '' };
  });
  const end = wrongEnd(test, ended);
  const order = steps.map(({ id }) => id);
  const wrong =
    end === undefined
      ? [...wrongErrors(test, ended), ...(ended.exitCode === EXIT.ok ? wrongOutputs(test, order, ended) : [])]
      : [end];
  const [first] = wrong;
  if (first === undefined) return { name: test.name, passed: true };
  const { problem, difference } = first;
  const all = wrong.flatMap(({ differs }) => (differs === undefined ? [] : [differs]));
  return {
    name: test.name,
    passed: false,
    problem: t.redact(problem),
    ...(difference === undefined ? {} : { difference }),
    ...(all.length === 0 ? {} : { differs: all }),
  };
}

async function runInMemory(t: TestRun, steps: readonly StepInput[]): Promise<Ended> {
  const { pipeline, projectRoot, redact, test } = t;
  const kept = new Map<string, Kept>();
  const now = (test.now === undefined ? undefined : parseInstant(test.now)) ?? Date.now();
  const planned = await t.plan(steps, inMemory(t, kept), now);
  if (test.step !== undefined && planned.segments.some((one) => one.planned?.skipped.includes(test.step ?? '')))
    throw testError(test, 'step', `"${test.step}" is skipped: its condition is false here`);
  const letters = planned.deadLetters && new MemorySink(planned.deadLetters.sink);
  const plan = letters === undefined ? planned : { ...planned, deadLetters: { ...planned.deadLetters, sink: letters } };
  const { summary } = await runApart({
    plan: plan as Plan,
    pipeline: { ...pipeline, maxErrors: boundOf(t) },
    projectRoot,
    redact,
    now,
  });
  const { total } = summary.counters;
  return {
    exitCode: summary.exit_code,
    message: summary.error?.message,
    errors: total.dropped + total.dead_lettered + total.failed + total.passed_on_error,
    kept,
    letters: letters?.bytes.toString() ?? '',
  };
}

/** The step between an input and an output of the test's own. */
function stepAlone({ test, pipeline, oxis }: TestRun, id: string): StepInput[] {
  const step = findStep(pipeline.steps, id, 'tests');
  const refuse = (why: string): OxiError => testError(test, 'step', `"${id}" ${why}`);
  const kind = oxis.get(step.oxi)?.kind;
  if (kind === 'source') throw refuse('is a source, and nothing goes into it: test the step behind it');
  if (kind === 'sink') throw refuse('is a sink, and nothing leaves it: test the step before it, or the whole pipeline');
  if (kind === 'tee') throw refuse('is a tee: test a step in it, or the whole pipeline');
  if (step.references.length > 0 || conditionsOn(step).length > 0)
    throw refuse('refers to other steps, which are not there when it is tested alone: test the whole pipeline');
  const framing = Array.isArray(test.input) ? 'lines' : 'auto';
  const parser = z.parse(parseJson.config as z.ZodMiniType, { framing });
  return [
    madeStep(INPUT, {}, step),
    ...(kind === 'parser' ? [] : [{ ...madeStep('parse_json', parser, step), id: PARSER }]),
    step,
    madeStep(ALONE, {}, step),
  ];
}

const INPUT = '.input';
const PARSER = '.parser';

/** A share of a handful of records says nothing: it counts where the test expects a failure. */
function boundOf({ test, pipeline }: TestRun): Pipeline['maxErrors'] {
  const { maxErrors } = pipeline;
  const fails = test.expect.message !== undefined || (test.expect.exit_code ?? EXIT.ok) !== EXIT.ok;
  return maxErrors !== undefined && 'share' in maxErrors && !fails ? undefined : maxErrors;
}

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
  if (t.test.step === undefined) return oxis;
  const input: SourceOxi = {
    name: INPUT,
    kind: 'source',
    summary: 'The input of a step that is tested alone.',
    output: 'bytes',
    config: z.strictObject({}),
    make: (_config, context) => inputOf(t, context),
  };
  const output: SinkOxi = {
    name: ALONE,
    kind: 'sink',
    summary: 'The output of a step that is tested alone.',
    config: z.strictObject({}),
    make: () => {
      const sink = new MemorySink({ guarantee: 'truncate', target: 'output', rewrite: async () => undefined });
      const one: Kept = { sink, json: undefined, formatter: undefined, config: undefined };
      kept.set(ALONE, one);
      byTarget.set(sink.target, one);
      return sink;
    },
    implicitFormat: () => jsonFormat({ framing: 'lines' }),
  };
  return oxis.set(INPUT, input).set(ALONE, output);
}

/** What goes straight into a step. */
function inputOf({ test, pipeline, oxis }: TestRun, context: MakeContext): Source {
  const { input } = test;
  const step = findStep(pipeline.steps, test.step ?? '', 'tests');
  const isParser = oxis.get(step.oxi)?.kind === 'parser';
  const reader = isParser
    ? { oxi: step.oxi, id: step.id, config: step.resolve(new Map()) }
    : { oxi: 'parse_json', id: PARSER, config: { framing: 'lines' } };
  const memory = (text: string): Source =>
    new MemorySource({ kind: 'offset', step: step.id, name: 'input', bytes: Buffer.from(text) });
  if (input === undefined || Array.isArray(input))
    return memory(located(test, 'input', () => textOf(input ?? [], reader)));
  if (input.file === undefined) return memory(input.text ?? '');
  return (readFile as SourceOxi).make(
    z.parse(readFile.config as z.ZodMiniType, { path: input.file }) as never,
    context,
  );
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
