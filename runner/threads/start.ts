/** Starts a thread. What that needs loads with the first one: a run that needs none starts without it. */
import type { Worker } from 'node:worker_threads';

interface Thread {
  name: string;
  data: unknown;
  youngMb: number;
  /** Of its old generation; undefined: Node's. */
  heapMb?: number | undefined;
}

/** `entry`: its code. */
export function startThread({ name, data, youngMb, heapMb }: Thread, entry: URL): Worker {
  // A thread copies the compiled code of V8's own functions, 2 MB, to have it near its own code; it is no faster for it.
  process.getBuiltinModule('node:v8').setFlagsFromString('--no-short-builtin-calls');
  const { Worker } = process.getBuiltinModule('node:worker_threads');
  return new Worker(entry, {
    workerData: data,
    name: `oxiflow: ${name}`,
    resourceLimits: {
      maxYoungGenerationSizeMb: youngMb,
      ...(heapMb === undefined ? {} : { maxOldGenerationSizeMb: heapMb }),
    },
  });
}
