/** A plan as people read it. */
import type { Split } from '../engine/contracts.ts';
import type { Plan } from '../engine/plan.ts';
import { humanBytes } from '../observe/human.ts';

export function planText(name: string, plan: Plan, splits: readonly Split[]): string {
  const size = splits.every((split) => split.size !== undefined) ? `, ${humanBytes(splits.reduce((sum, split) => sum + (split.size ?? 0), 0))}` : '';
  const lines = [`${name}: the configuration is good`, `  source   ${plan.source.step.id} (${plan.source.step.oxi}): ${splits.length} ${splits.length === 1 ? 'input' : 'inputs'}${size}`];
  for (const node of plan.nodes) {
    if (node.kind === 'sink') lines.push(`  sink     ${node.step.id} (${node.step.oxi}), guarantee ${node.sink.guarantee}`);
    else lines.push(`  stage    ${node.steps.map((step) => (step.id === step.oxi ? step.id : `${step.id} (${step.oxi})`)).join(' -> ')}, threads ${node.threads}`);
  }
  if (plan.skipped.length > 0) lines.push(`  skipped  ${plan.skipped.join(', ')} (condition is false)`);
  return `${lines.join('\n')}\n`;
}
