/**
 * Buffers of blocks that are done with, to be used again: a stream of gigabytes lives in a few megabytes, and no garbage
 * collection has to come in time for that. They lie in shared memory, so that a block goes to another thread without a copy and
 * without V8 taking it for new memory there. One pool a thread. Who gives a buffer must hold the last reference to it, on any
 * thread: nothing tells two owners of shared memory apart.
 */

/**
 * Kept at most, in bytes: all blocks between reader, stages and sinks, should they come back at once. What is given up here is made
 * anew elsewhere a moment later, and the memory of the old one is free only when a garbage collection finds it.
 */
const KEPT_BYTES = 48 << 20;
/** Smaller ones are cheaper to make than to keep; small Buffers live side by side in Node's pool, which belongs to nobody. */
const SMALLEST = Math.max(64 << 10, Buffer.poolSize + 1);

/** In the order in which they were given, the oldest first. */
const kept: SharedArrayBuffer[] = [];
let keptBytes = 0;
/** After so many buffers were given, what nobody has needed since the last time is let go. */
const TRIM_EVERY = 1024;
let given = 0;
/** The least that was kept since then: so much was never in use. */
let idleBytes = 0;

/** A buffer of at least `size` bytes with any content, alone on its memory. */
export function takeBuffer(size: number): Buffer {
  if (size < SMALLEST) return Buffer.allocUnsafeSlow(size);
  return Buffer.from(takeKept(size) ?? new SharedArrayBuffer(classOf(size)));
}

/** The memory of a buffer that would serve for `size` bytes; undefined where none is kept. */
export function takeKept(size: number): SharedArrayBuffer | undefined {
  const wanted = classOf(size);
  let best = -1;
  for (let i = kept.length - 1; i >= 0; i--) {
    const { byteLength } = kept[i] as SharedArrayBuffer;
    if (byteLength < wanted || byteLength > 4 * wanted) continue;
    if (best < 0 || byteLength < (kept[best] as SharedArrayBuffer).byteLength) best = i;
    if (byteLength === wanted) break;
  }
  const memory = kept[best];
  if (memory === undefined) return undefined;
  kept.splice(best, 1);
  keptBytes -= memory.byteLength;
  idleBytes = Math.min(idleBytes, keptBytes);
  return memory;
}

/** Sizes are rounded up to a few, four to a doubling: blocks are never quite equal, and what one gives back has to fit the next. */
function classOf(size: number): number {
  const step = 2 ** (Math.floor(Math.log2(size)) - 2);
  return Math.ceil(size / step) * step;
}

/**
 * Nobody looks at these bytes, or at others of the same memory, any more. Where there is no room, those go that nobody has asked
 * for the longest: blocks may have become larger since.
 */
export function giveBuffer(bytes: Uint8Array): void {
  const memory = bytes.buffer;
  // A giant would drive out all others.
  if (!(memory instanceof SharedArrayBuffer) || memory.byteLength > KEPT_BYTES / 2) return;
  if (kept.includes(memory)) throw new Error('a buffer was given back twice');
  kept.push(memory);
  keptBytes += memory.byteLength;
  while (keptBytes > KEPT_BYTES) keptBytes -= kept.shift()?.byteLength ?? 0;
  if (++given % TRIM_EVERY === 0) trim();
}

/** Lets go of the oldest, as much as lay idle: sizes change over a run, and those that nobody asks for any more would add up. */
function trim(): void {
  for (let [oldest] = kept; oldest !== undefined && oldest.byteLength <= idleBytes; [oldest] = kept) {
    kept.shift();
    keptBytes -= oldest.byteLength;
    idleBytes -= oldest.byteLength;
  }
  idleBytes = keptBytes;
}

/** Its memory can be used on several threads at once. */
export function isShared(bytes: Uint8Array): boolean {
  return bytes.buffer instanceof SharedArrayBuffer;
}
