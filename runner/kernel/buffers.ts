/**
 * Buffers of blocks that are done with, to be used again: a stream of gigabytes lives in a few megabytes, and no garbage
 * collection has to come in time for that. They lie in shared memory, so that a block goes to another thread without a copy and
 * without V8 taking it for new memory there. One pool a thread. Who gives a buffer must hold the last reference to it, on any
 * thread: nothing tells two owners of shared memory apart.
 */

/** Kept at most, in bytes: a few blocks between reader, stage and sink. */
const KEPT_BYTES = 24 << 20;
/** Smaller ones are cheaper to make than to keep; small Buffers live side by side in Node's pool, which belongs to nobody. */
const SMALLEST = Math.max(64 << 10, Buffer.poolSize + 1);

const kept: SharedArrayBuffer[] = [];
let keptBytes = 0;

/** A buffer of at least `size` bytes with any content, alone on its memory. */
export function takeBuffer(size: number): Buffer {
  if (size < SMALLEST) return Buffer.allocUnsafeSlow(size);
  for (let i = kept.length - 1; i >= 0; i--) {
    const memory = kept[i] as SharedArrayBuffer;
    if (memory.byteLength < size || memory.byteLength > 4 * size + SMALLEST) continue;
    kept.splice(i, 1);
    keptBytes -= memory.byteLength;
    return Buffer.from(memory);
  }
  return Buffer.from(new SharedArrayBuffer(size));
}

/** Nobody looks at these bytes, or at others of the same memory, any more. */
export function giveBuffer(bytes: Uint8Array): void {
  const memory = bytes.buffer;
  if (!(memory instanceof SharedArrayBuffer) || keptBytes + memory.byteLength > KEPT_BYTES) return;
  if (kept.includes(memory)) throw new Error('a buffer was given back twice');
  kept.push(memory);
  keptBytes += memory.byteLength;
}

/** Its memory can be used on several threads at once. */
export function isShared(bytes: Uint8Array): boolean {
  return bytes.buffer instanceof SharedArrayBuffer;
}
