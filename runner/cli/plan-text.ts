/** A plan as people read it, and as a document. */
import type { Pipeline } from '../config/pipeline.ts';
import type { Split } from '../engine/contracts.ts';
import type { Plan, PlannedStep } from '../engine/plan.ts';
import { humanBytes } from '../observe/human.ts';

/** `splits`: undefined where the input is not there. */
export function planText(name: string, plan: Plan, splits: readonly Split[] | undefined): string {
  const { source } = plan;
  const lines = [`${name}`, `  source  ${shown(source.step)}: ${inputText(splits)}`];
  for (const node of plan.nodes) {
    if (node.kind === 'sink') lines.push(`  sink    ${shown(node.step)}: ${GUARANTEES[node.sink.guarantee]}`);
    else
      lines.push(
        `  stage   ${node.steps.map(shown).join(' -> ')}: ${node.threads === 1 ? '1 thread' : `${node.threads} threads at most`}`,
      );
  }
  if (plan.skipped.length > 0) lines.push(`  skipped ${plan.skipped.join(', ')}: its condition is false`);
  if (source.source.kind === 'once') lines.push('  a run that is stopped starts over: its input can be read only once');
  return `${lines.join('\n')}\n`;
}

const GUARANTEES = {
  transaction: 'every record once, in one transaction with its mark',
  truncate: 'every record once: what is beyond the last checkpoint is cut off on resume',
  keyed: 'every record once, by its key',
  append: 'every record at least once: a resumed run repeats what came after its checkpoint',
} as const;

function shown({ id, oxi }: PlannedStep): string {
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
    resumable: plan.source.source.kind !== 'once',
    stages: [
      { kind: 'source', steps: [{ id: plan.source.step.id, oxi: plan.source.step.oxi }] },
      ...plan.nodes.map((node) =>
        node.kind === 'sink'
          ? { kind: 'sink', guarantee: node.sink.guarantee, steps: [{ id: node.step.id, oxi: node.step.oxi }] }
          : {
              kind: 'stage',
              threads: node.threads,
              tier: node.tier,
              steps: node.steps.map(({ id, oxi }) => ({ id, oxi })),
            },
      ),
    ],
    skipped: plan.skipped,
    parameters: pipeline.parameters,
  };
}
