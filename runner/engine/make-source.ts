/** Makes the first node of a flow: the source at its position, and what the first stage leaves it to do. */
import type { Makings } from './assembly.ts';
import type { BarrierClock } from './barrier-clock.ts';
import type { Source } from './contracts.ts';
import type { Checkpoint } from './documents.ts';
import type { Position } from './flow.ts';
import type { SourceNode } from './flow-source.ts';
import { patientSource, unitMs } from './patience.ts';

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

/** Where one thread works, the next piece is read while it does; several read their own, each in the time of the others. */
function readsThere(m: Makings): boolean {
  const [first] = m.start.segment.nodes;
  if (!cutsLater(m) || first?.kind !== 'stage' || first.threads === 1 || first.ordered) return false;
  // What is timed, or tried again, is one read here.
  return unitMs(m.start.source.step) === 0 && m.start.source.step.limits.maxProcessingTimeMs === undefined;
}

function openDirect(m: Makings): SourceNode['direct'] {
  const { source } = m.start.source;
  if (source.direct === undefined) return undefined;
  return async (split) => m.openInput(await (source.direct as NonNullable<Source['direct']>)(split));
}

/**
 * The first stage has threads or the byte kernel, and its parser can cut there: only whole pieces are looked for where the input is
 * read. A limit of records needs them counted at once.
 */
export function cutsLater(m: Makings): boolean {
  const { segment, stream } = m.start;
  const [first] = segment.nodes;
  const { parser } = segment;
  if (first?.kind !== 'stage' || first.place !== 'main') return false;
  if (!first.cutsBytes && (first.ordered || first.threads === 1)) return false;
  if (parser?.oxi.chunk === undefined || m.a.limit !== Number.POSITIVE_INFINITY) return false;
  const at = { offset: 0, state: null, name: '' };
  return parser.oxi.chunk(parser.step.config as never, stream, at) !== undefined;
}
