/** The stored form of a history entry, checked by shape. */
import { isObject } from './seal.ts';
import type { HistoryEntry, Json } from './store.ts';

export function parseHistory(value: Json): HistoryEntry | undefined {
  if (!isObject(value)) return undefined;
  const { runKey, runId, pipeline, attempt, status, finishedAt, summary } = value;
  const ok =
    [runKey, runId, pipeline, status, finishedAt].every((text) => typeof text === 'string') &&
    typeof attempt === 'number' &&
    summary !== undefined &&
    isObject(summary);
  return ok ? (value as unknown as HistoryEntry) : undefined;
}
