/** The end of a shared run: all split groups are done, and one worker makes the whole of it. Whoever comes second finds it made. */
import { lost } from '../engine/checkpoint.ts';
import { crashpoint } from '../engine/crashpoint.ts';
import type { RunSummary } from '../engine/report.ts';
import { HISTORY_MS, historyEntry } from '../engine/run-record.ts';
import type { Json, Lease, StateStore } from '../state/store.ts';
import type { SharedDocument, SharedRun } from './shared-run.ts';

export interface FinishOptions {
  store: StateStore;
  runKey: string;
  document: SharedDocument;
  /** Makes the outputs whole; called again, by another worker, where this one dies in it. */
  publish(lease: Lease, gone: AbortSignal): Promise<RunSummary['outputs']>;
  summarize(outputs: RunSummary['outputs']): Promise<RunSummary>;
  /** Hands out the result before the run is marked as finished. */
  deliver(summary: RunSummary): Promise<void>;
  /** Takes away the registrations of workers that have died in it. */
  dropDead(): Promise<void>;
  /** Ends the wait for another worker that is at it, with its reason. */
  until: AbortSignal;
  now(): Date;
}

/** Throws OxiError LEASE_LOST where another worker has started the run over, and the reason that ended the wait for another one. */
export async function finishShared(run: SharedRun, o: FinishOptions): Promise<RunSummary> {
  return run.alone(async ({ document, version, lease }, gone) => {
    if (document === undefined || document.run_id !== o.document.run_id) throw lost(o.runKey);
    if (document.status === 'finished') {
      const outputs = (document.summary as unknown as RunSummary).outputs;
      const summary = await o.summarize(outputs);
      await o.deliver(summary);
      return summary;
    }
    const finishing = { ...document, status: 'finishing' as const };
    const begun = await run.save(finishing, version, lease, 'hard');
    crashpoint('finishing');
    const outputs = await o.publish(lease, gone);
    crashpoint('published');
    const summary = await o.summarize(outputs);
    await o.deliver(summary);
    const at = o.now().toISOString();
    const finished = {
      ...finishing,
      status: 'finished' as const,
      finished_at: at,
      summary: summary as unknown as { [key: string]: Json },
    };
    crashpoint('finish');
    await run.save(finished, begun, lease, 'soft');
    crashpoint('finished');
    await o.store.appendHistory(historyEntry(o.runKey, finished, wholeRun(summary, finished), at));
    await o.store.prune(HISTORY_MS);
    await o.dropDead();
    return summary;
  }, o);
}

/** What the history tells is what all workers did, and how long it took by the clock on the wall. */
function wholeRun(
  summary: RunSummary,
  { started_at, finished_at }: { started_at: string; finished_at: string },
): RunSummary {
  const { counters, durations } = summary;
  const attempt_ms = Math.max(0, Date.parse(finished_at) - Date.parse(started_at));
  return { ...summary, counters: { ...counters, attempt: counters.total }, durations: { ...durations, attempt_ms } };
}
