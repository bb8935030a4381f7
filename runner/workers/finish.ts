/** The end of a shared run: all split groups are done, and one worker makes the whole of it. Whoever comes second finds it made. */
import { lost } from '../engine/checkpoint.ts';
import { crashpoint } from '../engine/crashpoint.ts';
import type { RunSummary } from '../engine/report.ts';
import { HISTORY_MS } from '../engine/run-record.ts';
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
  now(): Date;
}

/** Throws OxiError LEASE_LOST where another worker has started the run over. */
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
    const { run_id: runId, attempt, pipeline } = finished;
    await o.store.appendHistory({
      runKey: o.runKey,
      runId,
      pipeline,
      attempt,
      status: summary.status,
      finishedAt: at,
      summary: summary as unknown as { [key: string]: Json },
    });
    await o.store.prune(HISTORY_MS);
    return summary;
  });
}
