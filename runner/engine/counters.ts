/**
 * What every step counts, and the balance that has to hold (G4): nothing vanishes between two steps or inside one.
 * Counters travel with barriers, so those in a checkpoint are exact for the records before it.
 */

const COUNTER_FIELDS = [
  'in',
  'added',
  'out',
  'filtered',
  'dropped',
  'dead_lettered',
  'failed',
  'collected',
  'passed_on_error',
  'bytes_in',
  'bytes_out',
] as const;

type CounterField = (typeof COUNTER_FIELDS)[number];

/** Records unless the name says bytes. */
export type StepCounters = Record<CounterField, number>;

export function noCounters(): StepCounters {
  return {
    in: 0,
    added: 0,
    out: 0,
    filtered: 0,
    dropped: 0,
    dead_lettered: 0,
    failed: 0,
    collected: 0,
    passed_on_error: 0,
    bytes_in: 0,
    bytes_out: 0,
  };
}

/** As checkpoints are stored: most counters of most steps are zero. */
export function withoutZeros(counters: StepCounters): Partial<StepCounters> {
  const result: Partial<StepCounters> = {};
  for (const field of COUNTER_FIELDS) if (counters[field] !== 0) result[field] = counters[field];
  return result;
}

export function addCounters(into: StepCounters, delta: StepCounters): void {
  for (const field of COUNTER_FIELDS) into[field] += delta[field];
}

export function differenceOf(total: StepCounters, start: StepCounters): StepCounters {
  const result = noCounters();
  for (const field of COUNTER_FIELDS) result[field] = total[field] - start[field];
  return result;
}

/** Records that went in and have not come out in any way. */
export function inFlight(c: StepCounters): number {
  return c.in + c.added - c.out - c.filtered - c.dropped - c.dead_lettered - c.failed - c.collected;
}

/**
 * What breaks the balance at the end of a stream, as sentences; empty where it holds. `after`: the step whose records come here;
 * what leaves a step is what arrives at all of those behind it.
 */
export function imbalances(
  steps: readonly { id: string; after: string | undefined; counters: StepCounters }[],
): string[] {
  const broken: string[] = [];
  const arrived = new Map<string, number>();
  for (const { id, after, counters } of steps) {
    const held = inFlight(counters);
    if (held !== 0) broken.push(`step "${id}": ${held} records went in and never came out`);
    if (after !== undefined) arrived.set(after, (arrived.get(after) ?? 0) + counters.in);
  }
  for (const { id, counters } of steps) {
    const next = arrived.get(id);
    if (next !== undefined && next !== counters.out)
      broken.push(`behind "${id}": ${counters.out} records left, ${next} arrived`);
  }
  return broken;
}
