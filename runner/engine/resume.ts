/**
 * What a new attempt does: begin, go on from a checkpoint, or nothing at all. A checkpoint belongs to its plan and its input;
 * where either has changed it is refused, never guessed at.
 */
import type { Checkpoint, RunDocument } from '../state/documents.ts';
import type { Holder } from '../state/store.ts';
import type { Source, Split } from './contracts.ts';
import { OxiError } from './errors.ts';
import type { Plan } from './plan.ts';

export interface PlanHashes {
  steps: { id: string; hash: string }[];
  parameters_hash: string;
}

/** The soft checkpoint counts on the boot that made it, elsewhere only the hard one does. */
export function trustedCheckpoint(
  checkpoints: { hard?: Checkpoint | undefined; soft?: Checkpoint | undefined },
  here: Holder,
): Checkpoint | undefined {
  const { hard, soft } = checkpoints;
  if (soft === undefined || (hard !== undefined && hard.n >= soft.n)) return hard;
  return soft.boot_id === here.bootId && soft.host === here.host ? soft : hard;
}

/** Throws OxiError PLAN_CHANGED unless the changes are accepted; a changed source or parser can't be. */
export function checkPlan(run: RunDocument, now: PlanHashes, plan: Plan, accept: boolean): string[] {
  const before = new Map(run.plan.steps.map(({ id, hash }) => [id, hash]));
  const changes: string[] = [];
  const fixed = new Set([plan.source.step.id, plan.parser?.step.id]);
  let inputSide = false;
  for (const { id, hash } of now.steps) {
    const old = before.get(id);
    before.delete(id);
    if (old === hash) continue;
    changes.push(old === undefined ? `step "${id}" is new` : `step "${id}" has changed`);
    inputSide ||= fixed.has(id);
  }
  for (const id of before.keys()) changes.push(`step "${id}" is gone`);
  if (run.plan.parameters_hash !== now.parameters_hash) changes.push('the parameters have changed');
  if (changes.length === 0 || (accept && !inputSide)) return changes;
  const ways = inputSide ? '--fresh starts over' : '--accept-changes goes on with the new plan, --fresh starts over';
  throw new OxiError(
    'PLAN_CHANGED',
    `run "${run.run_key}" is unfinished and the pipeline is not what it was: ${changes.join(', ')}. ${ways}`,
  );
}

/** Throws OxiError INPUT_CHANGED where a recorded split is not what it was, INPUT_MISSING where it is gone. */
export async function checkInput(
  run: RunDocument,
  source: Source,
  splits: readonly Split[],
  checkpoint: Checkpoint | undefined,
): Promise<void> {
  const change = (name: string, what: string): OxiError =>
    new OxiError(
      'INPUT_CHANGED',
      `run "${run.run_key}" is unfinished and its input is not what it was: ${name} ${what}. --fresh starts over`,
      { place: { file: name } },
    );
  const recorded = await source.recorded(splits);
  recorded.forEach((now, i) => {
    const before = splits[i];
    if (before !== undefined && before.size !== now.size)
      throw change(before.name, `had ${before.size} bytes and has ${now.size}`);
  });
  if (checkpoint === undefined || source.fingerprint === undefined) return;
  const { split, offset, fingerprint } = checkpoint.position;
  const at = splits[split];
  if (at === undefined || fingerprint === '') return;
  if ((await source.fingerprint(at, offset)) !== fingerprint)
    throw change(at.name, `has other bytes before byte ${offset}`);
}
