/** When the first part of a stage begins to work on the byte kernel, and when it gives that up. */
import { BytePass, programOf } from './byte-pass.ts';
import type { Pass } from './fuse.ts';
import { forcedTier } from './tiers.ts';

/** Smaller inputs are done before the kernel is there. */
const SMALLEST = 128 << 10;
/** Larger pieces hold a record of megabytes: that is no work for a kernel that holds all of it at once. */
const LARGEST = 16 << 20;
/** After so many records it is clear whether they are any for the kernel. */
const ENOUGH = 5000;

/** The pass for a piece of so many bytes, of which a line may have so many at most; undefined where values are the way for it. */
export type ByteStart = (size: number, longest: number) => BytePass | undefined;

/** Undefined where the steps of the pass have no program. */
export function startOnBytes(pass: Pass, steps: number): ByteStart | undefined {
  const forced = forcedTier();
  if (forced === 'values') return undefined;
  const program = programOf(pass.ops);
  if (typeof program === 'string') return undefined;
  const smallest = forced === undefined ? SMALLEST : 0;
  let started: BytePass | undefined;
  return (size, longest) => {
    // A line that is too long is found where lines are cut.
    if (size > LARGEST || size > longest) return undefined;
    if (started === undefined) {
      if (size < smallest) return undefined;
      started = new BytePass(program, pass, steps);
    }
    // Every other record goes both ways: one of them is enough.
    if (forced === undefined && started.records > ENOUGH && started.deferred > started.records / 2) return undefined;
    return started;
  };
}
