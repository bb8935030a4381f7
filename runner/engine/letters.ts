/** Dead letters: records that a step gave up, on their way to the dead-letter file. */
import type { RecordErrorCode } from './contracts.ts';

/** One record, as it came into the step that could not work on it. */
export interface Letter {
  step: string;
  code: RecordErrorCode;
  reason: string;
  /** Name of its split, and its place in the order of splits. */
  file: string;
  split: number;
  /** Where the record began in its split, in bytes. */
  offset: number;
  /** Its bytes; of one that was too long to be held, nothing. */
  record: Uint8Array;
}

/** In the order in which the records were read: the same whatever blocks they came in. */
export function sortLetters(letters: Letter[]): Letter[] {
  return letters.length < 2 ? letters : letters.sort((a, b) => a.split - b.split || a.offset - b.offset);
}
