/** Compares what came out with what a test expects, as values, and says where they differ first. */

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

/** The first record in which two lists differ; the order of keys means nothing, 1 and 1.0 are the same. */
export function compareRecords(expected: readonly unknown[], got: readonly unknown[]): Difference | undefined {
  for (let i = 0; i < Math.max(expected.length, got.length); i++) {
    const place = `record ${i + 1}`;
    if (i >= got.length)
      return { place, expected: show(expected[i]), got: `${NOTHING}: ${count(got.length)} came out` };
    if (i >= expected.length)
      return { place, expected: `${NOTHING}: ${count(expected.length)} in all`, got: show(got[i]) };
    const found = compareValues(expected[i], got[i], []);
    if (found === undefined) continue;
    const field = found.path.join('.');
    return { place: field === '' ? place : `${place}, field "${field}"`, expected: found.expected, got: found.got };
  }
  return undefined;
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

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}...` : text;
}
