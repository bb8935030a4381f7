/** How the registrations of workers are called among the parts of a run. */
import { hash } from 'node:crypto';
import type { Part } from './store.ts';

export const WORKER_PREFIX = 'worker-';

/** Ids are free text of any length, names of parts are not. */
export function workerPart(workerId: string): Part {
  return `worker-${hash('sha256', workerId).slice(0, 12)}`;
}
