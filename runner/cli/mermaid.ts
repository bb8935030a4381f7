/** A plan as a flowchart of Mermaid: steps are nodes, segments are boxes, dead letters are dotted. */
import type { Plan, PlannedStep, SegmentOutline } from '../engine/plan.ts';
import { shown } from './plan-text.ts';

type Step = SegmentOutline['steps'][number] & Partial<Pick<PlannedStep, 'onError'>>;

const SHAPES = { source: ['([', '])'], sink: ['[(', ')]'], tee: ['{{', '}}'] } as const;

export function mermaidText(name: string, plan: Plan): string {
  const lines = ['flowchart LR'];
  // Ids of steps could be words of Mermaid ("end"): nodes are numbered.
  const nodes = new Map(plan.steps.map((step, i) => [step.id, `s${i}`]));
  const node = (id: string): string => nodes.get(id) ?? '';
  const edges: string[] = [];
  plan.segments.forEach(({ steps: outlined, planned }, i) => {
    const steps: readonly Step[] = planned?.steps ?? outlined;
    const title = plan.segments.length === 1 ? name : `${name}, part ${i + 1}`;
    lines.push(`  subgraph g${i}[${label(title)}]`);
    for (const step of steps) {
      const [open, close] = shapeOf(step.kind);
      lines.push(`    ${node(step.id)}${open}${label(shown(step))}${close}`);
      // Of several sources, each stands in for the one before it: all of them lead to the same step.
      const sources = planned?.sources.map((source) => source.step.id) ?? [];
      const from = step.after !== undefined && sources.includes(step.after) ? sources : [step.after];
      for (const id of from) if (id !== undefined) edges.push(`  ${node(id)} --> ${node(step.id)}`);
      if (step.onError === 'dead_letter' && plan.deadLetters !== undefined)
        edges.push(`  ${node(step.id)} -.-> letters`);
    }
    lines.push('  end');
    if (i > 0) edges.push(`  g${i - 1} ==> g${i}`);
  });
  if (plan.deadLetters !== undefined) lines.push(`  letters[(${label(`dead letters: ${plan.deadLetters.path}`)})]`);
  return `${[...lines, ...edges].join('\n')}\n`;
}

function shapeOf(kind: PlannedStep['kind']): readonly [string, string] {
  return kind === 'source' || kind === 'sink' || kind === 'tee' ? SHAPES[kind] : ['[', ']'];
}

/** A label that no text can leave: all but plain signs become entities of Mermaid, and what can't be shown a blank. */
function label(text: string): string {
  const plain = text.replaceAll(/\p{Cc}|\p{Cf}|\p{Cs}|\u2028|\u2029/gu, ' ');
  return `"${plain.replaceAll(/[^\p{L}\p{M}\p{N} _.,:/-]/gu, (sign) => `#${sign.codePointAt(0)};`)}"`;
}
