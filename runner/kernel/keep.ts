/** Takes records out of a block: the bytes stay where they are, only the spans of the others remain. */
import type { Block } from '../engine/contracts.ts';

/** The records of `block` for which `stays` is true, asked in order; the block itself where that is all of them. */
export function keepRecords(block: Block, stays: (index: number) => boolean): Block {
  const { spans, offsets, count } = block;
  let kept = 0;
  let out: { spans: Uint32Array; offsets: Float64Array } | undefined;
  for (let i = 0; i < count; i++) {
    if (!stays(i)) {
      out ??= { spans: spans.slice(0, 2 * count), offsets: offsets.slice(0, count) };
      continue;
    }
    if (out !== undefined) {
      out.spans[2 * kept] = spans[2 * i] as number;
      out.spans[2 * kept + 1] = spans[2 * i + 1] as number;
      out.offsets[kept] = offsets[i] as number;
    }
    kept++;
  }
  if (out === undefined) return block;
  return { ...block, spans: out.spans.subarray(0, 2 * kept), offsets: out.offsets.subarray(0, kept), count: kept };
}

/** The bytes of a block as a Buffer over the same memory. */
export function bufferOf({ bytes }: Block): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
