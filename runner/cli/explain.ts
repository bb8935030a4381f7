/** Why a plan is as it is: tiers of steps, ends of stages, threads, and what parts of a pipeline wait for. */
import type { Pipeline } from '../config/pipeline.ts';
import type { StepSpec } from '../config/steps.ts';
import type { Framing, StreamInfo } from '../engine/contracts.ts';
import { once } from '../engine/once.ts';
import {
  allNodes,
  type Plan,
  type PlannedBatch,
  type PlannedNode,
  type PlannedStage,
  type Segment,
  type StepTier,
  stepsOf,
} from '../engine/plan.ts';
import { kernelProblem } from '../kernel/bytes/wasm.ts';
import { registry } from '../oxis/registry.ts';

export interface ExplainedStage {
  steps: { id: string; tier: string; why: string | null }[];
  threads: { most: number; why: string };
  /** Why the next step is not part of it. */
  ends: string;
}

/** Every stage, in order. `stream`: how the records of the first input stand, where that is known. */
export function explainStages(plan: Plan, pipeline: Pipeline, stream?: StreamInfo): ExplainedStage[] {
  const asked = new Map(flat(pipeline.steps).map(({ id, threads }) => [id, threads]));
  const problem = once(kernelProblem);
  return plan.segments.flatMap(({ planned }, segment) => {
    const bytes = bytesNote(planned, segment === 0 ? stream : undefined, problem);
    const readers = planned?.sources.map(({ step }) => asked.get(step.id)).findLast((n) => n !== undefined);
    return chains(planned?.nodes ?? []).flatMap((nodes) =>
      nodes.flatMap((node, i) => {
        if (node.kind !== 'stage' && node.kind !== 'batch') return [];
        const steps = stepsOf(node).map(({ id, tier = VALUES }) => {
          if (tier.tier === 'values') return { id, tier: tier.tier, why: tier.why ?? null };
          const held = bytes(id, node.kind);
          if (held.tier === 'values') return { id, tier: held.tier, why: held.why ?? null };
          const whys = [tier.why, held.why].filter((why) => why !== undefined);
          return { id, tier: tier.tier, why: whys.length === 0 ? null : whys.join('; ') };
        });
        const threads =
          node.kind === 'batch'
            ? batchThreads(node)
            : { most: node.threads, why: threadsReason(node, i === 0 ? readers : undefined) };
        return [{ steps, threads, ends: endReason(node, nodes[i + 1]) }];
      }),
    );
  });
}

const VALUES: StepTier = { tier: 'values', why: undefined };

function batchThreads({ spec, step }: PlannedBatch): ExplainedStage['threads'] {
  if (step.tier?.tier === 'bytes') return { most: 1, why: 'those of the stage before it write its arrays' };
  return spec.waiting > 0
    ? { most: 2, why: 'one takes records in, the other hands batches on' }
    : { most: 1, why: 'it takes records in order' };
}

/** What holds for a step of a segment that the kernel has a program for. */
function bytesNote(
  planned: Segment | undefined,
  stream: StreamInfo | undefined,
  problem: () => string | undefined,
): (id: string, kind: 'stage' | 'batch') => StepTier {
  const comesCut = once(() => {
    const { parser } = planned ?? {};
    if (parser === undefined || stream === undefined) return false;
    const at = { offset: 0, state: null, name: '' };
    return parser.oxi.chunk?.(parser.step.config as never, stream, at) === undefined;
  });
  return (id, kind) => {
    const why = problem();
    if (why !== undefined) return { tier: 'values', why: `the byte kernel can't run here: ${why}` };
    if (stream === undefined || !comesCut()) return { tier: 'bytes', why: undefined };
    const input = `the input is ${NAMES[stream.framing]}`;
    if (kind === 'batch') return { tier: 'values', why: `${input}, which threads can't read by themselves` };
    if (id !== planned?.parser?.step.id) return { tier: 'bytes', why: undefined };
    return stream.framing === 'rows'
      ? { tier: 'values', why: `${input} that the kernel can't cut` }
      : { tier: 'bytes', why: `${input}, which one thread cuts into records` };
  };
}

const NAMES: Readonly<Record<Framing, string>> = {
  lines: 'lines that have to be changed first',
  array: 'one array',
  document: 'one document',
  rows: 'rows',
};

/** A chain, and the chains within it. */
function chains(nodes: readonly PlannedNode[]): (readonly PlannedNode[])[] {
  return [nodes, ...nodes.flatMap((node) => (node.kind === 'tee' ? chains(node.nodes) : []))];
}

function threadsReason(stage: PlannedStage, readers: number | undefined): string {
  const limit = stage.steps.find(({ limits }) => limits.concurrentOperations === stage.threads);
  if (stage.ordered) return 'a step of it has state that needs every record in order';
  if (limit !== undefined && (stage.explicit || stage.place !== 'main'))
    return `"${limit.id}" allows ${stage.threads} at the same time`;
  if (stage.explicit) return '"threads" of its steps says so';
  if (stage.idle) return 'its records were checked before, and nothing else is done to them';
  if (readers !== undefined) return '"threads" of its source says so';
  if (stage.place !== 'main') return 'its step names no number';
  return 'no step names a number: "threads" of a step does, or --threads of run';
}

function endReason(stage: PlannedStage | PlannedBatch, next: PlannedNode | undefined): string {
  const [step] = next === undefined ? [] : stepsOf(next);
  if (next === undefined || step === undefined) return 'nothing stands behind it';
  if (next.kind === 'sink') return `"${step.id}" is a sink`;
  if (next.kind === 'batch') return `"${step.id}" makes batches`;
  if (next.kind === 'tee') return `"${step.id}" begins a second chain`;
  if (stage.kind === 'batch') return `"${step.id}" works on what it makes`;
  const outside = next.place === 'beside' || stage.place === 'beside';
  if (next.place !== stage.place || next.place !== 'main') {
    const which = next.place === 'main' ? stage.steps.at(-1)?.id : step.id;
    return outside
      ? `"${which}" waits for something outside, and has a stage of its own`
      : `"${which}" may loop, and runs on threads that can be ended`;
  }
  if (next.ordered !== stage.ordered)
    return `"${next.ordered ? step.id : stage.steps.at(-1)?.id}" needs every record in order, and others do not`;
  return `"${step.id}" asks for ${next.threads} threads and "${stage.steps.at(-1)?.id}" has ${stage.threads}`;
}

export interface Barrier {
  before: string;
  because: { step: string; field: string; reference: string; needs: string }[];
}

/** Where a part of the pipeline waits for the end of the one before it, and which references need that. */
export function barriersOf(plan: Plan, pipeline: Pipeline): Barrier[] {
  const specs = new Map(flat(pipeline.steps).map((spec) => [spec.id, spec]));
  const earlier = new Set<string>();
  return plan.segments.flatMap(({ steps }, i) => {
    const because = steps.flatMap(({ id }) =>
      (specs.get(id)?.references ?? []).flatMap(({ reference, field }) =>
        earlier.has(reference.step)
          ? [
              {
                step: id,
                field,
                reference: `\${steps.${[reference.step, ...reference.path].join('.')}}`,
                needs: reference.step,
              },
            ]
          : [],
      ),
    );
    for (const { id } of steps) earlier.add(id);
    const first = steps[0];
    return i === 0 || first === undefined ? [] : [{ before: first.id, because }];
  });
}

export interface Tightened {
  step: string;
  limit: string;
  value: number;
  /** What its oxi allows; null where it sets no limit. */
  most: number | null;
}

const LIMITS = [
  ['maxBatchSize', 'max_batch_size'],
  ['maxMemoryMb', 'max_memory_mb'],
  ['maxProcessingTimeMs', 'max_processing_time_ms'],
  ['concurrentOperations', 'concurrent_operations'],
] as const;

/** Limits that the pipeline has set lower than the oxi does. */
export function tightenedLimits(plan: Plan): Tightened[] {
  return plan.segments.flatMap(({ planned }) =>
    (planned?.steps ?? []).flatMap(({ id, oxi, limits }) =>
      LIMITS.flatMap(([key, limit]): Tightened[] => {
        const value = limits[key];
        const most = registry.get(oxi)?.limits?.[key];
        return value === undefined || value === most ? [] : [{ step: id, limit, value, most: most ?? null }];
      }),
    ),
  );
}

/** What holds for the whole pipeline, and because of which step it is not more. */
export function guaranteeOf(plan: Plan): {
  guarantee: 'once' | 'at_least_once' | 'starts_over';
  because: string | null;
} {
  const segments = plan.segments.flatMap(({ planned }) => planned ?? []);
  const once = segments.flatMap(({ sources }) => sources).find(({ source }) => source.kind === 'once');
  if (once !== undefined) return { guarantee: 'starts_over', because: once.step.id };
  const append = segments
    .flatMap(({ nodes }) => allNodes(nodes))
    .find((node) => node.kind === 'sink' && node.sink.guarantee === 'append');
  if (append !== undefined) return { guarantee: 'at_least_once', because: stepsOf(append)[0]?.id ?? null };
  return { guarantee: 'once', because: null };
}

function flat(steps: readonly StepSpec[]): StepSpec[] {
  return steps.flatMap((step) => [step, ...flat(step.steps ?? [])]);
}
