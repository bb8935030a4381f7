/** One thing that `oxiflow doctor` has looked at, and what there is to do about it. */

type Verdict = 'ok' | 'warning' | 'wrong';

export interface Check {
  /** A word for what was looked at. */
  name: string;
  verdict: Verdict;
  /** What was found, in a few words. */
  text: string;
  /** What helps; absent where nothing has to be done. */
  remedy?: string;
}

export function ok(name: string, text: string): Check {
  return { name, verdict: 'ok', text };
}

export function warning(name: string, text: string, remedy: string): Check {
  return { name, verdict: 'warning', text, remedy };
}

/** `remedy` is absent where the text, a message of the program, already says what to do. */
export function wrong(name: string, text: string, remedy?: string): Check {
  return { name, verdict: 'wrong', text, ...(remedy === undefined ? {} : { remedy }) };
}
