/** Makes the nodes of one chain, step by step: what kind of stream flows at each place, and where stages begin and end. */

import type { World } from '../kernel/bytes/world.ts';
import { noteBatchTiers } from './array-lane.ts';
import { checkDelivery, checkEnds, needRecords, needSource, refuseIdle, type Stream } from './chain-checks.ts';
import type {
  BatchOxi,
  BlockStep,
  FormatterOxi,
  MakeContext,
  Oxi,
  ParserOxi,
  RecordStep,
  Share,
  SinkOxi,
  SourceOxi,
  Step,
  StepOxi,
  Tier,
} from './contracts.ts';
import type { OxiError } from './errors.ts';
import { columnsOf } from './first-look.ts';
import { tightenLimits } from './limits.ts';
import {
  hashOf,
  type PlannedNode,
  type PlannedSink,
  type PlannedSource,
  type PlannedStage,
  type PlannedStep,
  type Segment,
  type StepInput,
  type StepMetadata,
  stepsOf,
} from './plan.ts';
import type { Places } from './same-place.ts';
import { splitOrdered } from './split-ordered.ts';
import type { OnError } from './stage-spec.ts';
import { locating, locatingLater, stepError } from './step-error.ts';
import { noteTiers } from './tiers.ts';

export interface ChainOptions {
  oxis: ReadonlyMap<string, Oxi>;
  projectRoot: string;
  share?: Share | undefined;
  /** Threads of stages that say nothing. */
  threads: number;
  /** The tier that everything runs on that can; undefined: the fastest. */
  tier?: Tier | undefined;
  /** What expressions find beside the record; undefined where that is not known yet. */
  world?: World | undefined;
  delivery: 'at_least_once' | 'exactly_once';
  /** Evaluates a `condition` at the start. */
  condition(step: StepInput, text: string, steps: ReadonlyMap<string, StepMetadata>): boolean;
  /** Where sinks write to, and which step does: shared by all chains of a pipeline. */
  places: Places;
  /** Ids of the steps that others refer to. */
  referenced: ReadonlySet<string>;
  /** Names by which others refer to fields of a step's only record. */
  fields: ReadonlyMap<string, ReadonlySet<string>>;
}

const MB = 1024 * 1024;

export class ChainBuilder {
  readonly #o: ChainOptions;
  readonly #known: Map<string, StepMetadata>;
  /** Those of its own steps that are known when they open. */
  readonly #opened = new Map<string, StepMetadata>();
  readonly #steps: PlannedStep[] = [];
  /** Nodes of this chain alone. */
  readonly #nodes: PlannedNode[] = [];
  readonly #skipped: string[] = [];
  #skippedSource = false;
  /** It is a second chain. */
  #isBranch = false;
  readonly #sources: PlannedSource[] = [];
  /** Threads that the source asks for: those of the first stage, if it says nothing. */
  #readers: number | undefined;
  #parser: Segment['parser'];
  #select: Segment['select'];
  #formatter: PlannedSink['formatter'];
  #stream: Stream = 'nothing';
  #last: StepInput | undefined;
  /** The step whose records come next. */
  #after: string | undefined;
  /** A stage has checked the records of this place. */
  #checked = false;
  #unordered = false;

  constructor(options: ChainOptions, known: ReadonlyMap<string, StepMetadata>) {
    this.#o = options;
    this.#known = new Map(known);
  }

  /** The beginning of a second chain behind `step`, which gets what this chain has at this place. */
  #branch(step: PlannedStep): ChainBuilder {
    const branch = new ChainBuilder(this.#o, this.#known);
    branch.#sources.push(...this.#sources);
    branch.#stream = this.#stream;
    branch.#formatter = this.#formatter;
    branch.#checked = this.#checked;
    branch.#unordered = this.#unordered;
    branch.#isBranch = true;
    branch.#after = step.id;
    return branch;
  }

  /** Every source so far was skipped. */
  get #isIdle(): boolean {
    return this.#skippedSource && this.#sources.length === 0;
  }

  async add(input: StepInput): Promise<void> {
    const { condition } = input;
    // Without its source the whole segment has nothing to do.
    if (this.#isIdle && this.#o.oxis.get(input.oxi)?.kind !== 'source') {
      this.#skipped.push(input.id, ...idsOf(input.steps));
      return;
    }
    if (condition !== undefined && !locating(input, () => this.#o.condition(input, condition, this.#known))) {
      this.#skipped.push(input.id, ...idsOf(input.steps));
      this.#skippedSource ||= this.#o.oxis.get(input.oxi)?.kind === 'source';
      return;
    }
    const oxi = this.#o.oxis.get(input.oxi);
    if (oxi === undefined) throw this.#error(input, `unknown oxi "${input.oxi}"`);
    const config = input.resolve(this.#known);
    const step = this.#planned(input, oxi, config);
    this.#steps.push(step);
    if (oxi.kind === 'source') await this.#addSource(input, step, oxi);
    else {
      needSource(input, this.#stream);
      if (oxi.kind === 'parser') await this.#addParser(input, step, oxi);
      else if (oxi.kind === 'step') await this.#addStep(input, step, oxi);
      else if (oxi.kind === 'formatter') this.#addFormatter(input, step, oxi);
      else if (oxi.kind === 'sink') this.#addSink(input, step, oxi);
      else if (oxi.kind === 'batch') this.#addBatch(input, step, oxi);
      else await this.#addTee(input, step);
    }
    this.#after = step.id;
    this.#last = input;
  }

  #planned(input: StepInput, oxi: Oxi, config: unknown): PlannedStep {
    const { continueOnError, onError, retryAttempts, retryDelaySeconds, timeoutSeconds, maxMemoryMb } = input;
    const handling: OnError =
      continueOnError && oxi.kind !== 'sink' && oxi.kind !== 'source' ? continuing(oxi, onError) : onError;
    const fingerprint =
      oxi.kind === 'step' && oxi.fingerprint !== undefined
        ? locating(input, () => oxi.fingerprint?.(config as never, this.#context(input)))
        : undefined;
    const limits = locating(input, () => tightenLimits(oxi, { id: input.id, limits: input.limits, maxMemoryMb }));
    return {
      id: input.id,
      oxi: input.oxi,
      kind: oxi.kind,
      config,
      onError: handling,
      continues: continueOnError,
      retries: { attempts: retryAttempts, delayMs: retryDelaySeconds * 1000 },
      timeoutMs: timeoutSeconds === undefined ? undefined : timeoutSeconds * 1000,
      limits,
      timeLimited: input.limits?.max_processing_time_ms !== undefined,
      after: this.#after,
      hash: hashOf([input.oxi, handling, config, ...(fingerprint === undefined ? [] : [fingerprint])]),
    };
  }

  async #addSource(input: StepInput, step: PlannedStep, oxi: SourceOxi): Promise<void> {
    const before = this.#sources.at(-1);
    if (this.#isBranch)
      throw this.#error(input, 'a second chain has no source of its own: it gets what comes to the tee');
    if (this.#steps.some(({ kind }) => kind !== 'source'))
      throw this.#error(input, 'a source has to be the first step');
    if (before !== undefined && !before.step.continues)
      throw this.#error(
        input,
        `it is never read: "${before.step.id}" before it is; give one of them a condition that is false, or "${before.step.id}" continue_on_error`,
      );
    if (before !== undefined && before.oxi.output !== oxi.output)
      throw this.#error(input, `"${before.step.id}" gives ${before.oxi.output} and this one ${oxi.output}`);
    step.after = undefined;
    const source = locating(input, () => oxi.make(step.config as never, this.#context(input)));
    this.#sources.push({ step, oxi, source });
    this.#stream = oxi.output;
    this.#readers = input.threads ?? this.#readers;
    if (!this.#o.referenced.has(input.id) || source.metadata === undefined) return;
    const splits = await source.splits().catch((error) => {
      if (input.continueOnError) return [];
      throw error;
    });
    const [only] = splits;
    if (splits.length === 1 && only !== undefined) this.#open(input.id, await source.metadata(only));
  }

  #open(id: string, metadata: StepMetadata): void {
    this.#known.set(id, metadata);
    this.#opened.set(id, metadata);
  }

  async #addParser(input: StepInput, step: PlannedStep, oxi: ParserOxi): Promise<void> {
    if (input.continueOnError)
      throw this.#error(
        input,
        '"continue_on_error" can\'t hold here: what is broken can\'t be passed on; use on_error',
      );
    if (this.#stream !== 'bytes')
      throw this.#error(
        input,
        `"${input.oxi}" reads bytes and what comes here is ${this.#stream}; put it straight behind the source`,
      );
    // Bytes that were not cut can be copied; of those that are, the text between two blocks belongs to nobody.
    if (this.#isBranch || this.#nodes.length > 0)
      throw this.#error(
        input,
        `"${input.oxi}" has to stand straight behind the source: put it before "${this.#nodes[0] === undefined ? this.#after : stepsOf(this.#nodes[0])[0]?.id}"`,
      );
    // Both hold a record until its end has come: the one that takes less decides.
    const limits = [step, ...this.#sources.map((source) => source.step)].map((one) => one.limits.maxMemoryMb);
    step.config = oxi.within(step.config as never, Math.min(...limits.map((mb) => mb ?? Number.POSITIVE_INFINITY)));
    this.#parser = { step, oxi };
    this.#stream = 'records';
    this.#join(input, step, oxi);
    if (!this.#o.referenced.has(input.id) || oxi.columns === undefined) return;
    const columns = oxi.columns(step.config as never, '') ?? (await this.#columnsOf({ oxi, config: step.config }));
    if (columns !== undefined) this.#open(input.id, { columns: columns.join(',') });
  }

  /** Those of the one file that can be only what is read; a text that comes only once is not looked at before its time. */
  async #columnsOf(parser: { oxi: ParserOxi; config: unknown }): Promise<readonly string[] | undefined> {
    const [first, ...others] = this.#sources;
    if (first === undefined || others.length > 0 || first.step.continues || first.source.kind === 'once')
      return undefined;
    const [only, ...more] = await first.source.splits();
    return only === undefined || more.length > 0 ? undefined : columnsOf(first.source, only, parser);
  }

  async #addStep(input: StepInput, step: PlannedStep, oxi: StepOxi): Promise<void> {
    needRecords(input, this.#stream, this.#formatter);
    await locatingLater(input, oxi.check?.(step.config as never, this.#context(input)));
    if (oxi.select !== undefined && this.#parser !== undefined && this.#steps.at(-2) === this.#parser.step) {
      this.#select = oxi.select(step.config as never);
      if (this.#select.whole !== true) step.byFramer = true;
    }
    this.#join(input, step, oxi);
  }

  #addFormatter(input: StepInput, step: PlannedStep, oxi: FormatterOxi): void {
    needRecords(input, this.#stream, this.#formatter);
    this.#join(input, step, oxi);
    this.#formatter = { oxi, config: step.config, id: input.id, layOut: false };
    this.#stream = 'text';
    const columns = oxi.columns?.(step.config as never);
    if (columns !== undefined && this.#o.referenced.has(input.id)) this.#open(input.id, { columns: columns.join(',') });
  }

  #addSink(input: StepInput, step: PlannedStep, oxi: SinkOxi): void {
    const sink = locating(input, () => oxi.make(step.config as never, this.#context(input)));
    const twin = this.#o.places.claim(input.id, sink);
    if (twin !== undefined) throw this.#error(input, twin);
    if (this.#o.delivery === 'exactly_once') checkDelivery(input, this.#sources, sink);
    let formatter = this.#formatter;
    if (this.#stream === 'records') {
      const implicit = oxi.implicitFormat(step.config as never);
      const format = this.#o.oxis.get(implicit.oxi);
      if (format?.kind !== 'formatter') throw new Error(`${implicit.oxi} is no formatter`);
      const made = format.make(implicit.config as never, this.#context(input));
      formatter = { oxi: format, config: implicit.config, id: input.id, layOut: made.form === 'block' };
    } else refuseIdle(input, this.#formatter, oxi.onlyImplicit?.(step.config as never) ?? []);
    this.#nodes.push({ kind: 'sink', step, oxi, sink, formatter });
  }

  #addBatch(input: StepInput, step: PlannedStep, oxi: BatchOxi): void {
    needRecords(input, this.#stream, this.#formatter);
    const asked = locating(input, () => oxi.batch(step.config as never, input.threads ?? 1));
    const { maxBatchSize = asked.maxRecords, maxMemoryMb } = step.limits;
    const spec = {
      ...asked,
      maxRecords: Math.min(asked.maxRecords, maxBatchSize),
      maxBytes: Math.min(asked.maxBytes, (maxMemoryMb ?? Number.POSITIVE_INFINITY) * MB),
    };
    if (!spec.preserveOrder) this.#unordered = true;
    this.#nodes.push({ kind: 'batch', step, spec });
  }

  async #addTee(input: StepInput, step: PlannedStep): Promise<void> {
    const branch = this.#branch(step);
    const inner = input.steps ?? [];
    for (const one of inner) await branch.add(one);
    const { nodes, steps, skipped, opened } = branch.finish(inner);
    for (const [id, metadata] of opened) this.#open(id, metadata);
    this.#steps.push(...steps);
    this.#skipped.push(...skipped);
    this.#nodes.push({ kind: 'tee', step, nodes });
  }

  #join(input: StepInput, step: PlannedStep, oxi: ParserOxi | StepOxi | FormatterOxi): void {
    // Made once to find what is wrong with it before anything starts, and which forms it has; the stages make their own.
    const made = locating(input, () => oxi.make(step.config as never, this.#context(input)));
    const parts: readonly (RecordStep | BlockStep)[] = isList(made) ? made : [made];
    const place =
      oxi.kind !== 'step' ? 'main' : oxi.mayLoop === true ? 'apart' : oxi.waits === true ? 'beside' : 'main';
    const stage = this.#stage(input, place);
    stage.steps.push(step);
    const fields = this.#o.fields.get(input.id);
    if (fields !== undefined && oxi.kind !== 'formatter') stage.keeps = { id: input.id, fields: [...fields] };
    if (!input.ordered) stage.keepsOrder = false;
    if (parts.some((part) => part.form === 'block' && part.state === 'ordered')) {
      stage.ordered = true;
      this.#orderedSteps.add(step);
    }
    if (parts.some((part) => part.form === 'block' || part.passes !== true)) stage.idle = false;
    this.#made.set(step, parts);
    this.#checked = true;
  }

  readonly #orderedSteps = new Set<PlannedStep>();
  readonly #made = new Map<PlannedStep, readonly Step[]>();

  /**
   * The stage that this step joins: the last one, unless another node stands between, both name different thread counts, or one
   * of them has to run elsewhere.
   */
  #stage(input: StepInput, place: PlannedStage['place']): PlannedStage {
    const last = this.#nodes.at(-1);
    if (last?.kind === 'stage' && last.keeps === undefined && place === 'main' && last.place === 'main') {
      if (input.threads === undefined) return last;
      if (!last.explicit || last.threads === input.threads) {
        last.threads = input.threads;
        last.explicit = true;
        return last;
      }
    }
    const first = this.#nodes.length === 0 && this.#parser !== undefined;
    const stage: PlannedStage = {
      kind: 'stage',
      steps: [],
      threads: input.threads ?? (first ? this.#readers : undefined) ?? (place === 'main' ? this.#o.threads : 1),
      explicit: input.threads !== undefined,
      tier: 'values',
      cutsBytes: false,
      ordered: false,
      place,
      keepsOrder: !this.#unordered,
      checked: this.#checked,
      idle: this.#checked,
    };
    this.#nodes.push(stage);
    return stage;
  }

  /** `next`: the source that begins the segment behind this one. */
  finish(inputs: readonly StepInput[], next?: StepInput): Segment {
    const [first] = inputs;
    if (!this.#isIdle && first !== undefined)
      checkEnds({ first, last: this.#last, next }, { sources: this.#sources, end: this.#nodes.at(-1) });
    return {
      sources: this.#sources,
      parser: this.#parser,
      select: this.#select,
      nodes: this.#tiered(splitOrdered(this.#nodes.map(narrowed), this.#orderedSteps)),
      steps: this.#steps,
      skipped: this.#skipped,
      opened: this.#opened,
    };
  }

  #tiered(nodes: PlannedNode[]): PlannedNode[] {
    nodes.forEach((stage, i) => {
      if (stage.kind !== 'stage') return;
      const parser = i === 0 && !this.#isBranch ? this.#parser : undefined;
      const last = nodes[i - 1];
      const before = last?.kind === 'stage' ? last.steps.at(-1)?.tier?.tier : undefined;
      const { tier: forced, world } = this.#o;
      noteTiers({ stage, made: this.#made, parser, select: this.#select, forced, before, world });
    });
    noteBatchTiers(nodes, this.#isBranch ? undefined : this.#parser, this.#sources, this.#select);
    return nodes;
  }

  #context(input: StepInput): MakeContext {
    return { projectRoot: this.#o.projectRoot, share: this.#o.share, stepId: input.id };
  }

  #error(input: StepInput, text: string, code?: Parameters<typeof stepError>[2]): OxiError {
    return stepError(input, text, code);
  }
}

/** Ids of steps and of those within them. */
function idsOf(steps: readonly StepInput[] = []): string[] {
  return steps.flatMap(({ id, steps: inner }) => [id, ...idsOf(inner)]);
}

/** No more units of work at the same time than every step of a stage allows. */
function narrowed(node: PlannedNode): PlannedNode {
  if (node.kind !== 'stage') return node;
  const most = node.steps.map(({ limits }) => limits.concurrentOperations ?? Number.POSITIVE_INFINITY);
  return { ...node, threads: Math.min(node.idle && !node.explicit ? 1 : node.threads, ...most) };
}

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}

/** A record that fails goes on as it came in; what a formatter can't lay out is left out: it would be no text of that format. */
function continuing(oxi: Oxi, onError: OnError): OnError {
  if (oxi.kind !== 'formatter') return 'pass';
  return onError === 'stop' ? 'drop' : onError;
}
