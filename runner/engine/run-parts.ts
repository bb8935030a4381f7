/** The parts of a run's documents: what one attempt reads from them, and what it puts into them. */
import type { StoredDocument } from '../state/store.ts';
import { bytesBefore } from './checkpoint.ts';
import type { Split } from './contracts.ts';
import type { StepCounters } from './counters.ts';
import {
  type Checkpoint,
  type DoneSegment,
  parseSplitDocument,
  type RunDocument,
  type SplitDocument,
} from './documents.ts';
import { isCorrupt } from './errors.ts';
import { onlyFields, onlyKey } from './only-record.ts';
import type { Plan, Segment, StepMetadata } from './plan.ts';
import type { RunFigures, RunSummary } from './report.ts';
import type { RecordedInput } from './resume.ts';

/** The checkpoints of this run and segment; none where those in the store belong to another one. */
export function parseSplit(stored: StoredDocument | undefined, run: RunDocument | undefined): SplitDocument {
  // Of a finished run nobody needs them.
  if (stored === undefined || run === undefined || run.status === 'finished') return { checkpoint: {} };
  const split = parseSplitDocument(stored.body);
  const same = split.run_id === run.run_id && (split.segment ?? 0) === (run.segment ?? 0);
  return same ? split : { checkpoint: {} };
}

/** What `parse` gives; undefined where it can't be parsed, and the run starts over. */
export function unlessAnew<T>(fresh: boolean, parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (fresh && isCorrupt(error)) return undefined;
    throw error;
  }
}

/** What the run document says of the segment at work. */
export function inputOf(
  index: number,
  input: RecordedInput,
): Pick<RunDocument, 'stream' | 'splits' | 'segment' | 'source'> {
  return {
    stream: input.stream,
    splits: input.splits.map(({ index: split, place, name, size, range }) => ({
      index: split,
      ...(place === undefined ? {} : { place }),
      name,
      ...(size === undefined ? {} : { size }),
      ...(range === undefined ? {} : { range }),
    })),
    ...(index === 0 ? {} : { segment: index }),
    ...(input.index === 0 ? {} : { source: input.index }),
  };
}

export function earlierOf(run: RunDocument | undefined): { records: number; bytes: number } {
  return run?.done?.at(-1) ?? { records: 0, bytes: 0 };
}

export function countersBefore(
  run: RunDocument | undefined,
  from: Checkpoint | undefined,
): Readonly<Record<string, StepCounters>> {
  return Object.assign({}, ...(run?.done ?? []).map(({ counters }) => counters), from?.counters ?? {});
}

/** What a segment has left, for the run document. */
export function doneSegment(
  segment: Segment,
  input: RecordedInput,
  last: Checkpoint,
  outputs: RunSummary['outputs'],
  figures: RunFigures,
): DoneSegment {
  const ids = new Set(segment.steps.map(({ id }) => id));
  const steps = figures.steps.filter(({ id }) => ids.has(id));
  const metadata: DoneSegment['metadata'] = {};
  for (const { id, counters } of steps) {
    const output = outputs.find(({ step }) => step === id);
    // What it says of itself goes before fields of the same name.
    const fields = onlyFields(last.snapshots[onlyKey(id)]);
    metadata[id] = { ...fields, ...segment.opened.get(id), ...metadataOf(counters, output) };
  }
  const [only] = input.splits;
  const source = metadata[input.source.step.id];
  if (input.splits.length === 1 && only !== undefined && source !== undefined) source.path = only.name;
  return {
    counters: Object.fromEntries(steps.map(({ id, counters }) => [id, { ...counters }])),
    outputs: outputs as unknown as DoneSegment['outputs'],
    checkpoint: last.n,
    records: last.records,
    bytes: last.bytes,
    elapsed_ms: last.elapsed_ms,
    metadata,
  };
}

/** What is known of a step at its end: what left it, and what a sink made. */
function metadataOf(counters: StepCounters, output: RunSummary['outputs'][number] | undefined): StepMetadata {
  return {
    records: counters.out,
    bytes: output?.bytes ?? counters.bytes_out,
    filtered: counters.filtered,
    dropped: counters.dropped,
    dead_lettered: counters.dead_lettered,
    ...(output?.path === undefined ? {} : { path: output.path }),
    ...(output?.columns === undefined ? {} : { columns: output.columns.join(',') }),
  };
}

/** Bytes of the whole input; unknown where there are segments whose input is not there yet. */
export function totalOf({ segments }: Plan, splits: readonly Split[]): number | undefined {
  const known = segments.length === 1 && splits.every(({ size }) => size !== undefined);
  return known ? bytesBefore(splits, splits.length, 0) : undefined;
}
