/** Seeded choices of the fault tests. `OXIFLOW_FAULT_SEED` repeats a run; the seed stands in every failure message. */

export const SEED = Number(process.env.OXIFLOW_FAULT_SEED ?? 20_260_301);
/** `npm run soak` multiplies the rounds. */
export const SOAK = Number(process.env.OXIFLOW_SOAK ?? 0);

export interface Random {
  /** A whole number from 0 to below `limit`. */
  below(limit: number): number;
  pick<T>(list: readonly T[]): T;
  shuffle<T>(list: readonly T[]): T[];
}

/** A linear congruential generator (Knuth's MMIX constants), upper half of 64 bits. */
export function randomOf(seed: number): Random {
  let state = BigInt(seed);
  const below = (limit: number): number => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number(((state >> 32n) * BigInt(limit)) >> 32n);
  };
  return {
    below,
    pick: (list) => list[below(list.length)] as (typeof list)[number],
    shuffle: (list) => {
      const out = [...list];
      for (let i = out.length - 1; i > 0; i--) {
        const j = below(i + 1);
        [out[i], out[j]] = [out[j] as (typeof out)[number], out[i] as (typeof out)[number]];
      }
      return out;
    },
  };
}
