/**
 * From the steps of a pipeline to stages: checks that each step gets the kind of stream it needs, fuses neighbours, and says
 * which threads run what. Reads nothing of the data; starts nothing.
 */
import { createHash } from 'node:crypto';
import type {
  BlockStep,
  FormatterOxi,
  Oxi,
  ParserOxi,
  SelectPath,
  Sink,
  SinkOxi,
  Source,
  SourceOxi,
  Step,
  StepOxi,
  Tier,
} from './contracts.ts';
import { TIERS } from './contracts.ts';
import { OxiError } from './errors.ts';
import type { StageStepSpec } from './stage.ts';

/** A step as the configuration gives it. `resolve` may be called once the steps before it are known. */
export interface StepInput {
  readonly oxi: string;
  readonly id: string;
  readonly onError: 'stop' | 'drop' | 'dead_letter';
  readonly threads: number | undefined;
  readonly retryAttempts: number;
  readonly timeoutSeconds: number | undefined;
  readonly maxMemoryMb: number | undefined;
  readonly continueOnError: boolean;
  readonly condition: string | undefined;
  readonly limits: unknown;
  readonly where: { file: string; line: number; column: number };
  readonly references: readonly { readonly reference: { readonly step: string } }[];
  resolve(steps: ReadonlyMap<string, Readonly<Record<string, string | number>>>): unknown;
  /** Place of a field of its config. */
  locate(field: string): { file: string; line: number; column: number };
}

export interface PlannedStep {
  id: string;
  oxi: string;
  kind: Oxi['kind'];
  config: unknown;
  onError: 'stop' | 'drop';
  /** Of everything that decides what the step does. */
  hash: string;
  /** The framer may do its work: see `StreamInfo.selected`. */
  byFramer?: true;
}

export interface PlannedStage {
  kind: 'stage';
  steps: PlannedStep[];
  /** At most; small inputs start none. */
  threads: number;
  /** Some step said how many. */
  explicit: boolean;
  /** The cheapest that all of its steps have. */
  tier: Tier;
  /** A step of it has state that needs every block in order: it runs on one thread. */
  ordered: boolean;
}

export interface PlannedSink {
  kind: 'sink';
  step: PlannedStep;
  oxi: SinkOxi;
  sink: Sink;
  /**
   * Lays records out; absent where the bytes are written as they are. `layOut`: the sink has to do each record's part as well
   * (indentation, order of keys), since no step of a stage does it.
   */
  formatter: { oxi: FormatterOxi; config: unknown; id: string; layOut: boolean } | undefined;
}

export interface Plan {
  source: { step: PlannedStep; oxi: SourceOxi; source: Source };
  parser: { step: PlannedStep; oxi: ParserOxi } | undefined;
  /** The path of a json_select straight behind the parser. */
  select: SelectPath | undefined;
  nodes: (PlannedStage | PlannedSink)[];
  /** Every step, in order. */
  steps: PlannedStep[];
  skipped: string[];
}

export interface PlanOptions {
  steps: readonly StepInput[];
  oxis: ReadonlyMap<string, Oxi>;
  projectRoot: string;
  /** Threads of stages that say nothing. */
  threads: number;
  delivery: 'at_least_once' | 'exactly_once';
  /** Evaluates a `condition` at the start. */
  condition(step: StepInput, text: string): boolean;
}

/** Throws ConfigErrors, or OxiError UNSUPPORTED, CONFIG_INVALID, DELIVERY_IMPOSSIBLE, and what finding the input may throw. */
export async function makePlan(options: PlanOptions): Promise<Plan> {
  const builder = new Builder(options);
  for (const step of options.steps) await builder.add(step);
  return builder.finish();
}

/** The tiers that this build can run. */
const AVAILABLE: ReadonlySet<Tier> = new Set<Tier>(['values']);

class Builder {
  readonly #o: PlanOptions;
  readonly #known = new Map<string, Record<string, string | number>>();
  readonly #steps: PlannedStep[] = [];
  readonly #nodes: (PlannedStage | PlannedSink)[] = [];
  readonly #skipped: string[] = [];
  #source: Plan['source'] | undefined;
  #parser: Plan['parser'];
  #select: SelectPath | undefined;
  #formatter: PlannedSink['formatter'];
  /** What leaves the last step. */
  #stream: 'nothing' | 'bytes' | 'records' | 'text' = 'nothing';
  #last: StepInput | undefined;

  constructor(options: PlanOptions) {
    this.#o = options;
  }

  async add(input: StepInput): Promise<void> {
    refuseUnsupported(input);
    if (input.condition !== undefined && !locating(input, () => this.#o.condition(input, input.condition ?? ''))) {
      this.#skipped.push(input.id);
      return;
    }
    const oxi = this.#o.oxis.get(input.oxi);
    if (oxi === undefined) throw this.#error(input, `unknown oxi "${input.oxi}"`);
    const config = input.resolve(this.#known);
    const step: PlannedStep = {
      id: input.id,
      oxi: input.oxi,
      kind: oxi.kind,
      config,
      onError: input.onError === 'drop' ? 'drop' : 'stop',
      hash: hashOf([input.oxi, input.onError, config]),
    };
    switch (oxi.kind) {
      case 'source':
        await this.#addSource(input, step, oxi);
        break;
      case 'parser':
        this.#addParser(input, step, oxi);
        break;
      case 'step':
        this.#addStep(input, step, oxi);
        break;
      case 'formatter':
        this.#addFormatter(input, step, oxi);
        break;
      case 'sink':
        this.#addSink(input, step, oxi);
        break;
    }
    this.#steps.push(step);
    this.#last = input;
  }

  async #addSource(input: StepInput, step: PlannedStep, oxi: SourceOxi): Promise<void> {
    if (this.#source !== undefined)
      throw this.#error(
        input,
        `the pipeline has a source already ("${this.#source.step.id}"), and this version reads one a pipeline`,
        'UNSUPPORTED',
      );
    if (this.#steps.length > 0) throw this.#error(input, 'a source has to be the first step');
    const source = oxi.make(step.config as never, this.#context(input));
    this.#source = { step, oxi, source };
    this.#stream = oxi.output;
    if (!this.#o.steps.some((other) => other.references.some(({ reference }) => reference.step === input.id))) return;
    const splits = await source.splits();
    const [only] = splits;
    if (splits.length === 1 && only !== undefined && source.metadata !== undefined)
      this.#known.set(input.id, await source.metadata(only));
  }

  #addParser(input: StepInput, step: PlannedStep, oxi: ParserOxi): void {
    this.#needSource(input);
    if (this.#stream !== 'bytes')
      throw this.#error(
        input,
        `"${input.oxi}" reads bytes and what comes here is ${this.#stream}; put it straight behind the source`,
      );
    this.#parser = { step, oxi };
    this.#stream = 'records';
    this.#join(input, step, oxi);
  }

  #addStep(input: StepInput, step: PlannedStep, oxi: StepOxi): void {
    this.#needRecords(input);
    if (oxi.select !== undefined && this.#parser !== undefined && this.#steps.at(-1) === this.#parser.step) {
      this.#select = oxi.select(step.config as never);
      step.byFramer = true;
    }
    this.#join(input, step, oxi);
  }

  #addFormatter(input: StepInput, step: PlannedStep, oxi: FormatterOxi): void {
    this.#needRecords(input);
    this.#join(input, step, oxi);
    this.#formatter = { oxi, config: step.config, id: input.id, layOut: false };
    this.#stream = 'text';
  }

  #addSink(input: StepInput, step: PlannedStep, oxi: SinkOxi): void {
    this.#needSource(input);
    const sink = oxi.make(step.config as never, this.#context(input));
    const twin = this.#nodes.find((node) => node.kind === 'sink' && node.sink.target === sink.target);
    if (twin?.kind === 'sink') throw this.#error(input, `"${twin.step.id}" writes to the same place: ${sink.target}`);
    this.#checkDelivery(input, sink);
    let formatter = this.#formatter;
    if (this.#stream === 'records') {
      const implicit = oxi.implicitFormat(step.config as never);
      const format = this.#o.oxis.get(implicit.oxi);
      if (format?.kind !== 'formatter') throw new Error(`${implicit.oxi} is no formatter`);
      const made = format.make(implicit.config as never, this.#context(input));
      formatter = { oxi: format, config: implicit.config, id: input.id, layOut: made.form === 'block' };
    }
    this.#nodes.push({ kind: 'sink', step, oxi, sink, formatter });
  }

  #checkDelivery(input: StepInput, sink: Sink): void {
    if (this.#o.delivery !== 'exactly_once') return;
    const source = this.#source;
    if (source !== undefined && source.source.kind === 'once')
      throw this.#error(
        input,
        `"delivery: exactly_once" can't hold: "${source.step.id}" can be read only once`,
        'DELIVERY_IMPOSSIBLE',
      );
    if (sink.guarantee === 'append')
      throw this.#error(
        input,
        `"delivery: exactly_once" can't hold: what "${input.id}" has written can't be taken back; write to a file, or say at_least_once`,
        'DELIVERY_IMPOSSIBLE',
      );
  }

  #join(input: StepInput, step: PlannedStep, oxi: ParserOxi | StepOxi | FormatterOxi): void {
    const stage = this.#stage(input);
    stage.steps.push(step);
    // Made once to find what is wrong with it before anything starts, and which forms it has; the stages make their own.
    const made = locating(input, () => oxi.make(step.config as never, this.#context(input)));
    const tiers = Array.isArray(made) ? made.map(tierOf) : [tierOf(made as Step)];
    if (!Array.isArray(made) && (made as Step).form === 'block' && (made as BlockStep).state === 'ordered')
      stage.ordered = true;
    for (const tier of tiers) if (TIERS.indexOf(tier) > TIERS.indexOf(stage.tier)) stage.tier = tier;
  }

  /** The stage that this step joins: the last one, unless a sink stands between or both name different thread counts. */
  #stage(input: StepInput): PlannedStage {
    const last = this.#nodes.at(-1);
    if (last?.kind === 'stage') {
      if (input.threads === undefined) return last;
      if (!last.explicit || last.threads === input.threads) {
        last.threads = input.threads;
        last.explicit = true;
        return last;
      }
    }
    const stage: PlannedStage = {
      kind: 'stage',
      steps: [],
      threads: input.threads ?? this.#o.threads,
      explicit: input.threads !== undefined,
      tier: 'bytes',
      ordered: false,
    };
    this.#nodes.push(stage);
    return stage;
  }

  finish(): Plan {
    const first = this.#o.steps[0];
    if (this.#source === undefined)
      throw first === undefined
        ? new OxiError('CONFIG_INVALID', 'the pipeline has no steps')
        : this.#error(first, 'the pipeline has no source: begin it with read_file or read_stdin');
    if (this.#nodes.at(-1)?.kind !== 'sink') {
      const last = this.#last ?? first;
      if (last !== undefined)
        throw this.#error(
          last,
          `the pipeline ends with "${last.oxi}" and what it makes goes nowhere: end it with write_file or write_stdout`,
        );
    }
    return {
      source: this.#source,
      parser: this.#parser,
      select: this.#select,
      nodes: this.#nodes,
      steps: this.#steps,
      skipped: this.#skipped,
    };
  }

  #needSource(input: StepInput): void {
    if (this.#source === undefined)
      throw this.#error(input, 'nothing comes into this step: begin the pipeline with a source such as read_file');
  }

  #needRecords(input: StepInput): void {
    this.#needSource(input);
    if (this.#stream === 'bytes')
      throw this.#error(input, `"${input.oxi}" works on records and bytes come here: put parse_json before it`);
    if (this.#stream === 'text')
      throw this.#error(
        input,
        `"${input.oxi}" works on records and text comes here: put it before "${this.#formatter?.id ?? 'the formatter'}"`,
      );
  }

  #context(input: StepInput): { projectRoot: string; stepId: string } {
    return { projectRoot: this.#o.projectRoot, stepId: input.id };
  }

  #error(
    input: StepInput,
    text: string,
    code: 'CONFIG_INVALID' | 'UNSUPPORTED' | 'DELIVERY_IMPOSSIBLE' = 'CONFIG_INVALID',
  ): OxiError {
    return stepError(input, text, code);
  }
}

/** The cheapest tier that a step has a form for, of those that this build can run. */
function tierOf(step: Step): Tier {
  if (step.form !== 'record' || step.forms === undefined) return 'values';
  if (AVAILABLE.has('bytes') && step.forms.bytes !== undefined) return 'bytes';
  return AVAILABLE.has('spans') && step.forms.spans !== undefined ? 'spans' : 'values';
}

/** Gives an error of a step's configuration the place in the file. */
function locating<T>(input: StepInput, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof OxiError) || error.place.file !== undefined) throw error;
    const { file, line, column } = input.locate(error.place.field ?? '');
    // A field that `--set` gave stands on no line.
    const at = line === 0 ? `--set ${input.id}.${error.place.field ?? ''}` : `${file}:${line}:${column}`;
    throw new OxiError(error.code, `${at}: ${error.message}`, {
      place: { ...error.place, file, line, column },
      cause: error,
    });
  }
}

function stepError(
  input: StepInput,
  text: string,
  code: 'CONFIG_INVALID' | 'UNSUPPORTED' | 'DELIVERY_IMPOSSIBLE',
): OxiError {
  const { file, line, column } = input.where;
  return new OxiError(code, `${file}:${line}:${column}: step "${input.id}": ${text}`, {
    place: { step: input.id, file, line, column },
  });
}

/** Fields of the format that this version would not honour: refused, since passing over them would change what a pipeline means. */
function refuseUnsupported(input: StepInput): void {
  const asked: [boolean, string][] = [
    [input.onError === 'dead_letter', 'on_error: dead_letter'],
    [input.retryAttempts > 0, 'retry_attempts'],
    [input.timeoutSeconds !== undefined, 'timeout_seconds'],
    [input.maxMemoryMb !== undefined, 'max_memory_mb'],
    [input.continueOnError, 'continue_on_error'],
    [input.limits !== undefined, 'limits'],
  ];
  const field = asked.find(([is]) => is)?.[1];
  if (field !== undefined)
    throw stepError(
      input,
      `"${field}" belongs to the format and this version can't honour it: leave it out`,
      'UNSUPPORTED',
    );
}

/** A hash of plain data. A secret counts as `***`: a rotated password does not make another plan. */
export function hashOf(value: unknown): string {
  const text = JSON.stringify(value, (_key, part: unknown) => {
    if (part instanceof Map) return [...part];
    if (typeof part === 'bigint') return String(part);
    return part;
  });
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/** The specs that cross to a thread. */
export function stageSteps(stage: PlannedStage): StageStepSpec[] {
  return stage.steps.map(({ id, oxi, config, onError, byFramer }) => ({
    id,
    oxi,
    config,
    onError,
    ...(byFramer === undefined ? {} : { byFramer }),
  }));
}
