/** When the first part of a stage begins to work on the byte kernel, and when it gives that up. */
import type { World } from '../kernel/bytes/world.ts';
import { BytePass, programOf } from './byte-pass.ts';
import type { Pass } from './fuse.ts';
import { forcedTier } from './tiers.ts';

/** Smaller inputs are done before the kernel is there. */
const SMALLEST = 128 << 10;
/** Larger pieces hold a record of megabytes: that is no work for a kernel that holds all of it at once. */
const LARGEST = 16 << 20;
/** After so many records it is clear whether they are any for the kernel. */
const ENOUGH = 5000;

/** The pass for a piece of so many bytes, of which a line may have so many at most; undefined where its way is that of values. */
export type ByteStart = (size: number, longest: number) => BytePass | undefined;

/** `steps`: how many there are in the stage. Nothing is made before a piece comes that is worth it. */
export function startOnBytes(pass: Pass, steps: number, world: World): ByteStart {
  const forced = forcedTier();
  const smallest = forced === undefined ? SMALLEST : 0;
  let isOff = forced === 'values';
  let started: BytePass | undefined;
  return (size, longest) => {
    // A line that is too long is found where lines are cut.
    if (isOff || size > LARGEST || size > longest) return undefined;
    if (started === undefined) {
      if (size < smallest) return undefined;
      const program = programOf(pass.ops, world);
      if ('why' in program) isOff = true;
      else started = new BytePass(program, pass, steps);
    } else if (forced === undefined && started.records > ENOUGH && started.deferred > started.records / 2) {
      // Every other record goes both ways: one of them is enough.
      isOff = true;
      started = undefined;
    }
    return started;
  };
}
