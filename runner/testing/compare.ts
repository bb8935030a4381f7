/** Compares what came out with what a test expects, as values, and says where they differ first. */
import { differing, isMap } from './diff.ts';

/** A place in a value, and what stands there. */
export interface Difference {
  /** `record 2, field "customer.country"`. */
  place: string;
  expected: string;
  got: string;
}

const NOTHING = 'nothing';
/** Of a value this much is shown. */
const SHOWN = 300;

/** Where two lists differ first. */
export function compareRecords(expected: readonly unknown[], got: readonly unknown[]): Difference | undefined {
  const [first] = differing(expected, got);
  if (first === undefined) return undefined;
  const place = `record ${((first.expected ?? first.got)?.index ?? 0) + 1}`;
  if (first.got === undefined)
    return { place, expected: show(first.expected?.value), got: `${NOTHING}: ${count(got.length)} came out` };
  if (first.expected === undefined)
    return { place, expected: `${NOTHING}: ${count(expected.length)} in all`, got: show(first.got.value) };
  const found = compareValues(first.expected.value, first.got.value, []);
  if (found === undefined) return undefined;
  const field = found.path.join('.');
  return { place: field === '' ? place : `${place}, field "${field}"`, expected: found.expected, got: found.got };
}

function count(records: number): string {
  return `${records} ${records === 1 ? 'record' : 'records'}`;
}

function compareValues(
  expected: unknown,
  got: unknown,
  path: readonly string[],
): { path: readonly string[]; expected: string; got: string } | undefined {
  if (isMap(expected) && isMap(got)) {
    for (const key of new Set([...Object.keys(expected), ...Object.keys(got)])) {
      const here = [...path, key];
      if (!Object.hasOwn(got, key)) return { path: here, expected: show(expected[key]), got: 'no such field' };
      if (!Object.hasOwn(expected, key)) return { path: here, expected: 'no such field', got: show(got[key]) };
      const found = compareValues(expected[key], got[key], here);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (Array.isArray(expected) && Array.isArray(got)) {
    for (let i = 0; i < Math.max(expected.length, got.length); i++) {
      const here = [...path, String(i)];
      if (i >= got.length) return { path: here, expected: show(expected[i]), got: NOTHING };
      if (i >= expected.length) return { path: here, expected: NOTHING, got: show(got[i]) };
      const found = compareValues(expected[i], got[i], here);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  return expected === got ? undefined : { path, expected: show(expected), got: show(got) };
}

/** The first line in which two texts differ. */
export function compareText(expected: string, got: string): Difference | undefined {
  if (expected === got) return undefined;
  const [wanted, came] = [expected.split('\n'), got.split('\n')];
  const at = wanted.findIndex((line, i) => line !== came[i]);
  const line = at < 0 ? wanted.length : at;
  const shown = (text: string | undefined): string => (text === undefined ? `${NOTHING}: the text ends` : show(text));
  return { place: `line ${line + 1}`, expected: shown(wanted[line]), got: shown(came[line]) };
}

function show(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}...` : text;
}
