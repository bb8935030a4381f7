/** Whether the threads of a stage can write what comes of it by themselves, and where. */
import type { Makings } from './assembly.ts';
import { piecesAreDirect } from './cuts-later.ts';
import { type LaneSpec, MOST_BYTES, newLane } from './lane.ts';
import { roomOf } from './limits.ts';
import { makeEncoder } from './make-sink.ts';
import { unitMs } from './patience.ts';
import type { PlannedNode } from './plan.ts';

/** The lane from `stage` to the only node behind it; undefined where that has to write by itself. */
export function laneTo(m: Makings, stage: PlannedNode, behind: readonly PlannedNode[]): LaneSpec | undefined {
  const file = laneFile(m, stage, behind);
  return file && newLane(file.fd, file.at);
}

/** The file that such a lane leads to, and where it begins there. */
export function laneFile(
  m: Makings,
  stage: PlannedNode,
  behind: readonly PlannedNode[],
): { fd: number; at: number } | undefined {
  // Memory that goes from one thread to another does not come back: who writes has to read, too.
  if (stage !== m.start.segment.nodes[0] || !piecesAreDirect(m)) return undefined;
  const [sink, ...more] = behind;
  if (stage.kind !== 'stage' || sink?.kind !== 'sink' || more.length > 0) return undefined;
  if (stage.place !== 'main' || stage.threads === 1 || stage.ordered || !stage.keepsOrder) return undefined;
  const { step, formatter } = sink;
  // Each of these looks at what is written, or times it.
  if (stage.keeps !== undefined || formatter?.layOut === true || step.continues) return undefined;
  if (unitMs(step) > 0 || step.limits.maxProcessingTimeMs !== undefined || roomOf(step.limits).bytes < MOST_BYTES)
    return undefined;
  if ((m.start.skip.get(step.id) ?? 0) > 0) return undefined;
  if (makeEncoder(sink, m.start.stream, m.a.projectRoot)?.lines === undefined) return undefined;
  return sink.sink.advance === undefined ? undefined : sink.sink.direct?.();
}
