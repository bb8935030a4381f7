/**
 * The limits of a step: those that its oxi declares, tightened by the configuration. And what they mean for a block: records
 * that a step is not given because they are too large, and portions small enough for it.
 */
import type { Block, ProcessingLimits } from './contracts.ts';
import { OxiError } from './errors.ts';

/** `limits:` of a step, as the configuration gives it. */
export interface AskedLimits {
  readonly max_batch_size?: number | undefined;
  readonly max_memory_mb?: number | undefined;
  readonly max_processing_time_ms?: number | undefined;
  readonly concurrent_operations?: number | undefined;
}

const FIELDS = {
  max_batch_size: 'maxBatchSize',
  max_memory_mb: 'maxMemoryMb',
  max_processing_time_ms: 'maxProcessingTimeMs',
  concurrent_operations: 'concurrentOperations',
} as const satisfies Record<keyof AskedLimits, keyof ProcessingLimits>;

const MB = 1024 * 1024;

/**
 * What holds for a step. `maxMemoryMb` is the step's own `max_memory_mb`, which means the same as that of its limits. Throws
 * OxiError CONFIG_INVALID, with the field as its place, where the configuration wants more than the oxi can take.
 */
export function tightenLimits(
  oxi: { readonly name: string; readonly limits?: ProcessingLimits },
  step: { readonly id: string; readonly limits?: AskedLimits | undefined; readonly maxMemoryMb?: number | undefined },
): ProcessingLimits {
  const own = oxi.limits ?? {};
  const tight: { -readonly [K in keyof ProcessingLimits]: ProcessingLimits[K] } = { ...own };
  const take = (field: keyof AskedLimits, path: string, place: string, asked: number | undefined): void => {
    if (asked === undefined) return;
    const limit = FIELDS[field];
    const most = own[limit];
    if (most !== undefined && asked > most)
      throw new OxiError(
        'CONFIG_INVALID',
        `step "${step.id}": "${path}" is ${asked} and "${oxi.name}" allows ${most} at most: a limit can be tightened, never widened`,
        { place: { step: step.id, field: place } },
      );
    tight[limit] = Math.min(asked, tight[limit] ?? asked);
  };
  for (const field of Object.keys(FIELDS) as (keyof AskedLimits)[])
    take(field, `limits.${field}`, 'limits', step.limits?.[field]);
  take('max_memory_mb', 'max_memory_mb', 'max_memory_mb', step.maxMemoryMb);
  return tight;
}

/** What a step is given at a time, at most. */
export interface Room {
  records: number;
  bytes: number;
}

export function roomOf(limits: ProcessingLimits | undefined): Room {
  return {
    records: limits?.maxBatchSize ?? Number.POSITIVE_INFINITY,
    bytes: (limits?.maxMemoryMb ?? Number.POSITIVE_INFINITY) * MB,
  };
}

/** The whole block may be given to the step: what a look at two numbers tells. */
export function hasRoom(room: Room, block: Block): boolean {
  return block.count <= room.records && block.bytes.byteLength <= room.bytes;
}

/** Records `from` to `to` (without it); one that is too large stands alone. */
export interface Portion {
  from: number;
  to: number;
  tooLarge: boolean;
}

/** Cuts a block, in order, into portions that a step with so much room can take. */
export function portionsOf({ spans, count }: Block, room: Room): Portion[] {
  const portions: Portion[] = [];
  let from = 0;
  let bytes = 0;
  const close = (to: number): void => {
    if (to > from) portions.push({ from, to, tooLarge: false });
    from = to;
    bytes = 0;
  };
  for (let i = 0; i < count; i++) {
    const size = sizeOf(spans, i);
    if (size > room.bytes) {
      close(i);
      portions.push({ from: i, to: i + 1, tooLarge: true });
      from = i + 1;
    } else {
      if (i - from >= room.records || bytes + size > room.bytes) close(i);
      bytes += size;
    }
  }
  close(count);
  return portions;
}

/** Bytes of record `i`. */
export function sizeOf(spans: Uint32Array, i: number): number {
  return (spans[2 * i + 1] as number) - (spans[2 * i] as number);
}
