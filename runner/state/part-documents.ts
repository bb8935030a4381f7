/** Every document that a run may have, checked by the schema of its part: for those who look through a store, or fill one. */
import { parseRunDocument, parseSplitDocument } from '../engine/documents.ts';
import { OxiError } from '../engine/errors.ts';
import { parseRegistration } from './registration.ts';
import type { Json, Part } from './store.ts';

/** Throws OxiError STATE_CORRUPT where `body` is not what this part of this run holds. */
export function checkDocument(runKey: string, part: Part, body: { [key: string]: Json }): void {
  if (part.startsWith('split-')) {
    parseSplitDocument(body);
    return;
  }
  const { run_key: its } = part.startsWith('worker-') ? parseRegistration(body) : parseRunDocument(body);
  if (its !== runKey)
    throw new OxiError('STATE_CORRUPT', `it belongs to the run ${JSON.stringify(its)}`, {
      place: { field: 'run_key' },
    });
}
