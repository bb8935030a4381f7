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

/** Lines some of which were taken out, whose spans are nobody else's, moved together where they stand: lines again. */
export function closeLines(block: Block): Block {
  const { bytes, spans, count } = block;
  let at = 0;
  for (let from = 0; from < count; ) {
    const start = spans[2 * from] as number;
    let to = from + 1;
    while (to < count && spans[2 * to] === (spans[2 * to - 1] as number) + 1) to++;
    const end = (spans[2 * to - 1] as number) + 1;
    if (at < start) {
      bytes.copyWithin(at, start, end);
      for (let i = 2 * from; i < 2 * to; i++) spans[i] = (spans[i] as number) - start + at;
    }
    at += end - start;
    from = to;
  }
  return { ...block, bytes: bytes.subarray(0, at) };
}

/** The bytes of a block as a Buffer over the same memory. */
export function bufferOf({ bytes }: Block): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
