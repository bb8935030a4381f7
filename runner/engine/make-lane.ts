/** Whether the threads of a stage can write what comes of it by themselves, and where. */
import { beginningOf } from '../kernel/arrays.ts';
import { type ArrayLane, arrayLane } from './array-lane.ts';
import type { ArrayPlace } from './arrays-in-place.ts';
import type { Makings } from './assembly.ts';
import type { ByOthers } from './contracts.ts';
import { piecesAreDirect } from './cuts-later.ts';
import type { HalfBatch } from './flow-batch.ts';
import { type LaneSpec, MOST_BYTES, newElementLane, newLane, writeAll } from './lane.ts';
import { roomOf } from './limits.ts';
import { encoderAt } from './make-sink.ts';
import { isTimed } from './patience.ts';
import type { PlannedNode, PlannedSink } from './plan.ts';

export interface LaneTo {
  spec: LaneSpec;
  /** The node that counts what is written, where that are arrays. */
  batch?: { node: PlannedNode; place: ArrayPlace };
}

/** The lane from `stage` to the sink behind it; undefined where that has to write by itself. */
export function laneTo(m: Makings, stage: PlannedNode, behind: readonly PlannedNode[]): LaneTo | undefined {
  const file = laneFile(m, stage, behind);
  if (file === undefined) return undefined;
  const { fd, at, arrays, others } = file;
  if (arrays !== undefined) return laneOfArrays(m, file, arrays);
  return { spec: others.form === 'lines' ? newLane(fd, at) : newElementLane(fd, at, others.begun) };
}

/** What a half batch holds is written first. */
function laneOfArrays(
  m: Makings,
  { fd, at }: Pick<LaneFile, 'fd' | 'at'>,
  { batch, arrays }: ArrayLane,
): LaneTo | undefined {
  const { id } = batch.step;
  const half = halfOf(m, id);
  const text = beginningOf(half?.records ?? []);
  try {
    writeAll(fd, text, at);
  } catch {
    // The sink tries again, and tells what is wrong.
    return undefined;
  }
  const begun = half && {
    records: half.records.length,
    bytes: text.byteLength,
    offset: half.offsets[0] ?? 0,
    split: half.split,
  };
  const place = { step: id, fd, at: at + text.byteLength, records: arrays.records, begun };
  return { spec: newLane(fd, place.at, arrays, begun), batch: { node: batch, place } };
}

/** The file that such a lane leads to, and where it begins there. */
interface LaneFile {
  fd: number;
  at: number;
  /** As its encoder lays records out. */
  others: ByOthers;
  arrays?: ArrayLane;
}

export function laneFile(m: Makings, stage: PlannedNode, behind: readonly PlannedNode[]): LaneFile | undefined {
  // Memory that goes from one thread to another does not come back: who writes has to read, too.
  if (stage !== m.start.segment.nodes[0] || !piecesAreDirect(m)) return undefined;
  const arrays = arrayLane([stage, ...behind], m.start.stream.framing === 'rows' ? 'rows' : 'lines');
  if (typeof arrays !== 'string') return fitsHalf(m, arrays) ? fileOf(m, arrays.sink, arrays) : undefined;
  const [sink, ...more] = behind;
  if (stage.kind !== 'stage' || sink?.kind !== 'sink' || more.length > 0) return undefined;
  if (stage.place !== 'main' || stage.threads === 1 || stage.ordered || !stage.keepsOrder) return undefined;
  const { step, formatter } = sink;
  // Each of these looks at what is written, or times it.
  if (stage.keeps !== undefined || formatter?.layOut === true || step.continues) return undefined;
  if (isTimed(step) || roomOf(step.limits).bytes < MOST_BYTES) return undefined;
  return fileOf(m, sink);
}

/** A half batch of an attempt with other limits may be more than the next one makes. */
function fitsHalf(m: Makings, { batch, arrays }: ArrayLane): boolean {
  const half = halfOf(m, batch.step.id);
  if (half === undefined) return true;
  return half.records.length < arrays.records && beginningOf(half.records).byteLength + 2 <= arrays.maxBytes;
}

/** What a batch held at the last checkpoint; undefined where it held nothing. */
function halfOf(m: Makings, id: string): HalfBatch | undefined {
  const half = m.stateOf(id) as unknown as HalfBatch | undefined;
  return half === undefined || half.records.length === 0 ? undefined : half;
}

function fileOf(m: Makings, sink: PlannedSink, arrays?: ArrayLane): LaneFile | undefined {
  if ((m.start.skip.get(sink.step.id) ?? 0) > 0) return undefined;
  const others = encoderAt(m, sink)?.byOthers;
  if (others === undefined || (arrays !== undefined && others.form !== 'lines')) return undefined;
  const file = sink.sink.advance === undefined ? undefined : sink.sink.direct?.();
  return file && { ...file, others, ...(arrays === undefined ? {} : { arrays }) };
}
