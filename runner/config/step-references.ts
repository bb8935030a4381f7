/** `${steps.ID.FIELD}`: which steps a step may refer to, and what their metadata says. */
import type { Json } from '../state/store.ts';
import { didYouMean, listNames } from './nearest.ts';
import type { StepReference } from './references.ts';

/** What is known of earlier steps when a step opens: by id, then by field. */
export type StepMetadata = ReadonlyMap<string, Readonly<Record<string, Json>>>;

/** Before the run: nothing is known yet (undefined), or what is wrong with the reference. */
export function checkReference(
  { step }: StepReference,
  self: string,
  earlier: readonly string[],
  all: readonly string[],
) {
  if (earlier.includes(step)) return undefined;
  const name = `\${steps.${step}...}`;
  if (step === self) return { known: false, problem: `${name} refers to the step itself` };
  if (all.includes(step))
    return { known: false, problem: `${name} refers to a later step; only steps above this one can be used` };
  const near = didYouMean(step, earlier);
  return {
    known: false,
    problem: `there is no step "${step}" above this one${near === '' && earlier.length > 0 ? `; there are: ${listNames(earlier)}` : near}`,
  };
}

/** During the run: the value, or what is missing. */
export function lookUp({ step, path }: StepReference, steps: StepMetadata) {
  const metadata = steps.get(step);
  let value: Json | undefined = metadata;
  for (const name of path) {
    const inside: Json | undefined = value;
    if (typeof inside !== 'object' || inside === null || !Object.hasOwn(inside, name)) {
      const known = metadata === undefined ? '' : `; it has: ${listNames(Object.keys(metadata))}`;
      const what = `step "${step}" has no "${path.join('.')}"`;
      // Every step that has ended has counted its records.
      const problem =
        metadata !== undefined && Object.hasOwn(metadata, 'records')
          ? `${what}${known}; fields are those of its record, where that is the only one`
          : `${what} yet${known}; what it leaves, and the fields of its only record, are known in the segment behind it, which a further source begins`;
      return { known: true, problem: `${problem}; give a default with :-` };
    }
    value = Array.isArray(inside) ? inside[Number(name)] : inside[name];
  }
  return { known: true, value };
}
