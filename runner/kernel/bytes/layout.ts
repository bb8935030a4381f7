/** Where things stand in the memory of the kernel that depend on how much it is given; the others are in `kernel/wasm/memory.ts`. */
import { DYNAMIC } from '../wasm/memory.ts';

/** Longest constant text, in UTF-16 units. */
export const LONGEST_TEXT = 4096;
/** Longest key that a path may have; the kernel takes longer ones for none. */
export const MAX_KEY_BYTES = 8192;

const PAGE = 65536;
/** Bytes that the kernel reads or writes beyond an end. */
const SLACK = 128;
const DEFERRED_MOST = 512;

export interface Layout {
  /** Bytes of input that fit. */
  capacity: number;
  input: number;
  index: number;
  suspects: number;
  escapes: number;
  spaces: number;
  out: number;
  outEnd: number;
  table: number;
  offsets: number;
  tableMost: number;
  deferrals: number;
  deferredMost: number;
  /** Of the whole memory. */
  pages: number;
}

/**
 * For pieces of `size` bytes, of which `growth` times as many may come. What comes of one may be larger than the room for it: it is
 * fetched in several turns then.
 */
export function layoutFor(size: number, growth = 1.125): Layout {
  const capacity = Math.ceil(size / 64) * 64 + 64;
  let at = DYNAMIC;
  const take = (bytes: number): number => {
    const here = at;
    at = Math.ceil((at + bytes + SLACK) / 64) * 64;
    return here;
  };
  const tableMost = Math.max(1024, capacity >> 5);
  const outBytes = Math.ceil(capacity * growth) + PAGE;
  const input = take(capacity);
  const index = take(4 * capacity);
  const suspects = take(capacity >> 4);
  const escapes = take(capacity >> 4);
  const spaces = take(capacity >> 2);
  const out = take(outBytes);
  const table = take(8 * tableMost);
  const offsets = take(8 * tableMost);
  const deferrals = take(12 * DEFERRED_MOST);
  return {
    capacity,
    input,
    index,
    suspects,
    escapes,
    spaces,
    out,
    outEnd: out + outBytes,
    table,
    offsets,
    tableMost,
    deferrals,
    deferredMost: DEFERRED_MOST,
    pages: Math.ceil(at / PAGE),
  };
}
