/** The input of an attempt that works on one split group of a run that several workers share: recorded, not looked for. */

import type { Holder, StateStore } from '../state/store.ts';
import { changedRange } from './checkpoint.ts';
import type { Split, StreamInfo } from './contracts.ts';
import type { RunDocument } from './documents.ts';
import { OxiError } from './errors.ts';
import { workerText } from './hold.ts';
import { checkEncoders } from './make-sink.ts';
import type { Segment } from './plan.ts';
import type { RecordedInput } from './resume.ts';

export interface SharedInput {
  /** Which of the first segment's sources is read. */
  source: number;
  splits: readonly Split[];
  stream: StreamInfo;
}

/** Throws OxiError INPUT_CHANGED where a file is not what it was when the work was cut, INPUT_MISSING where it is gone. */
export async function openShare(share: SharedInput, segment: Segment, projectRoot: string): Promise<RecordedInput> {
  const { splits, stream, source: index } = share;
  const source = segment.sources[index];
  if (source === undefined) throw new Error(`the segment has no source ${index}`);
  const now = await source.source.recorded(splits);
  now.forEach(({ size }, i) => {
    const before = splits[i];
    if (before !== undefined && before.size !== size)
      throw new OxiError(
        'INPUT_CHANGED',
        `${before.name} had ${before.size} bytes when the work was shared out and has ${size}; --fresh starts over`,
        { place: { file: before.name } },
      );
  });
  const moved = await changedRange(source.source, splits);
  if (moved !== undefined)
    throw new OxiError(
      'INPUT_CHANGED',
      `${moved.name} has other bytes before byte ${moved.range?.from} than when the work was shared out; --fresh starts over`,
      { place: { file: moved.name } },
    );
  checkEncoders(segment, stream, projectRoot);
  return { source, index, splits, stream };
}

/** One worker alone must not do what several share. Throws OxiError PLAN_CHANGED, and LEASE_HELD where some are at work on it. */
export async function refuseShared(
  before: RunDocument | undefined,
  o: { fresh: boolean; store: StateStore; runKey: string; holder: Holder },
): Promise<void> {
  if (before?.shared === undefined) return;
  if (!o.fresh)
    throw new OxiError(
      'PLAN_CHANGED',
      `run "${o.runKey}" is unfinished and shared by several workers: go on with --join, --workers N or --shard I/N, or start over with --fresh`,
    );
  await refuseLiving(o);
}

/** Somebody at work on what was there before must not be robbed of it by a run that begins. Throws OxiError LEASE_HELD. */
export async function refuseLiving({
  store,
  runKey,
  holder,
}: {
  store: StateStore;
  runKey: string;
  holder: Holder;
}): Promise<void> {
  for (const { part, lease } of await store.parts(runKey, 'split-')) {
    if (lease === undefined || lease.over || lease.holder.workerId === holder.workerId) continue;
    throw new OxiError(
      'LEASE_HELD',
      `run "${runKey}": ${workerText(lease.holder)} works on ${part.replace('-', ' ')} of the run that is to be started over. Stop it first (oxiflow cancel), or try again later`,
    );
  }
}
