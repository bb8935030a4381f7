/** The `tests` of a pipeline: what comes in, and how it has to end. They are data: no reference in them is replaced. */
import type { output } from 'zod/v4/core';
import { type DecodeContext, decode } from './decode.ts';
import { didYouMean, listNames } from './nearest.ts';
import { testSchema } from './pipeline-schema.ts';
import type { Where } from './problems.ts';
import type { StepSpec } from './steps.ts';
import type { MapNode, Node } from './tree.ts';

type TestFields = output<ReturnType<typeof testSchema>>;
export type TestInput = NonNullable<TestFields['input']>;

export interface PipelineTest extends TestFields {
  readonly where: Where;
  /** Place of a field, dots between (`expect.records`), else of the nearest part around it. */
  locate(field: string): Where;
}

/** Reads the list under `tests:`. What is wrong goes to the context's problems. */
export function readTests(
  list: Node | undefined,
  steps: readonly StepSpec[],
  context: DecodeContext,
): readonly PipelineTest[] {
  if (list === undefined || (list.kind === 'scalar' && list.value === null)) return [];
  const { problems } = context;
  const about = { ...context.about, field: 'tests' };
  if (list.kind !== 'list') {
    problems.add(list.where, 'must be a list of tests, each with "- name:", "input:" and "expect:"', about);
    return [];
  }
  const ids = flat(steps).map(({ id }) => id);
  const first = new Map<string, Where>();
  return list.items.flatMap((item): PipelineTest[] => {
    if (item.kind !== 'map') {
      problems.add(item.where, 'must be a map with "name:", "input:" and "expect:"', about);
      return [];
    }
    const { value, locate } = decode(testSchema(), plain(item), { ...context, about });
    if (value === undefined) return [];
    const before = first.get(value.name);
    if (before !== undefined)
      problems.add(
        locate('name'),
        `the name "${value.name}" is given twice; the first one is in line ${before.line}`,
        about,
      );
    first.set(value.name, locate('name'));
    const named: [string, string][] = [
      ...(value.step === undefined ? [] : [[value.step, 'step'] satisfies [string, string]]),
      ...Object.keys(value.inputs ?? {}).map((id): [string, string] => [id, `inputs.${id}`]),
      ...Object.keys(value.expect.outputs ?? {}).map((id): [string, string] => [id, `expect.outputs.${id}`]),
      ...(value.expect.dead_letters ?? []).map(({ step }, i): [string, string] => [
        step,
        `expect.dead_letters.${i}.step`,
      ]),
    ];
    for (const [id, field] of named) {
      if (ids.includes(id)) continue;
      const near = didYouMean(id, ids);
      problems.add(locate(field), `no step "${id}"${near === '' ? `; there are: ${listNames(ids)}` : near}`, about);
    }
    return [{ ...value, where: item.where, locate }];
  });
}

function flat(steps: readonly StepSpec[]): StepSpec[] {
  return steps.flatMap((step) => [step, ...flat(step.steps ?? [])]);
}

/** The same with every `${` as text. */
function plain<N extends Node>(node: N): N {
  if (node.kind === 'scalar') return { ...node, references: false };
  if (node.kind === 'list') return { ...node, items: node.items.map(plain) };
  const entries = new Map(
    [...(node as MapNode).entries].map(([name, { key, value }]) => [name, { key, value: plain(value) }]),
  );
  return { ...node, entries };
}
