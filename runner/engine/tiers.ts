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

const FORCED = 'OXIFLOW_TIER says so';

export interface MadeStep {
  /** Place among the steps of the stage. */
  owner: number;
  step: Step;
}

/**
 * Tiers of the steps of a stage, by their place. `isFirst`: it gets lines that nobody has cut yet; `passing`: steps that pass on what
 * they fail at.
 */
export function tiersOf(
  made: readonly MadeStep[],
  about: { ids: readonly string[]; isFirst: boolean; passing: ReadonlySet<number> },
): StepTier[] {
  const tiers: StepTier[] = [];
  const note = (owner: number, tier: Tier, why: string | undefined): void => {
    const known = tiers[owner];
    if (known === undefined || TIERS.indexOf(tier) > TIERS.indexOf(known.tier)) tiers[owner] = { tier, why };
  };
  const isForced = forcedTier() === 'values';
  fuse(made, about.passing).forEach((part, i) => {
    if (!Array.isArray(part)) {
      note(part.owner, 'values', isForced ? FORCED : 'it works on whole blocks');
      return;
    }
    const program = i === 0 && about.isFirst && !isForced ? programOf(part) : undefined;
    for (const { owner } of part) {
      if (program !== undefined && !('why' in program)) note(owner, 'bytes', undefined);
      else if (program === undefined)
        note(owner, 'values', isForced ? FORCED : 'its records come cut, and the kernel takes whole lines');
      else if (program.owner === undefined || program.owner === owner) note(owner, 'values', program.why);
      else note(owner, 'values', `"${about.ids[program.owner]}" is in the same pass`);
    }
  });
  return tiers;
}
