/** Whether the batches of a chain can be written as arrays by the threads of the stage before them, and why not. */
import type { Arrays } from './lane.ts';
import { roomOf } from './limits.ts';
import { makeEncoder } from './make-sink.ts';
import { isTimed } from './patience.ts';
import type { PlannedBatch, PlannedNode, PlannedSink, PlannedSource, PlannedStage, Segment } from './plan.ts';

const FARTHER = 'it does not stand behind the stage that reads the input';
/** Arrays of one block, at most: a step behind them that takes fewer at a time would have to look at them. */
const MOST_AT_ONCE = 1_000_000;

export interface ArrayLane {
  batch: PlannedBatch;
  sink: PlannedSink;
  arrays: Arrays;
}

/** Of a chain that begins with a stage, which reads such an input; a clause where it can't be so. */
export function arrayLane(
  [stage, batch, ...behind]: readonly PlannedNode[],
  input: 'lines' | 'rows',
): ArrayLane | string {
  if (stage?.kind !== 'stage' || batch?.kind !== 'batch') return FARTHER;
  if (input === 'rows') return 'what it gathers are rows, and the kernel keeps no list of what becomes of them';
  if (stage.forced === 'values') return 'OXIFLOW_TIER says so';
  const { spec } = batch;
  if (spec.emit !== 'array') return 'what it makes are no arrays, but blocks for the steps behind it';
  if (spec.maxMs !== undefined) return 'a time may end its batches, and which records came by then nobody else knows';
  const notInOrder = whyNotInOrder(stage);
  if (notInOrder !== undefined) return notInOrder;
  const between = behind[0]?.kind === 'stage' ? behind[0] : undefined;
  const [sink, ...more] = between === undefined ? behind : behind.slice(1);
  if (between !== undefined && (!between.idle || between.keeps !== undefined))
    return `"${between.steps[0]?.id}" works on what it makes`;
  if (between !== undefined && !between.keepsOrder && between.threads > 1)
    return 'what it makes comes to the sink in any order';
  if (sink?.kind !== 'sink' || more.length > 0)
    return 'what it makes goes to more than one sink, or through another step first';
  const steps = [...(between?.steps ?? []), sink.step];
  const rooms = steps.map(({ limits }) => roomOf(limits));
  const looking = steps.find((step, i) => step.continues || isTimed(step) || (rooms[i]?.records ?? 0) < MOST_AT_ONCE);
  if (looking !== undefined)
    return `"${looking.id}" has to look at each of its writes (limits, timeouts, continue_on_error)`;
  if (sink.formatter?.layOut === true) return `"${sink.step.id}" lays its records out`;
  if (sink.sink.advance === undefined || sink.sink.direct === undefined)
    return `"${sink.step.id}" writes to no plain file, and others can't write there in its place`;
  const maxBytes = Math.min(spec.maxBytes, ...rooms.map(({ bytes }) => bytes));
  return { batch, sink, arrays: { records: spec.maxRecords, maxBytes } };
}

function whyNotInOrder({ place, ordered, keepsOrder, keeps, steps }: PlannedStage): string | undefined {
  if (place !== 'main') return `"${steps[0]?.id}" runs on threads of its own`;
  if (ordered) return 'a step before it needs every record in order';
  if (!keepsOrder) return 'the records before it come in any order';
  return keeps === undefined ? undefined : `others refer to the record that leaves "${keeps.id}"`;
}

/** Notes the tier of every batch of a chain, as far as the configuration tells; `parser`: that of the input which it reads. */
export function noteBatchTiers(
  nodes: readonly PlannedNode[],
  parser: Segment['parser'],
  sources: readonly PlannedSource[],
  select: Segment['select'],
): void {
  nodes.forEach((node, i) => {
    if (node.kind !== 'batch') return;
    const why = i === 1 && parser !== undefined ? whyNoArrays(nodes, parser, sources, select) : FARTHER;
    node.step.tier = { tier: why === undefined ? 'bytes' : 'values', why };
  });
}

function whyNoArrays(
  nodes: readonly PlannedNode[],
  { oxi, step }: NonNullable<Segment['parser']>,
  sources: readonly PlannedSource[],
  select: Segment['select'],
): string | undefined {
  // Only parsers of rows know columns.
  const lane = arrayLane(nodes, oxi.columns === undefined ? 'lines' : 'rows');
  if (typeof lane === 'string') return lane;
  const hidden = sources.find((one) => one.source.direct === undefined || isTimed(one.step));
  if (hidden !== undefined) return `"${hidden.step.id}" reads nothing that threads can read by themselves`;
  const stream = oxi.detect(step.config as never, new Uint8Array(), '', select);
  if (makeEncoder(lane.sink, stream, '')?.byOthers?.form !== 'lines')
    return `what "${lane.sink.step.id}" writes are no lines`;
  return undefined;
}
