/** Why a plan is as it is: tiers of steps, ends of stages, threads, and what parts of a pipeline wait for. */
import type { Pipeline } from '../config/pipeline.ts';
import type { StepSpec } from '../config/steps.ts';
import type { Framing, StreamInfo } from '../engine/contracts.ts';
import { once } from '../engine/once.ts';
import {
  allNodes,
  type Plan,
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
      nodes.flatMap((node, i) =>
        node.kind !== 'stage'
          ? []
          : [
              {
                steps: node.steps.map(({ id, tier = { tier: node.tier, why: undefined } }) => {
                  if (tier.tier === 'values') return { id, tier: tier.tier, why: tier.why ?? null };
                  const held = bytes();
                  if (held.tier === 'values') return { id, tier: held.tier, why: held.why ?? null };
                  const whys = [tier.why, held.why].filter((why) => why !== undefined);
                  return { id, tier: tier.tier, why: whys.length === 0 ? null : whys.join('; ') };
                }),
                threads: { most: node.threads, why: threadsReason(node, i === 0 ? readers : undefined) },
                ends: endReason(node, nodes[i + 1]),
              },
            ],
      ),
    );
  });
}

/** What holds for the steps of a segment that the kernel has a program for. */
function bytesNote(
  planned: Segment | undefined,
  stream: StreamInfo | undefined,
  problem: () => string | undefined,
): () => StepTier {
  return once(() => {
    const { parser, select } = planned ?? {};
    const why = problem();
    if (why !== undefined) return { tier: 'values', why: `the byte kernel can't run here: ${why}` };
    if (parser === undefined) return { tier: 'bytes', why: undefined };
    const config = parser.step.config as never;
    const at = { offset: 0, state: null, name: '' };
    if (stream !== undefined)
      return parser.oxi.chunk?.(config, stream, at) === undefined
        ? { tier: 'values', why: `the input is ${NAMES[stream.framing]}, and the kernel takes whole lines` }
        : { tier: 'bytes', why: undefined };
    const [array, blank] = ['[', ''].map((text) => parser.oxi.detect(config, Buffer.from(text), '', select));
    return { tier: 'bytes', why: array?.framing === blank?.framing ? undefined : 'where its input is lines' };
  });
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

function endReason(stage: PlannedStage, next: PlannedNode | undefined): string {
  const [step] = next === undefined ? [] : stepsOf(next);
  if (next === undefined || step === undefined) return 'nothing stands behind it';
  if (next.kind === 'sink') return `"${step.id}" is a sink`;
  if (next.kind === 'batch') return `"${step.id}" makes batches`;
  if (next.kind === 'tee') return `"${step.id}" begins a second chain`;
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
