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
import { humanBytes, humanCount } from '../observe/human.ts';
import type { FirstInput } from './load.ts';
import { parameterOf } from './parameter-document.ts';
import { filled, WIDTH } from './text.ts';

/** Behind the word that says what a line is about. */
const INDENT = 10;

/** `input`: what the first segment would read; undefined where it is not there. `notices`: what is different when several share it. */
export function planText(
  name: string,
  plan: Plan,
  input: FirstInput | undefined,
  notices: readonly string[] = [],
): string {
  const lines = [name];
  plan.segments.forEach(({ planned, steps }, i) => {
    if (i > 0) lines.push('  then, when all of that has ended:');
    if (planned !== undefined) lines.push(...segmentLines(planned, i === 0 ? (input ?? 'missing') : 'later'));
    else lines.push(...line('', 'later', `${chain(steps)}: planned when the steps that it refers to have ended`));
  });
  const { deadLetters } = plan;
  if (deadLetters !== undefined)
    lines.push(
      ...line('', 'letters', `dead letters go to ${deadLetters.path}, ${humanCount(deadLetters.maxRecords)} at most`),
    );
  for (const notice of notices) lines.push(...line('', 'shared', notice));
  return `${lines.join('\n')}\n`;
}

/** A line with its word in front; what does not fit goes on below. `margin`: of a chain within another. */
export function line(margin: string, word: string, text: string): string[] {
  const rows = filled(text, '', Math.max(30, WIDTH - INDENT - margin.length));
  return rows.map((one, i) => `${margin}  ${(i === 0 ? word : '').padEnd(INDENT - 2)}${one}`);
}

function segmentLines({ sources, nodes, skipped, steps }: Segment, input: FirstInput | 'missing' | 'later'): string[] {
  const lines = sources.flatMap(({ step }, i) =>
    line('', 'source', `${shown(step)}: ${sourceText(step, input, i === 0)}`),
  );
  lines.push(...nodeLines(nodes, ''));
  // What works on records alone does not wait for anything: it has no time of its own.
  const idle = new Set(
    allNodes(nodes).flatMap((node) => (node.kind === 'stage' && node.place !== 'beside' ? node.steps : [])),
  );
  for (const step of steps) {
    const text = handlingText(step, !idle.has(step));
    if (text !== '') lines.push(...line('', 'errors', `${step.id}: ${text}`));
  }
  if (skipped.length > 0) lines.push(...line('', 'skipped', `${skipped.join(', ')}: by a condition that is false`));
  if (sources.some(({ source }) => source.kind === 'once'))
    lines.push('  a run that is stopped starts over: its input can be read only once');
  return lines;
}

function nodeLines(nodes: readonly PlannedNode[], margin: string): string[] {
  return nodes.flatMap((node) => {
    if (node.kind === 'tee')
      return [
        ...line(margin, 'tee', `${shown(node.step)}: all of it too, to`),
        ...nodeLines(node.nodes, `${margin}  | `),
      ];
    if (node.kind === 'sink') return line(margin, 'sink', `${shown(node.step)}: ${GUARANTEES[node.sink.guarantee]}`);
    if (node.kind === 'batch') return line(margin, 'batch', `${shown(node.step)}: ${batchText(node.spec)}`);
    return line(margin, 'stage', `${chain(node.steps)}: ${threadsText(node)}`);
  });
}

function threadsText({ threads, place, ordered, keepsOrder }: PlannedStage): string {
  if (place === 'beside') return threads === 1 ? 'one block at a time' : `${threads} blocks at a time`;
  const most = threads === 1 || ordered ? '1 thread' : `${threads} threads at most`;
  const apart = place === 'apart' ? ', which are ended when they take too long' : '';
  return `${most}${apart}${ordered ? ', every record in order' : ''}${keepsOrder ? '' : ', in any order'}`;
}

function batchText({ emit, maxRecords, maxBytes, maxMs, waiting }: BatchSpec): string {
  const time = maxMs === undefined ? '' : ` or ${maxMs} ms`;
  const taken = waiting === 0 ? '' : `; ${waiting} may wait while the next one fills`;
  return `whole at ${maxRecords} records, ${humanBytes(maxBytes)}${time}, as ${emit}${taken}`;
}

const GUARANTEES = {
  transaction: 'every record once, in one transaction with its mark',
  truncate: 'every record once: what is beyond the last checkpoint is cut off on resume',
  keyed: 'every record once, by its key',
  append: 'every record at least once: a resumed run repeats what came after its checkpoint',
} as const;

const BAD_RECORDS = {
  stop: '',
  drop: 'bad records are left out',
  dead_letter: 'bad records go to the dead letters',
  pass: 'bad records go on as they came',
} as const;

/** What its step does otherwise than stop at the first failure. */
function handlingText({ kind, onError, continues, retries, timeoutMs }: PlannedStep, waits: boolean): string {
  const parts: string[] = [BAD_RECORDS[onError]];
  if (continues && kind === 'source') parts.push('gives nothing where it can not be read');
  if (continues && kind === 'sink') parts.push('what can not be written is left out');
  if (retries.attempts > 0)
    parts.push(retries.attempts === 1 ? 'tried once more' : `tried ${retries.attempts} times more`);
  if (timeoutMs !== undefined && waits) parts.push(`given ${timeoutMs} ms at a time`);
  return parts.filter((part) => part !== '').join('; ');
}

function chain(steps: readonly Pick<PlannedStep, 'id' | 'oxi'>[]): string {
  return steps.map(shown).join(' -> ');
}

export function shown({ id, oxi }: Pick<PlannedStep, 'id' | 'oxi'>): string {
  return id === oxi ? id : `${id} (${oxi})`;
}

function sourceText({ id }: PlannedStep, input: FirstInput | 'missing' | 'later', isFirst: boolean): string {
  if (input === 'later') return isFirst ? 'read when it is there' : 'where those above fail';
  if (input === 'missing') return isFirst ? 'the input is not there' : 'where those above fail';
  return input.source === id
    ? inputText(input.splits)
    : input.source === undefined || isFirst
      ? 'not there'
      : 'not needed';
}

function inputText(splits: readonly Split[]): string {
  const sizes = splits.map(({ size }) => size);
  const total = sizes.every((size) => size !== undefined)
    ? `, ${humanBytes(sizes.reduce((sum, size) => sum + size, 0))}`
    : '';
  return `${splits.length === 1 ? (splits[0]?.name ?? '') : `${splits.length} inputs`}${total}`;
}

export function planDocument(
  pipeline: Pipeline,
  plan: Plan,
  input: FirstInput | undefined,
  notices: readonly string[] = [],
): unknown {
  return {
    name: pipeline.name,
    description: pipeline.description,
    delivery: pipeline.delivery,
    inputs: input?.splits.map(({ name, size }) => ({ name, size })) ?? null,
    resumable: plan.segments.every(
      ({ planned }) => planned?.sources.every(({ source }) => source.kind !== 'once') !== false,
    ),
    stages: plan.segments.flatMap(({ planned, steps }, segment) =>
      planned === undefined
        ? [{ kind: 'later', segment, steps: steps.map(named) }]
        : [
            { kind: 'source', segment, steps: planned.sources.map(({ step }) => named(step)) },
            ...nodeDocuments(planned.nodes, segment, undefined),
          ],
    ),
    skipped: plan.segments.flatMap(({ planned }) => planned?.skipped ?? []),
    dead_letters: plan.deadLetters?.path ?? null,
    parameters: pipeline.parameters.map(parameterOf),
    ...(notices.length === 0 ? {} : { notices }),
  };
}

/** `within`: the tee whose second chain they are. */
function nodeDocuments(nodes: readonly PlannedNode[], segment: number, within: string | undefined): object[] {
  const place = { segment, ...(within === undefined ? {} : { within }) };
  return nodes.flatMap((node) => [
    { ...place, ...nodeDocument(node) },
    ...(node.kind === 'tee' ? nodeDocuments(node.nodes, segment, node.step.id) : []),
  ]);
}

function nodeDocument(node: PlannedNode): object {
  const steps = stepsOf(node).map(named);
  if (node.kind === 'sink') return { kind: 'sink', guarantee: node.sink.guarantee, steps };
  if (node.kind === 'stage') {
    const { threads, tier, place, ordered, keepsOrder } = node;
    return { kind: 'stage', threads, tier, place, ordered, keeps_order: keepsOrder, steps };
  }
  if (node.kind === 'tee') return { kind: 'tee', steps };
  const { emit, maxRecords, maxBytes, maxMs, waiting, preserveOrder } = node.spec;
  return {
    kind: 'batch',
    emit,
    max_records: maxRecords,
    max_bytes: maxBytes,
    max_ms: maxMs ?? null,
    waiting,
    preserve_order: preserveOrder,
    steps,
  };
}

function named({ id, oxi }: Pick<PlannedStep, 'id' | 'oxi'>): { id: string; oxi: string } {
  return { id, oxi };
}
