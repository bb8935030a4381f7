/** The run document in the store, as this attempt writes it: always whole, always with the token of its lease. */
import type { Grade, HistoryEntry, Json, Lease, StateStore } from '../state/store.ts';
import { lost } from './checkpoint.ts';
import { crashpoint } from './crashpoint.ts';
import type { RunDocument } from './documents.ts';
import type { RunSummary } from './report.ts';

/** How long finished runs and the history are kept. */
export const HISTORY_MS = 30 * 24 * 3600 * 1000;

export class RunRecord {
  readonly #store: StateStore;
  readonly #lease: Lease;
  readonly #now: () => Date;
  #version: number;
  document!: RunDocument;

  /** `version`: of the document that is replaced, 0 where there is none. */
  constructor(store: StateStore, lease: Lease, version: number, now: () => Date) {
    this.#store = store;
    this.#lease = lease;
    this.#version = version;
    this.#now = now;
  }

  /** Throws OxiError LEASE_LOST where another worker has the run. */
  async save(document: RunDocument, grade: Grade): Promise<void> {
    this.document = document;
    const { runKey, token } = this.#lease;
    const body = document as unknown as { [key: string]: Json };
    for (;;) {
      const result = await this.#store.write(runKey, 'run', { expected: this.#version, token, body, grade });
      if (result.written) {
        this.#version = result.version;
        return;
      }
      // A predecessor's last word came in between: ours has the younger token and goes over it.
      if (result.reason === 'fenced' || result.token >= token) throw lost(runKey);
      this.#version = result.version;
    }
  }

  /** Writes down how the attempt ended. A store that is gone, or belongs to another worker by now, changes nothing about that. */
  async end(summary: RunSummary): Promise<void> {
    const { status, error } = summary;
    const finished = status === 'succeeded';
    const at = this.#now().toISOString();
    const document: RunDocument = {
      ...this.document,
      status: finished ? 'finished' : status === 'failed' ? 'failed' : 'interrupted',
      ...(finished ? { finished_at: at } : {}),
      ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
      summary: summary as unknown as { [key: string]: Json },
    };
    crashpoint('end');
    try {
      // Lost with the machine, it is found out again: the outputs are in place and the last checkpoint says so.
      await this.save(document, 'soft');
      await this.#store.appendHistory(historyEntry(this.#lease.runKey, document, summary, at));
      if (finished) await this.#store.prune(HISTORY_MS);
    } catch (failure) {
      if (finished) throw failure;
    }
    crashpoint('ended');
  }
}

/** How an attempt ended, for the history; `finishedAt`: ISO time. */
export function historyEntry(
  runKey: string,
  { run_id: runId, pipeline, attempt }: Pick<RunDocument, 'run_id' | 'pipeline' | 'attempt'>,
  summary: RunSummary,
  finishedAt: string,
): HistoryEntry {
  const { status } = summary;
  return {
    runKey,
    runId,
    pipeline,
    attempt,
    status,
    finishedAt,
    summary: summary as unknown as HistoryEntry['summary'],
  };
}
