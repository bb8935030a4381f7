/**
 * That no two steps of a pipeline have the same file: two sinks that write to it, a backup that another one would replace, a sink
 * that puts its output in the place of the input, or of what the project itself lives on. Links lead several names to one file,
 * so files are told apart by what they are.
 */
import type { FilePlace, Sink, Split } from './contracts.ts';
import { OxiError } from './errors.ts';
import { type Plan, type PlannedSource, type Segment, sinksOf } from './plan.ts';

/** What no step may write to: a file, or all that lies in a folder. */
export interface KeptPlace {
  /** What it is, as in "would take the place of ...". */
  what: string;
  keys: readonly string[];
  /** What the keys of all that lies in it begin with. */
  inside?: string;
}

/** Who has what, by every key of a place. */
export class Places {
  readonly #owners = new Map<string, { step: string; place: FilePlace }>();
  readonly #kept: readonly KeptPlace[];

  constructor(kept: readonly KeptPlace[] = []) {
    this.#kept = kept;
  }

  /** Notes where a sink writes to; what is wrong with that, as a clause, where another step has the same place. */
  claim(step: string, sink: Sink): string | undefined {
    for (const place of placesOf(sink))
      for (const key of place.keys) {
        const kept = this.#kept.find(
          ({ keys, inside }) => keys.includes(key) || (inside !== undefined && key.startsWith(inside)),
        );
        if (kept !== undefined) {
          const its = place.backup === true ? 'its backup' : 'its output';
          return `${its} ${place.name} would take the place of ${kept.what}; choose another path`;
        }
        const other = this.#owners.get(key);
        if (other !== undefined && other.step !== step) return sameSentence(place, other);
        this.#owners.set(key, { step, place });
      }
    return undefined;
  }
}

/** A sink that has no files of its own still has a target. */
function placesOf(sink: Sink): readonly FilePlace[] {
  return [{ name: sink.target, keys: [`target ${sink.target}`] }, ...(sink.places?.() ?? [])];
}

function sameSentence(place: FilePlace, { step, place: other }: { step: string; place: FilePlace }): string {
  if (place.backup === true) return `its backup ${place.name} would take the place of what "${step}" writes`;
  if (other.backup === true) return `"${step}" puts its backup there: ${other.name}`;
  const link = other.name === place.name ? '' : `, which is the same file as ${other.name}`;
  return `"${step}" writes to the same place: ${place.name}${link}`;
}

/** Input of a segment that is about to begin, and where the segment stands in the plan. */
export interface SegmentInput {
  index: number;
  source: PlannedSource;
  splits: readonly Split[];
}

/**
 * No sink of this segment or a later one may put its output in the place of what the segment reads; an earlier one may have made
 * it. Throws OxiError CONFIG_INVALID. `own`: the segment itself, where the plan does not know it yet.
 */
export async function refuseOverInput(
  plan: Plan,
  { index, source, splits }: SegmentInput,
  own?: Segment,
): Promise<void> {
  const later = plan.segments.slice(index).map(({ planned }, i) => (i === 0 ? (own ?? planned) : planned));
  const sinks = later.flatMap((segment) =>
    sinksOf(segment?.nodes ?? []).map(({ step, sink }) => ({ id: step.id, sink })),
  );
  const letters = plan.deadLetters;
  const written = new Map<string, { id: string | undefined; place: FilePlace }>();
  for (const { id, sink } of sinks)
    for (const place of sink.places?.() ?? []) for (const key of place.keys) written.set(key, { id, place });
  for (const place of letters?.sink.places?.() ?? [])
    for (const key of place.keys) written.set(key, { id: undefined, place });
  if (written.size === 0) return;
  for (const { name, keys } of (await source.source.places?.(splits)) ?? []) {
    const found = keys.map((key) => written.get(key)).find((one) => one !== undefined);
    if (found === undefined) continue;
    const { id, place } = found;
    if (id === undefined)
      throw new OxiError(
        'CONFIG_INVALID',
        `the dead letters would take the place of the input: ${name}; give "dead_letter" another path`,
        { place: { field: 'dead_letter', file: name } },
      );
    const what = place.backup === true ? `its backup ${place.name}` : `its output ${place.name}`;
    throw new OxiError(
      'CONFIG_INVALID',
      `step "${id}": ${what} would take the place of ${name}, which "${source.step.id}" reads; choose another path`,
      { place: { step: id, field: 'path', file: name } },
    );
  }
}
