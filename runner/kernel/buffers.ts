/**
 * Buffers of blocks that are done with, to be used again: a stream of gigabytes lives in a few megabytes, and no garbage
 * collection has to come in time for that. One pool a thread. Who gives a buffer must hold the last reference to it.
 */

/** Kept at most, in bytes: a few blocks between reader, stage and sink. */
const KEPT_BYTES = 3 << 20;
/** Smaller ones are cheaper to make than to keep; small Buffers live side by side in Node's pool, which belongs to nobody. */
const SMALLEST = Math.max(64 << 10, Buffer.poolSize + 1);

const kept: ArrayBuffer[] = [];
let keptBytes = 0;

/** A buffer of at least `size` bytes with any content, alone on its memory. */
export function takeBuffer(size: number): Buffer {
  for (let i = kept.length - 1; i >= 0; i--) {
    const memory = kept[i] as ArrayBuffer;
    if (memory.byteLength < size || memory.byteLength > 4 * size + SMALLEST) continue;
    kept.splice(i, 1);
    keptBytes -= memory.byteLength;
    return Buffer.from(memory);
  }
  return Buffer.allocUnsafeSlow(size);
}

/** Nobody looks at these bytes, or at others of the same memory, any more. */
export function giveBuffer(bytes: Uint8Array): void {
  const memory = bytes.buffer;
  if (!(memory instanceof ArrayBuffer) || memory.byteLength < SMALLEST || keptBytes + memory.byteLength > KEPT_BYTES)
    return;
  if (kept.includes(memory)) throw new Error('a buffer was given back twice');
  kept.push(memory);
  keptBytes += memory.byteLength;
}
