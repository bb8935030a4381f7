/** Cuts stages apart where one step needs every block in order and the others want threads. */
import type { PlannedNode, PlannedStage, PlannedStep } from './plan.ts';

/** Steps with ordered state run on one thread, where they stand; what is before and behind them keeps its threads. */
export function splitOrdered(nodes: readonly PlannedNode[], ordered: ReadonlySet<PlannedStep>): PlannedNode[] {
  return nodes.flatMap((node) =>
    node.kind === 'stage' && node.ordered && node.threads > 1 && node.place === 'main' ? split(node, ordered) : [node],
  );
}

function split(stage: PlannedStage, ordered: ReadonlySet<PlannedStep>): PlannedStage[] {
  const stages: PlannedStage[] = [];
  for (const step of stage.steps) {
    const isOrdered = ordered.has(step);
    const last = stages.at(-1);
    if (last !== undefined && last.ordered === isOrdered) last.steps.push(step);
    else
      stages.push({
        ...stage,
        steps: [step],
        ordered: isOrdered,
        threads: isOrdered ? 1 : stage.threads,
        checked: stage.checked || stages.length > 0,
      });
  }
  return stages;
}
