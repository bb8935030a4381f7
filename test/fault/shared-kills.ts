/** Kills one of three workers of a shared run at random instants, another one joins for it, until the run is finished. */
import { describe, expect, test } from 'vitest';
import { Depot, Parcels, type SharedBackend } from './depot.ts';
import { type Random, randomOf, SEED, SOAK } from './random.ts';
import type { Attempt, Ended } from './runner.ts';

const WORKERS = 3;
const BYTES = 3_000_000;
/** Of each backend: 51 of the three together, so many of each with `npm run soak`. */
const KILLS = SOAK > 0 ? 5 * SOAK : 17;
/** Of one run at most: then it is left in peace, so that it ends. */
const KILLS_A_RUN = 9;
const CLOSE_MS = 40;

interface Story {
  kills: number;
  told: string[];
  ended: Ended[];
}

/** Returns when everybody has ended by itself. */
async function disturbed(depot: Depot, random: Random, most: number): Promise<Story> {
  const story: Story = { kills: 0, told: [], ended: [] };
  const living = new Set<Attempt>();
  const next = Promise.withResolvers<void>();
  let checkpoints = 0;
  let wanted = 1 + random.below(3);
  const killOne = (): void => {
    const victim = random.pick([...living]);
    story.told.push(`worker ${victim.pid} ${victim.events.at(-1)?.type ?? 'at its start'}`);
    victim.kill();
  };
  const join = (): void => {
    const attempt = depot.worker(['--invocation', 'nightly'], {
      onEvent: ({ type }) => {
        if (type !== 'checkpoint' || story.kills >= most || ++checkpoints !== wanted) return;
        setTimeout(killOne, random.below(CLOSE_MS));
      },
    });
    living.add(attempt);
    attempt.ended.then((ended) => {
      living.delete(attempt);
      story.ended.push(ended);
      if (ended.signal === 'SIGKILL') {
        story.kills += 1;
        // Whoever comes for it may be killed while it starts.
        checkpoints = 0;
        wanted = 1 + random.below(3);
        join();
      }
      if (living.size === 0) next.resolve();
    }, next.reject);
  };
  for (let i = 0; i < WORKERS; i++) join();
  await next.promise;
  return story;
}

export function sharedKillTests(backend: SharedBackend): void {
  describe(`kill -9 of one of three workers at random instants, state in ${backend}`, () => {
    const parcels = new Parcels(SEED, BYTES);

    test(
      `${KILLS} of them cost nothing`,
      async () => {
        const seed = SEED + backend.length;
        process.stdout.write(`shared run, state in ${backend}: seed ${SEED} (OXIFLOW_FAULT_SEED)\n`);
        const random = randomOf(seed);
        const total = { kills: 0, resumed: 0, runs: 0 };
        while (total.kills < KILLS) {
          const depot = await Depot.open(parcels, { backend });
          const { kills, told, ended } = await disturbed(depot, random, Math.min(KILLS_A_RUN, KILLS - total.kills));
          const hint = `seed ${SEED} (OXIFLOW_FAULT_SEED), run ${total.runs}, killed ${told.join(', ')}`;
          for (const { signal, code, stderr } of ended)
            if (signal !== 'SIGKILL') expect(code, `${hint}\n${stderr}`).toBe(0);
          await depot.expectDone(hint);
          const { resumed } = await depot.groups();
          total.kills += kills;
          total.resumed += resumed;
          total.runs += 1;
          depot.remove();
          expect(total.runs, 'runs are too short for their killers').toBeLessThanOrEqual(KILLS);
        }
        process.stdout.write(
          `${backend}: ${total.kills} kills in ${total.runs} runs, ${total.resumed} splits resumed from a checkpoint\n`,
        );
        expect(total.resumed).toBeGreaterThan(0);
      },
      90_000 + 5000 * KILLS,
    );
  });
}
