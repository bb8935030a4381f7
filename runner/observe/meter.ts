/** Turns how far a run is into rates and the time left. Rates are smoothed, so that a pause of a second does not show as 0. */
import type { EventPayloads } from './types.ts';

/** What was seen this long ago counts for about a third. */
const MEMORY_MS = 10_000;

export interface Reading {
  /** Records read and bytes dealt with, over all attempts. */
  records: number;
  bytes: number;
  errors: number;
  /** Bytes of the whole input, where known. */
  totalBytes?: number;
}

export class RateMeter {
  readonly #now: () => number;
  #last: { at: number; records: number; bytes: number };
  /** Of all readings, each with its weight. */
  #sums = { records: 0, bytes: 0, weight: 0 };

  /** `from`: where this attempt begins, so that what earlier ones did counts as no rate. */
  constructor(now: () => number, from: { records: number; bytes: number } = { records: 0, bytes: 0 }) {
    this.#now = now;
    this.#last = { at: now(), records: from.records, bytes: from.bytes };
  }

  /** Takes a reading and returns the whole progress report. */
  read(reading: Reading): EventPayloads['progress'] {
    const { records, bytes, errors, totalBytes } = reading;
    const at = this.#now();
    const elapsed = at - this.#last.at;
    // A clock that was set back, or a second reading in the same millisecond, tells nothing about the rate.
    if (elapsed > 0) {
      const fresh = {
        records: Math.max(0, ((records - this.#last.records) * 1000) / elapsed),
        bytes: Math.max(0, ((bytes - this.#last.bytes) * 1000) / elapsed),
      };
      // In the beginning this is the average since then: a cold start is no more than its share of the time.
      const keep = Math.exp(-elapsed / MEMORY_MS);
      this.#sums = {
        records: this.#sums.records * keep + fresh.records * (1 - keep),
        bytes: this.#sums.bytes * keep + fresh.bytes * (1 - keep),
        weight: this.#sums.weight * keep + 1 - keep,
      };
    }
    if (elapsed !== 0) this.#last = { at, records, bytes };
    const { records: recordSum, bytes: byteSum, weight } = this.#sums;
    const rates = weight === 0 ? { records: 0, bytes: 0 } : { records: recordSum / weight, bytes: byteSum / weight };
    const left = totalBytes === undefined ? undefined : Math.max(0, totalBytes - bytes);
    const eta = left === undefined ? undefined : left === 0 ? 0 : rates.bytes > 0 ? left / rates.bytes : undefined;
    return {
      records,
      bytes,
      errors,
      rate_records_per_s: rates.records,
      rate_bytes_per_s: rates.bytes,
      ...(totalBytes === undefined ? {} : { total_bytes: totalBytes }),
      ...(eta === undefined ? {} : { eta_seconds: eta }),
    };
  }
}
