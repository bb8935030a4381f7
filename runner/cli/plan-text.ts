/** A plan as people read it, and as a document. */
import type { Pipeline } from '../config/pipeline.ts';
import type { BatchSpec, Split } from '../engine/contracts.ts';
import {
  allNodes,
  type Plan,
  type PlannedNode,
  type PlannedStage,
  type PlannedStep,
  type Segment,
  stepsOf,
} from '../engine/plan.ts';
import { humanBytes } from '../observe/human.ts';

/** `splits`: those of the first segment; undefined where the input is not there. */
export function planText(name: string, plan: Plan, splits: readonly Split[] | undefined): string {
  const lines = [name];
  plan.segments.forEach(({ planned, steps }, i) => {
    if (i > 0) lines.push('  then, when all of that has ended:');
    if (planned === undefined)
      lines.push(`  later   ${steps.map(shown).join(' -> ')}: planned when the steps that it refers to have ended`);
    else lines.push(...segmentLines(planned, i === 0 ? inputText(splits) : 'read when it is there'));
  });
  if (plan.deadLetters !== undefined)
    lines.push(`  dead letters: ${plan.deadLetters.path}, ${plan.deadLetters.maxRecords} at most`);
  return `${lines.join('\n')}\n`;
}

function segmentLines({ sources, nodes, skipped }: Segment, input: string): string[] {
  const lines = sources.map(({ step }, i) => `  source  ${shown(step)}: ${i === 0 ? input : 'where those above fail'}`);
  lines.push(...nodeLines(nodes, '  '));
  if (skipped.length > 0) lines.push(`  skipped ${skipped.join(', ')}: its condition is false`);
  if (sources.some(({ source }) => source.kind === 'once'))
    lines.push('  a run that is stopped starts over: its input can be read only once');
  return lines;
}

function nodeLines(nodes: readonly PlannedNode[], margin: string): string[] {
  return nodes.flatMap((node) => {
    if (node.kind === 'tee') return [`${margin}tee     ${shown(node.step)}`, ...nodeLines(node.nodes, `${margin}  | `)];
    if (node.kind === 'sink') return [`${margin}sink    ${shown(node.step)}: ${GUARANTEES[node.sink.guarantee]}`];
    if (node.kind === 'batch') return [`${margin}batch   ${shown(node.step)}: ${batchText(node.spec)}`];
    return [`${margin}stage   ${node.steps.map(shown).join(' -> ')}: ${threadsText(node)}`];
  });
}

function threadsText({ threads, place, ordered, keepsOrder }: PlannedStage): string {
  if (place === 'beside') return threads === 1 ? 'one block at a time' : `${threads} blocks at a time`;
  const most = threads === 1 ? '1 thread' : `${threads} threads at most`;
  const apart = place === 'apart' ? ', which are ended when they take too long' : '';
  return `${most}${apart}${ordered ? ', every record in order' : ''}${keepsOrder ? '' : ', in any order'}`;
}

function batchText({ emit, maxRecords, maxBytes, maxMs, waiting }: BatchSpec): string {
  const time = maxMs === undefined ? '' : `, ${maxMs} ms`;
  const taken = waiting === 0 ? '' : `; ${waiting} may wait while the next one fills`;
  return `whole at ${maxRecords} records, ${humanBytes(maxBytes)}${time}, as ${emit}${taken}`;
}

const GUARANTEES = {
  transaction: 'every record once, in one transaction with its mark',
  truncate: 'every record once: what is beyond the last checkpoint is cut off on resume',
  keyed: 'every record once, by its key',
  append: 'every record at least once: a resumed run repeats what came after its checkpoint',
} as const;

function shown({ id, oxi }: Pick<PlannedStep, 'id' | 'oxi'>): string {
  return id === oxi ? id : `${id} (${oxi})`;
}

function inputText(splits: readonly Split[] | undefined): string {
  if (splits === undefined) return 'the input is not there';
  const sizes = splits.map(({ size }) => size);
  const total = sizes.every((size) => size !== undefined)
    ? `, ${humanBytes(sizes.reduce((sum, size) => sum + size, 0))}`
    : '';
  return `${splits.length === 1 ? (splits[0]?.name ?? '') : `${splits.length} inputs`}${total}`;
}

export function planDocument(pipeline: Pipeline, plan: Plan, splits: readonly Split[] | undefined): unknown {
  return {
    name: pipeline.name,
    description: pipeline.description,
    delivery: pipeline.delivery,
    inputs: splits?.map(({ name, size }) => ({ name, size })) ?? null,
    resumable: plan.segments.every(
      ({ planned }) => planned?.sources.every(({ source }) => source.kind !== 'once') !== false,
    ),
    stages: plan.segments.flatMap(({ planned, steps }, segment) =>
      planned === undefined
        ? [{ kind: 'later', segment, steps: steps.map(named) }]
        : [
            { kind: 'source', segment, steps: planned.sources.map(({ step }) => named(step)) },
            ...allNodes(planned.nodes).map((node) => ({ segment, ...nodeDocument(node) })),
          ],
    ),
    skipped: plan.segments.flatMap(({ planned }) => planned?.skipped ?? []),
    dead_letters: plan.deadLetters?.path ?? null,
    parameters: pipeline.parameters,
  };
}

function nodeDocument(node: PlannedNode): object {
  const steps = stepsOf(node).map(named);
  if (node.kind === 'sink') return { kind: 'sink', guarantee: node.sink.guarantee, steps };
  if (node.kind === 'stage') {
    const { threads, tier, place, ordered, keepsOrder } = node;
    return { kind: 'stage', threads, tier, place, ordered, keeps_order: keepsOrder, steps };
  }
  return { kind: node.kind, steps };
}

function named({ id, oxi }: Pick<PlannedStep, 'id' | 'oxi'>): { id: string; oxi: string } {
  return { id, oxi };
}
