/** What earlier runs of the same key have left beside the outputs of one that begins, and of which nobody else would get rid. */
import type { StateStore } from '../state/store.ts';
import type { EarlierOutput, SinkRun } from './contracts.ts';
import { parseRunDocument, type RunDocument } from './documents.ts';
import { type Plan, type Segment, sinksOf } from './plan.ts';
import { DEAD_LETTERS } from './planner.ts';
import type { RunSummary } from './report.ts';

type Known = NonNullable<RunDocument['replaces']>;

/** What they have put in place, as the store knows it; also where the document of the run is lost. */
export async function earlierOutputs(
  store: StateStore,
  runKey: string,
  run: RunDocument | undefined,
): Promise<{ replaces: Known } | Record<string, never>> {
  const known = new Map<string, Known[number]>();
  const add = ({ summary, finished_at: at }: RunDocument): void => {
    for (const { step, path, bytes } of (summary as unknown as RunSummary | undefined)?.outputs ?? [])
      if (path !== undefined && at !== undefined) known.set(path, { step, path, bytes, at });
  };
  for (const one of run?.replaces ?? []) known.set(one.path, one);
  if (run?.status === 'finished') add(run);
  else
    for (const { part } of await store.parts(runKey, 'group-')) {
      const stored = await store.read(runKey, part);
      if (stored !== undefined) add(parseRunDocument(stored.body));
    }
  return known.size === 0 ? {} : { replaces: [...known.values()] };
}

/**
 * Takes away outputs of earlier runs that stand beside those of this one, as parts of another cut. `of`: how many parts this one is
 * cut in; `dry`: only says what would stay. Returns the names of what stays.
 */
export async function clearEarlier(
  { nodes }: Pick<Segment, 'nodes'>,
  known: readonly Known[number][],
  { of, dry = false }: { of: number | undefined; dry?: boolean },
): Promise<string[]> {
  const left: string[] = [];
  for (const { step, sink } of sinksOf(nodes)) {
    const own: EarlierOutput[] = known.filter((one) => one.step === step.id);
    left.push(...((await sink.clearEarlier?.(own, { of, dry })) ?? []));
  }
  return left;
}

/** Takes away what workers of earlier runs have staged for parts. `of`: into how many the last one was cut, where that is known. */
export async function sweepParts(
  { nodes }: Pick<Segment, 'nodes'>,
  { deadLetters }: Pick<Plan, 'deadLetters'>,
  runOf: (step: string) => SinkRun,
  of: number,
): Promise<void> {
  const sinks = sinksOf(nodes).map(({ step, sink }) => ({ id: step.id, sink }));
  if (deadLetters !== undefined) sinks.push({ id: DEAD_LETTERS, sink: deadLetters.sink });
  for (const { id, sink } of sinks) await sink.sweepParts?.(runOf(id), of);
}
