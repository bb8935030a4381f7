/** One number for everything that the kernel and the TypeScript side have to agree on: code of another build has another one. */
import * as memory from '../wasm/memory.ts';
import * as operations from '../wasm/operations.ts';

export function shapeOf(): number {
  let hash = 0x811c9dc5;
  for (const [name, value] of [...Object.entries(memory), ...Object.entries(operations)].sort(([a], [b]) =>
    a < b ? -1 : 1,
  ))
    for (const c of `${name}=${value};`) hash = Math.imul(hash ^ c.charCodeAt(0), 0x01000193);
  return hash >>> 0;
}
