/** Makes the first node of a flow: the source at its position, and what the first stage leaves it to do. */
import type { Makings } from './assembly.ts';
import type { BarrierClock } from './barrier-clock.ts';
import { cutsLater } from './cuts-later.ts';
import type { Checkpoint } from './documents.ts';
import type { Position } from './flow.ts';
import { laneFile } from './make-lane.ts';
import { patientSource } from './patience.ts';
import type { SourceNode } from './source-node.ts';

/** `enough`: aborted when no step wants more of the input. */
export function sourceNode(m: Makings, clock: BarrierClock, enough: AbortSignal): SourceNode {
  const { source, segment, stream, from, splits, figures } = m.start;
  const mine = m.figures(source.step.id);
  const { parser } = segment;
  return {
    source: patientSource(source.source, m.patience(source.step)),
    splits,
    stepId: source.step.id,
    parser:
      parser === undefined
        ? undefined
        : { oxi: parser.oxi, config: parser.step.config, stream, select: segment.select },
    cutsLater: cutsLater(m),
    direct: readsThere(m) ? openDirect(m) : undefined,
    counters: mine.counters,
    from: from === undefined ? { split: 0, offset: 0, records: 0, framer: null } : positionOf(from),
    // Segments before this one have read their share.
    limit: Math.max(0, m.a.limit - figures.earlierRecords),
    due: () => clock.due(),
    nextBarrier: () => clock.next(),
    stop: m.a.stop,
    enough,
    reading: AbortSignal.any([m.a.stop, m.halt.signal]),
    pause: m.a.pause,
    progress: (bytes, records) => {
      figures.bytes += bytes;
      if (records !== undefined) figures.records = figures.earlierRecords + records;
    },
    busy: (ms) => {
      mine.busyMs += ms;
    },
    say: (message) => m.a.say(message),
  };
}

function positionOf(checkpoint: Checkpoint): Position {
  const { split, offset, text, ordinal, framer } = checkpoint.position;
  return { split, offset, ...(text === undefined ? {} : { text }), records: ordinal, framer };
}

/** What comes of the pieces has to leave where they are read: memory that goes to another thread does not come back. */
function readsThere(m: Makings): boolean {
  const [first, ...behind] = m.start.segment.nodes;
  return first !== undefined && laneFile(m, first, behind) !== undefined;
}

function openDirect(m: Makings): SourceNode['direct'] {
  const { source } = m.start.source;
  const open = source.direct?.bind(source);
  return open && (async (split) => m.openInput(await open(split)));
}
