/** The stored form of a request to whoever works on a run, checked by shape, and which of them a clearing means. */
import type { Json, RunRequest } from './store.ts';

export type RequestFilter = { kinds?: readonly RunRequest['kind'][]; worker?: string };

const KINDS: ReadonlySet<unknown> = new Set<RunRequest['kind']>(['cancel', 'pause', 'stop', 'rebalance']);

/** Undefined where it is no request. */
export function parseRequest(value: { [key: string]: Json }): RunRequest | undefined {
  const { kind, worker, force, at, from } = value;
  const ok =
    KINDS.has(kind) &&
    (worker === undefined || typeof worker === 'string') &&
    (force === undefined || force === true) &&
    typeof at === 'string' &&
    typeof from === 'string';
  if (!ok) return undefined;
  return {
    kind: kind as RunRequest['kind'],
    ...(worker === undefined ? {} : { worker }),
    ...(force === undefined ? {} : { force }),
    at,
    from,
  };
}

export function isMeant(request: RunRequest, { kinds, worker }: RequestFilter): boolean {
  return (kinds?.includes(request.kind) ?? true) && (worker === undefined || request.worker === worker);
}
