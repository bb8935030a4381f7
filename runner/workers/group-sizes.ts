/**
 * How large the split groups of a run are, where nobody says how many there are to be: large ones, which cost the least, and ever
 * smaller ones towards the end, so that workers of any speed end together.
 */

const LARGEST_BYTES = 64 << 20;
/** A group that is smaller costs more than it brings. */
export const SMALLEST_BYTES = 4 << 20;
/** A group is such a part of what is left, for each worker: who takes it is done before the others are with the rest. */
const EACH = 2;
/** Where there would be more of the largest, they are larger. */
const MOST_LARGE = 1024;

/** Bytes of the groups, in order; they add up to `bytes`. */
export function taperedSizes(bytes: number, workers: number): number[] {
  const largest = Math.max(LARGEST_BYTES, bytes / MOST_LARGE);
  const sizes: number[] = [];
  for (let left = bytes; left > 0; ) {
    const size = Math.min(largest, Math.max(SMALLEST_BYTES, left / (EACH * workers)));
    const last = left - size < SMALLEST_BYTES;
    sizes.push(last ? left : size);
    left = last ? 0 : left - size;
  }
  return sizes.length === 0 ? [0] : sizes;
}
