/** What several workers can't share is refused before anything starts. */
import type { Oxi } from '../engine/contracts.ts';
import { OxiError } from '../engine/errors.ts';
import { type Plan, sinksOf } from '../engine/plan.ts';
import { networkFileSystem } from '../state/file-system.ts';
import type { StateStore } from '../state/store.ts';
import type { Sharing } from './begin.ts';

export interface SharingOptions {
  oxis: ReadonlyMap<string, Oxi>;
  /** `max_errors` of the pipeline, if it says so. */
  maxErrors?: unknown;
}

/** Backends whose state may lie on a disk of this host alone. */
const ON_A_DISK: ReadonlySet<string> = new Set(['sqlite', 'file']);

/** Shards elsewhere would find another state there, and each do a run of its own. Throws OxiError COMMAND_INVALID. */
export async function refuseLocalState(
  { backend, location }: Pick<StateStore, 'backend' | 'location'>,
  sharing: Sharing,
): Promise<void> {
  if (sharing.kind !== 'shard' || sharing.of === 1 || sharing.sameHost === true || !ON_A_DISK.has(backend)) return;
  if (backend === 'file' && (await networkFileSystem(location)) !== undefined) return;
  throw new OxiError(
    'COMMAND_INVALID',
    `run: the state in ${location} is this host's alone, and --shard ${sharing.index}/${sharing.of} has others that may run elsewhere: keep it in Redis or on a shared folder (state_manager), or add --same-host where all of them run here`,
  );
}

/** Returns what is different when the run is shared, as sentences. Throws OxiError CONFIG_INVALID where it can't be. */
export async function refuseSharing(plan: Plan, { oxis, maxErrors }: SharingOptions): Promise<string[]> {
  const [first, second] = plan.segments;
  if (first === undefined) throw new Error('the plan has no segment');
  const next = second?.steps[0];
  if (next !== undefined)
    throw refused(
      next.id,
      'begins anew behind the steps before it, which have to be done with all of the input by then',
    );
  const segment = await first.plan(new Map());
  for (const { step, source } of segment.sources)
    if (source.kind === 'once') throw refused(step.id, 'gives its input once, to one worker');
  const sinks = sinksOf(segment.nodes);
  for (const { id, oxi, config } of segment.steps) check(id, oxis.get(oxi), config);
  for (const { step, formatter } of sinks) check(step.id, formatter?.oxi, formatter?.config);
  return notices(segment.steps, oxis, plan, maxErrors);
}

function check(id: string, oxi: Oxi | undefined, config: unknown): void {
  const alone = oxi?.alone;
  if (alone === undefined || alone.when?.(config as never) === false) return;
  throw refused(id, alone.why);
}

function refused(step: string, why: string): OxiError {
  return new OxiError('CONFIG_INVALID', `step "${step}": ${why}; run it with one worker`, { place: { step } });
}

function notices(
  steps: readonly { id: string; oxi: string }[],
  oxis: SharingOptions['oxis'],
  { deadLetters }: Plan,
  maxErrors: unknown,
): string[] {
  const found: string[] = [];
  for (const { id, oxi: name } of steps) {
    const oxi = oxis.get(name);
    if (oxi?.kind === 'batch') found.push(`step "${id}": the last batch of each part may be a small one`);
    if (oxi?.kind === 'step' && oxi.waits === true) found.push(`step "${id}": its program is started for each part`);
  }
  if (maxErrors !== undefined) found.push('"max_errors" counts in each part by itself');
  if (deadLetters !== undefined) found.push('dead letters go to one file for each part, "max_records" counts in each');
  return found;
}
