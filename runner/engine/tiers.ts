/** Which tier the steps of a stage run on, and why on no faster one. */

import { isNative } from '../kernel/bytes/forms.ts';
import type { World } from '../kernel/bytes/world.ts';
import { noProgram } from './byte-pass.ts';
import { type BlockStep, type Step, TIERS, type Tier } from './contracts.ts';
import { OxiError } from './errors.ts';
import { fuse } from './fuse.ts';
import type { PlannedStage, PlannedStep, Segment, StepTier } from './plan.ts';

/** What OXIFLOW_TIER says: the tier that everything runs on that can. Throws OxiError CONFIG_INVALID. */
export function tierAsked(env: Readonly<Record<string, string | undefined>>): Tier | undefined {
  const text = env.OXIFLOW_TIER;
  if (text === undefined || text === '') return undefined;
  const tier = TIERS.find((one) => one === text);
  if (tier === undefined)
    throw new OxiError('CONFIG_INVALID', `OXIFLOW_TIER is "${text}": there are ${TIERS.join(', ')}`);
  return tier;
}

const FORCED = 'OXIFLOW_TIER says so';

interface MadeStep {
  /** Place among the steps of the stage. */
  owner: number;
  step: Step;
}

export interface TieredStage {
  stage: PlannedStage;
  made: ReadonlyMap<PlannedStep, readonly Step[]>;
  /** The parser that it begins with, where nobody has looked at what comes in; and what the framer may do of its work. */
  parser: Segment['parser'];
  select: Segment['select'];
  forced: Tier | undefined;
  /** That of what comes in, where a stage stands before it. */
  before: Tier | undefined;
  /** What expressions find beside the record, where that is known. */
  world: World | undefined;
}

/** Notes the tier of every step of a stage, and of the stage. */
export function noteTiers({ stage, made, parser, select, forced, before, world }: TieredStage): void {
  const steps = stage.steps.flatMap((step, owner) => (made.get(step) ?? []).map((part) => ({ owner, step: part })));
  const passing = new Set(stage.steps.flatMap(({ onError }, owner) => (onError === 'pass' ? [owner] : [])));
  const ids = stage.steps.map(({ id }) => id);
  const whyCut = forced === 'values' ? FORCED : whyNoLines(stage, parser, select);
  const tiers = tiersOf(steps, { ids, passing, whyCut, before, world, isForced: forced === 'values' });
  stage.steps.forEach((step, owner) => {
    const tier = tiers[owner];
    if (tier !== undefined) step.tier = tier;
  });
  stage.cutsBytes = whyCut === undefined && tiers[0] !== undefined && tiers[0].tier !== 'values';
  stage.tier = TIERS.findLast((tier) => tiers.some((one) => one.tier === tier)) ?? 'values';
  stage.forced = forced;
}

/** Why whole lines never come into this stage, as far as the configuration tells; undefined where they may. */
function whyNoLines(stage: PlannedStage, parser: Segment['parser'], select: Segment['select']): string | undefined {
  if (parser === undefined || stage.checked || stage.place !== 'main' || stage.steps[0] !== parser.step) return CUT;
  const { oxi, step } = parser;
  const config = step.config as never;
  const stream = oxi.detect(config, new Uint8Array(), '', select);
  if (oxi.chunk?.(config, stream, { offset: 0, state: null, name: '' }) !== undefined) return undefined;
  return `"${step.id}" does not read plain lines`;
}

const CUT = 'its input comes cut, and the kernel takes whole rows';

function tiersOf(
  made: readonly MadeStep[],
  about: {
    ids: readonly string[];
    passing: ReadonlySet<number>;
    whyCut: string | undefined;
    before: Tier | undefined;
    world: World | undefined;
    isForced: boolean;
  },
): StepTier[] {
  const tiers: StepTier[] = [];
  const note = (owner: number, tier: Tier, why: string | undefined): void => {
    const known = tiers[owner];
    if (known === undefined || TIERS.indexOf(tier) > TIERS.indexOf(known.tier)) tiers[owner] = { tier, why };
  };
  let areRows = false;
  let before = about.before;
  fuse(made, about.passing).forEach((part, i) => {
    if (!Array.isArray(part)) {
      const { rows } = part.step;
      if (i === 0 && rows !== undefined) {
        const why = about.isForced ? FORCED : whyNoRows(part, about);
        areRows = rows.form !== undefined && why === undefined;
        // What comes of rows stands as no lines that a step could pick.
        before = 'values';
        note(part.owner, areRows ? 'bytes' : 'values', why);
        return;
      }
      if (part.step.onKernel !== undefined) {
        const why = about.isForced ? FORCED : part.step.onKernel.why;
        note(part.owner, why === undefined ? 'bytes' : 'values', why);
        before = 'values';
        return;
      }
      const why = about.isForced ? FORCED : whyNotPicked(part.step, before, about.passing.has(part.owner));
      before = why === undefined ? 'bytes' : 'values';
      note(part.owner, before, why);
      return;
    }
    const unfit = noProgram(part, about.world);
    for (const { owner, step } of part) {
      if (about.isForced) note(owner, 'values', FORCED);
      else if (unfit === undefined) {
        const { bytes, why } = step.forms ?? {};
        if (bytes !== undefined && isNative(bytes)) note(owner, 'bytes', undefined);
        else note(owner, 'spans', why);
      } else if (unfit.owner === undefined || unfit.owner === owner) note(owner, 'values', unfit.why);
      else note(owner, 'values', `"${about.ids[unfit.owner]}" is in the same pass`);
    }
    // Lines in the memory of the kernel come of lines alone.
    before = i === 0 && about.whyCut === undefined && unfit === undefined ? 'bytes' : 'values';
  });
  return tiers;
}

/** Why a step over blocks does not leave records where the kernel has put them; undefined where it does. */
function whyNotPicked(step: BlockStep, before: Tier | undefined, passes: boolean): string | undefined {
  if (step.picks !== true) return 'it works on whole blocks';
  if (passes) return 'it is given one record at a time ("continue_on_error")';
  return before === undefined || before === 'values' ? 'what comes before it leaves no lines' : undefined;
}

/** Why a step over blocks that the stage begins with is nothing for the kernel; undefined where that may read its rows. */
function whyNoRows(
  { owner, step }: { owner: number; step: Step },
  { passing, whyCut }: { passing: ReadonlySet<number>; whyCut: string | undefined },
): string | undefined {
  if (step.form !== 'block' || step.rows === undefined) return undefined;
  if (step.rows.form === undefined) return step.rows.why;
  return passing.has(owner) ? 'what it fails at passes on as it came' : whyCut;
}
