/**
 * What a pipeline is once it is planned: segments that run one after the other, each a chain of nodes from a source to its
 * sinks. `planner.ts` makes it; everything that runs, checks or explains a pipeline reads it.
 */
import { createHash } from 'node:crypto';
import type {
  BatchSpec,
  FormatterOxi,
  Oxi,
  ParserOxi,
  ProcessingLimits,
  SelectPath,
  Sink,
  SinkOxi,
  Source,
  SourceOxi,
  Tier,
} from './contracts.ts';
import type { AskedLimits } from './limits.ts';
import type { OnError, StageStepSpec } from './stage-spec.ts';

export type StepMetadata = Readonly<Record<string, string | number | boolean>>;

/** A step as the configuration gives it. `resolve` may be called once the steps before it are known. */
export interface StepInput {
  readonly oxi: string;
  readonly id: string;
  readonly onError: 'stop' | 'drop' | 'dead_letter';
  readonly ordered: boolean;
  readonly threads: number | undefined;
  readonly retryAttempts: number;
  readonly retryDelaySeconds: number;
  readonly timeoutSeconds: number | undefined;
  readonly maxMemoryMb: number | undefined;
  readonly continueOnError: boolean;
  readonly condition: string | undefined;
  readonly limits: AskedLimits | undefined;
  readonly where: { file: string; line: number; column: number };
  readonly references: readonly { readonly reference: { readonly step: string; readonly path: readonly string[] } }[];
  /** Its config with references as they are written: what stands for it in the plan's hash where they are not known yet. */
  readonly raw: unknown;
  /** The steps of a second chain (tee). */
  readonly steps?: readonly StepInput[];
  resolve(steps: ReadonlyMap<string, StepMetadata>): unknown;
  /** Place of a field of its config. */
  locate(field: string): { file: string; line: number; column: number };
}

export interface PlannedStep {
  id: string;
  oxi: string;
  kind: Oxi['kind'];
  config: unknown;
  onError: OnError;
  /** A sink or source that fails for good does not end the run (continue_on_error). */
  continues: boolean;
  /** Further attempts of a failed unit of work, and the wait before the first of them. */
  retries: { attempts: number; delayMs: number };
  /** For one unit of work. */
  timeoutMs: number | undefined;
  /** Those of its oxi, tightened by its configuration. */
  limits: ProcessingLimits;
  /** The configuration says how long one unit of work may take (`max_processing_time_ms`). */
  timeLimited: boolean;
  /** The step whose records come here; absent for a source. */
  after: string | undefined;
  /** Of everything that decides what the step does. */
  hash: string;
  /** The framer may do its work: see `StreamInfo.selected`. */
  byFramer?: true;
  /** Of a step of a stage, and of a batch: the cheapest tier that it has, and why it has no cheaper one. */
  tier?: StepTier;
}

export interface StepTier {
  tier: Tier;
  /** Why it is not a cheaper one; undefined where there is none. */
  why: string | undefined;
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
  /** The tier that everything runs on that can; undefined: the fastest. */
  forced?: Tier | undefined;
  /** Its first steps run on the byte kernel, which cuts the lines that the source reads. */
  cutsBytes: boolean;
  /** A step of it has state that needs every block in order: it runs on one thread, here. */
  ordered: boolean;
  /** main: here, or on a pool with threads; apart: on threads that can be ended; beside: here, several side by side. */
  place: 'main' | 'apart' | 'beside';
  /** Blocks leave in the order in which they came. */
  keepsOrder: boolean;
  /** Its records were checked by a stage before it. */
  checked: boolean;
  /** None of its steps has anything to do to records that were checked: threads of its own would only cost. */
  idle: boolean;
  /** Fields of its last step's only record that somebody refers to: nobody joins the stage behind that. */
  keeps?: { id: string; fields: readonly string[] };
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

export interface PlannedBatch {
  kind: 'batch';
  step: PlannedStep;
  spec: BatchSpec;
}

interface PlannedTee {
  kind: 'tee';
  step: PlannedStep;
  /** The second chain. */
  nodes: PlannedNode[];
}

export type PlannedNode = PlannedStage | PlannedSink | PlannedBatch | PlannedTee;

export interface PlannedSource {
  step: PlannedStep;
  oxi: SourceOxi;
  source: Source;
}

/** One chain, from where its records come to where they all have gone. */
export interface Segment {
  /** The first that can be opened is read; more than one only where those before it may fail. */
  sources: readonly PlannedSource[];
  parser: { step: PlannedStep; oxi: ParserOxi } | undefined;
  /** The path of a json_select straight behind the parser. */
  select: SelectPath | undefined;
  nodes: PlannedNode[];
  /** Every step of it, those of second chains too, in order. */
  steps: PlannedStep[];
  skipped: string[];
  /** What was known of its steps when they opened, by id; of those that others refer to. */
  opened: ReadonlyMap<string, StepMetadata>;
}

/** What is known of a segment before the ones in front of it have run. */
export interface SegmentOutline {
  /** Every step, in order; their config as it is written where it is not known yet. */
  readonly steps: readonly Pick<PlannedStep, 'id' | 'oxi' | 'kind' | 'hash' | 'after' | 'config' | 'byFramer'>[];
  /** Absent where it refers to what earlier segments leave behind. */
  readonly planned: Segment | undefined;
  /** Plans it; `known`: what the steps of earlier segments have left, by id. */
  plan(known: ReadonlyMap<string, StepMetadata>): Promise<Segment>;
}

export interface DeadLetterPlan {
  sink: Sink;
  /** As the pipeline gives it. */
  path: string;
  maxRecords: number;
}

export interface Plan {
  segments: readonly SegmentOutline[];
  /** Every step, in order. */
  steps: SegmentOutline['steps'];
  deadLetters: DeadLetterPlan | undefined;
}

/** Every node, those of second chains too, in order. */
export function allNodes(nodes: readonly PlannedNode[]): PlannedNode[] {
  return nodes.flatMap((node) => (node.kind === 'tee' ? [node, ...allNodes(node.nodes)] : [node]));
}

export function sinksOf(nodes: readonly PlannedNode[]): PlannedSink[] {
  return allNodes(nodes).filter((node) => node.kind === 'sink');
}

export function stepsOf(node: PlannedNode): PlannedStep[] {
  return node.kind === 'stage' ? node.steps : [node.step];
}

/** A hash of plain data. A secret counts as `***`: a rotated password does not make another plan. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(plainText(value)).digest('hex').slice(0, 32);
}

/** Plain data as JSON text. A map is an object, unless its names would come in another order. */
export function plainText(value: unknown): string {
  const text: string | undefined = JSON.stringify(value, (_key, part: unknown) => {
    if (part instanceof Map)
      return [...part.keys()].some((name) => /^\d+$/.test(name)) ? [...part] : Object.fromEntries(part);
    return typeof part === 'bigint' ? String(part) : part;
  });
  return text ?? '';
}

/** The specs that cross to a thread. */
export function stageSteps(stage: PlannedStage): StageStepSpec[] {
  return stage.steps.map(({ id, oxi, config, onError, limits, byFramer }) => ({
    id,
    oxi,
    config,
    onError,
    limits,
    ...(byFramer === undefined ? {} : { byFramer }),
  }));
}
