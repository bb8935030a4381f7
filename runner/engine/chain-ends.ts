/** Where the chains of a flow end: letters find their file, and a barrier that has come out of every chain is committed. */
import type { Makings } from './assembly.ts';
import type { BarrierClock } from './barrier-clock.ts';
import { imbalances, noCounters } from './counters.ts';
import { OxiError } from './errors.ts';
import type { Barrier } from './flow.ts';
import type { ChainEnd } from './flow-sink.ts';
import type { BranchBarriers } from './flow-tee.ts';
import { errorsOf } from './report.ts';

/** A share of errors is judged from so many records on, and at the end: among few, a handful says nothing of the whole. */
const SHARE_FROM = 10_000;

/** Behind the last sink; `committed` is told of every barrier that counts. */
export function mainEnd(m: Makings, clock: BarrierClock, committed: (last: Barrier['last']) => void): ChainEnd {
  const { deadLetters } = m.start;
  const halted = haltOf(m);
  return {
    letters: async (letters) => deadLetters?.write(letters),
    barrier: async (barrier) => {
      // A chain within a second chain is only known of once the barrier has come to it: before that of the second one resolves.
      for (let i = 0; i < barrier.branches.length; i++) await Promise.race([barrier.branches[i], halted]);
      if (!barrier.declined) {
        if (barrier.last === 'finished') checkEnd(m, barrier);
        await m.start.commit(barrier);
        committed(barrier.last);
      }
      clock.over(barrier.declined ? 'soft' : barrier.grade);
      barrier.over.resolve();
    },
  };
}

/** Letters that come behind a barrier wait until it is committed: its mark must not speak of them. */
export function branchEnd(m: Makings, barriers: BranchBarriers): ChainEnd {
  const { deadLetters } = m.start;
  const halted = haltOf(m);
  let before: Promise<void> = Promise.resolve();
  return {
    letters: async (letters) => {
      await Promise.race([before, halted]);
      await deadLetters?.write(letters);
    },
    barrier: async (barrier) => {
      before = barrier.over.promise;
      barriers.arrived(barrier.n);
    },
  };
}

/** Fails when the flow is stopped: who waits for another chain must not wait for one that has ended. */
function haltOf({ halt }: Makings): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new Error('the flow was stopped'));
  if (halt.signal.aborted) onAbort();
  else halt.signal.addEventListener('abort', onAbort, { once: true });
  promise.catch(() => undefined);
  return promise;
}

/** What has to hold before the last checkpoint: behind it the outputs are published, whatever happens. */
function checkEnd(m: Makings, barrier: Barrier): void {
  checkErrors(m, true);
  const { segment, source } = m.start;
  // Of several sources one is read, which need not be the last.
  const sources = new Set(segment.sources.map(({ step }) => step.id));
  const broken = imbalances(
    segment.steps.map(({ id, after }) => ({
      id,
      after: after !== undefined && sources.has(after) ? source.step.id : after,
      counters: barrier.counters.get(id) ?? noCounters(),
    })),
  );
  if (broken.length > 0)
    throw new OxiError(
      'BALANCE_BROKEN',
      `the records do not add up: ${broken.join('; ')}. Nothing was published; this is a bug of oxiflow`,
    );
}

/** Throws OxiError TOO_MANY_ERRORS beyond the limit. */
export function checkErrors(m: Makings, atEnd: boolean): void {
  const { maxErrors } = m.a;
  const { figures } = m.start;
  if (maxErrors === undefined) return;
  const errors = errorsOf(figures);
  if ('count' in maxErrors) {
    if (errors <= maxErrors.count) return;
    throw new OxiError(
      'TOO_MANY_ERRORS',
      `${errors} ${errors === 1 ? 'record was' : 'records were'} bad and "max_errors" allows ${maxErrors.count}`,
    );
  }
  const { records } = figures;
  if (records === 0 || (!atEnd && records < SHARE_FROM) || errors / records <= maxErrors.share) return;
  throw new OxiError(
    'TOO_MANY_ERRORS',
    `${errors} of ${records} records ${errors === 1 ? 'was' : 'were'} bad and "max_errors" allows ${maxErrors.share * 100} %`,
  );
}
