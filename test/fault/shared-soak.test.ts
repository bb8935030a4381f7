/** `npm run soak`: three workers share one long run for minutes, one of them dies now and then; the memory and descriptors of those that live stay flat. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Depot, Parcels, SHARED_BACKENDS } from './depot.ts';
import { randomOf, SEED, SOAK } from './random.ts';
import type { Attempt } from './runner.ts';

/** Seconds that the scale takes for 25 parcels: ten minutes of all backends together. */
const PACE = 0.018 * SOAK;
const LOOK_MS = 2000;
const KILL_EVERY = 15;
/** Of one worker over its life, beyond what it had once it was warm. */
const MOST_GROWTH_MB = 40;
const MOST_DESCRIPTORS = 6;

interface Life {
  rssMb: number[];
  descriptors: number[];
}

function look(pid: number, life: Life): void {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    life.rssMb.push(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024);
    life.descriptors.push(readdirSync(`/proc/${pid}/fd`).length);
  } catch {
    // It has just ended.
  }
}

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1] ?? 0;

// Linux tells what a process has; a soak takes minutes, so it is asked for.
test.runIf(SOAK > 0 && process.platform === 'linux').each(SHARED_BACKENDS)(
  'a long shared run needs no more memory and descriptors at its end than at its beginning, state in %s',
  async (backend) => {
    const parcels = new Parcels(SEED + 21, 12_000_000, 600);
    const random = randomOf(SEED + backend.length);
    const depot = await Depot.open(parcels, { backend, pace: PACE });
    const lives = new Map<Attempt, Life>();
    const living = new Set<Attempt>();
    const join = (): void => {
      const worker = depot.worker(['--splits', '200', '--invocation', 'long'], { longestMs: 1_800_000 });
      living.add(worker);
      lives.set(worker, { rssMb: [], descriptors: [] });
      void worker.ended.catch(() => undefined).then(() => living.delete(worker));
    };
    for (let i = 0; i < 3; i++) join();
    let kills = 0;
    for (let looks = 1; living.size > 0; looks++) {
      await sleep(LOOK_MS);
      for (const worker of living) look(worker.pid, lives.get(worker) as Life);
      if (looks % KILL_EVERY !== 0 || living.size === 0) continue;
      // The first one lives from the beginning to the end.
      const victim = random.pick([...living].slice(1));
      if (victim === undefined) continue;
      victim.kill();
      await victim.ended;
      kills += 1;
      if ((await depot.run())?.status === 'running') join();
    }
    await depot.expectDone(`seed ${SEED} (OXIFLOW_FAULT_SEED), ${kills} kills`);
    const [first] = lives.values();
    const { rssMb = [], descriptors = [] } = first ?? {};
    const third = Math.floor(rssMb.length / 3);
    const grown = median(rssMb.slice(-third)) - median(rssMb.slice(third, 2 * third));
    const more = Math.max(...descriptors.slice(-third)) - Math.max(...descriptors.slice(0, third));
    process.stdout.write(
      `${backend}: ${kills} kills; in ${(rssMb.length * LOOK_MS) / 1000} s the memory of the first worker grew by ${grown.toFixed(1)} MB (at ${median(rssMb).toFixed(0)}), its descriptors by ${more} (at ${median(descriptors)})\n`,
    );
    expect(rssMb.length).toBeGreaterThan(20);
    expect(kills).toBeGreaterThan(0);
    expect(grown).toBeLessThan(MOST_GROWTH_MB);
    expect(more).toBeLessThan(MOST_DESCRIPTORS);
    depot.remove();
  },
  1_800_000,
);
