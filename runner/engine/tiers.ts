/** Which tier the steps of a stage run on, and why on no faster one. */
import { programOf } from './byte-pass.ts';
import { type Step, TIERS, type Tier } from './contracts.ts';
import { OxiError } from './errors.ts';
import { fuse } from './fuse.ts';
import type { StepTier } from './plan.ts';

/** The tiers that this build has. */
const AVAILABLE: readonly Tier[] = ['bytes', 'values'];

/** `OXIFLOW_TIER`: the tier that everything runs on that can. Throws OxiError CONFIG_INVALID. */
export function forcedTier(): Tier | undefined {
  const text = process.env.OXIFLOW_TIER;
  if (text === undefined || text === '') return undefined;
  const tier = AVAILABLE.find((one) => one === text);
  if (tier === undefined)
    throw new OxiError(
      'CONFIG_INVALID',
      `OXIFLOW_TIER is "${text}": this build has ${AVAILABLE.join(' and ')}${TIERS.some((one) => one === text) ? ' only' : ''}`,
    );
  return tier;
}

export interface MadeStep {
  /** Place among the steps of the stage. */
  owner: number;
  step: Step;
}

/**
 * Tiers of the steps of a stage, by their place. `isFirst`: it gets lines that nobody has cut yet; `passing`: steps that pass on what
 * they fail at.
 */
export function tiersOf(made: readonly MadeStep[], isFirst: boolean, passing: ReadonlySet<number>): StepTier[] {
  const tiers: StepTier[] = [];
  const note = (owner: number, tier: Tier, why: string | undefined): void => {
    const known = tiers[owner];
    if (known === undefined || TIERS.indexOf(tier) > TIERS.indexOf(known.tier)) tiers[owner] = { tier, why };
  };
  const forced = forcedTier();
  let reason = 'OXIFLOW_TIER says so';
  if (forced !== 'values') reason = isFirst ? '' : 'its records come cut to it, and the kernel takes whole lines';
  fuse(made, passing).forEach((part, i) => {
    if (!Array.isArray(part)) {
      note(part.owner, 'values', reason || 'it works on whole blocks');
      reason ||= `"bytes" ends at the step before it`;
      return;
    }
    const program = reason === '' && i === 0 ? programOf(part) : undefined;
    const isBytes = program !== undefined && typeof program !== 'string';
    const why = typeof program === 'string' ? program : reason || 'it looks into what a step before it has made';
    for (const { owner } of part) note(owner, isBytes ? 'bytes' : 'values', isBytes ? undefined : why);
  });
  return tiers;
}
