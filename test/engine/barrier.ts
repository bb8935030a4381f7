/** A barrier as a source sends it. */
import type { Barrier } from '../../runner/engine/flow.ts';

export function barrierOf(n: number, more: Partial<Barrier> = {}): Barrier {
  return {
    n,
    grade: 'soft',
    last: 'no',
    position: { split: 0, offset: 0, records: 0, framer: null },
    counters: new Map(),
    snapshots: {},
    encoders: {},
    marks: {},
    declined: false,
    branches: [],
    over: Promise.withResolvers(),
    ...more,
  };
}
